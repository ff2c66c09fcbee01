"""A process that has just started believes nothing that could have been recorded before."""

from __future__ import annotations

import pytest

from daemon.cluster import greeting
from daemon.cluster.greeting import ANSWER_INTERVAL_NS, Greetings, Judgement
from daemon.cluster.seal import Opened

SALT_A, SALT_B = b"a" * 16, b"b" * 16


def opened(payload: bytes, counter: int = 0, salt: bytes = SALT_B) -> Opened:
    return Opened("b", 1, salt, counter, payload)


def test_two_processes_believe_each_other_after_one_round_trip() -> None:
    a, b = Greetings("a1", SALT_A), Greetings("a2", SALT_B)
    first = a.judge(Opened("b", 1, SALT_B, 0, greeting.data(b"hello")), 0)
    assert first.piece is None
    assert first.reason == "unproven"
    assert first.answer is not None
    at_b = b.judge(Opened("a", 1, SALT_A, 0, first.answer), 0)
    assert at_b.proven
    assert at_b.answer is not None
    assert a.judge(Opened("b", 1, SALT_B, 1, at_b.answer), 0) == Judgement(proven=True)
    assert a.judge(Opened("b", 1, SALT_B, 2, greeting.data(b"hello")), 0) == Judgement(piece=b"hello")
    assert b.judge(Opened("a", 1, SALT_A, 1, greeting.data(b"hi")), 0) == Judgement(piece=b"hi")


def test_a_recorded_greeting_of_an_earlier_process_proves_nothing() -> None:
    recorded = greeting.Greetings("a2", SALT_B)
    old = recorded.judge(Opened("a", 1, b"old salt of a...", 0, greeting.data(b"")), 0).answer
    assert old is not None
    a = Greetings("a1", SALT_A)
    assert not a.judge(opened(old), 0).proven
    assert a.judge(opened(greeting.data(b"x"), 1), 0).piece is None


def test_a_new_process_of_a_peer_must_prove_itself_again() -> None:
    a = Greetings("a1", SALT_A)
    assert a.judge(opened(bytes([2, 0]) + SALT_A), 0).proven
    assert a.judge(opened(greeting.data(b"x")), 0).piece == b"x"
    assert a.judge(opened(greeting.data(b"x"), salt=b"c" * 16), 0).reason == "unproven"


def test_answers_are_spaced_so_that_no_storm_arises() -> None:
    a = Greetings("a1", SALT_A)
    answers = [a.judge(opened(greeting.data(b"x"), n), n * ANSWER_INTERVAL_NS // 10).answer for n in range(101)]
    assert sum(answer is not None for answer in answers) == 11


def test_what_is_no_payload_is_malformed_and_a_newer_kind_is_passed_over() -> None:
    for payload in (b"", b"\x00", b"\x02\x01short"):
        assert Greetings("a1", SALT_A).judge(opened(payload), 0) == Judgement(reason="malformed")
    assert Greetings("a1", SALT_A).judge(opened(b"\x77new"), 0) == Judgement(reason="unknown-kind")


def test_a_sender_that_hears_no_multicast_says_so_with_every_piece() -> None:
    greetings = Greetings("a1", SALT_A)
    greetings.judge(opened(b"\x02\x00" + SALT_A), 0)
    assert greetings.judge(opened(greeting.data(b"piece")), 0) == Judgement(piece=b"piece")
    assert greetings.judge(opened(greeting.unicast_data(b"piece")), 0) == Judgement(
        piece=b"piece", hears_multicast=False
    )


def test_what_is_for_one_node_is_taken_by_that_one_alone() -> None:
    payload = greeting.addressed("a1", greeting.data(b"piece"))
    for name, judgement in (("a1", Judgement(piece=b"piece")), ("a11", Judgement(reason="not-for-us"))):
        greetings = Greetings(name, SALT_A)
        assert greetings.judge(opened(payload), 0).reason == "unproven"
        greetings.judge(opened(b"\x02\x00" + SALT_A), 0)
        assert greetings.judge(opened(payload), 0) == judgement


@pytest.mark.parametrize("content", [b"", b"\x02", b"\x02a1", b"\x09a1\x01", b"\x02a1\x02piece"])
def test_an_address_without_a_piece_behind_it_is_malformed(content: bytes) -> None:
    greetings = Greetings("a1", SALT_A)
    greetings.judge(opened(b"\x02\x00" + SALT_A), 0)
    assert greetings.judge(opened(b"\x08" + content), 0) == Judgement(reason="malformed")
