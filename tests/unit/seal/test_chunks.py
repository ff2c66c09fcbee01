from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.chunks import (
    AGE_MAX_NS,
    MESSAGE_BYTES_MAX,
    PENDING_BYTES_MAX,
    PENDING_MAX,
    PIECE_BYTES_MAX,
    QUIET_NS,
    Joiner,
    OversizedError,
    Splitter,
    Want,
)
from daemon.cluster.repair import ANSWER_INTERVAL_NS, SENT_AGE_MAX_NS, SENT_BYTES_MAX, Sent, decode, encode

messages = st.integers(0, 6 * PIECE_BYTES_MAX).map(lambda size: bytes(i % 251 for i in range(size)))


@given(st.lists(messages, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_messages_come_out_whole_whatever_the_order_and_repeats_of_their_pieces(
    sent: list[bytes],
    chance: random.Random,
) -> None:
    splitter, joiner = Splitter(), Joiner()
    pieces = [piece for message in sent for piece in splitter.split(message)]
    assert all(len(piece) <= PIECE_BYTES_MAX for piece in pieces)
    chance.shuffle(pieces)
    whole = [message for piece in pieces if (message := joiner.add(piece, 0)) is not None]
    assert sorted(whole) == sorted(sent)
    assert joiner.bytes_held == 0


def test_a_missing_piece_delivers_nothing_and_is_forgotten_with_age() -> None:
    splitter, joiner = Splitter(), Joiner()
    pieces = splitter.split(bytes(3 * PIECE_BYTES_MAX))
    assert [joiner.add(piece, 0) for piece in pieces[1:]] == [None] * (len(pieces) - 1)
    assert joiner.add(splitter.split(b"next")[0], AGE_MAX_NS + 1) == b"next"
    assert (joiner.bytes_held, joiner.dropped) == (0, 1)
    assert joiner.add(pieces[0], AGE_MAX_NS + 2) is None


def test_unfinished_messages_are_bounded_in_number() -> None:
    splitter, joiner = Splitter(), Joiner()
    for _ in range(PENDING_MAX + 5):
        joiner.add(splitter.split(bytes(2 * PIECE_BYTES_MAX))[0], 0)
    assert joiner.dropped == 5
    assert joiner.bytes_held <= PENDING_MAX * PIECE_BYTES_MAX


def test_unfinished_messages_are_bounded_in_bytes() -> None:
    splitter, joiner = Splitter(), Joiner()
    for _ in range(4):
        for piece in splitter.split(bytes(MESSAGE_BYTES_MAX))[:-1]:
            joiner.add(piece, 0)
    assert joiner.bytes_held <= PENDING_BYTES_MAX
    assert joiner.dropped >= 2


def test_a_message_that_is_too_long_is_refused_by_name() -> None:
    with pytest.raises(OversizedError, match=f"{MESSAGE_BYTES_MAX + 1} bytes"):
        Splitter().split(bytes(MESSAGE_BYTES_MAX + 1))


@given(st.lists(st.binary(max_size=PIECE_BYTES_MAX + 20), max_size=50))
def test_nonsense_neither_raises_nor_grows(pieces: list[bytes]) -> None:
    joiner = Joiner()
    for piece in pieces:
        joiner.add(piece, 0)
    assert joiner.bytes_held <= PENDING_BYTES_MAX


@given(st.integers(2, 300), st.sampled_from((0.01, 0.05, 0.2, 0.4)), st.integers(0, 1_000))
@settings(deadline=None, max_examples=40)
def test_a_long_message_arrives_over_a_lossy_link_because_what_is_missing_is_sent_again(
    count: int, loss: float, seed: int
) -> None:
    chance = random.Random(seed)
    splitter, joiner, sent = Splitter(), Joiner(), Sent()
    message = chance.randbytes(count * PIECE_BYTES_MAX - 20 * count)
    pieces = splitter.split(message)
    sent.keep(pieces, None, 0)
    now_ns, resent, whole = 0, 0, None
    on_their_way = pieces[:1] + [piece for piece in pieces[1:] if chance.random() >= loss]
    for _ in range(200):
        for piece in on_their_way:
            whole = joiner.add(piece, now_ns) or whole
        if whole is not None:
            break
        now_ns += QUIET_NS
        want = joiner.wants(now_ns)
        again = sent.wanted("a2", decode(encode(want)) or want, now_ns) if want and chance.random() >= loss else []
        resent += len(again)
        on_their_way = [piece for piece in again if chance.random() >= loss]
    assert whole == message
    assert resent <= 3 * loss * count + 30, "only what was lost"
    assert (joiner.bytes_held, joiner.dropped) == (0, 0)


def test_nobody_asks_while_pieces_still_arrive_and_a_sender_that_says_nothing_is_asked_ever_less_often() -> None:
    joiner = Joiner()
    pieces = Splitter().split(bytes(300 * 1_000))
    joiner.add(pieces[0], 0)
    joiner.add(pieces[3], QUIET_NS - 1)
    assert joiner.wants(QUIET_NS) is None
    asked = [now_ns for now_ns in range(0, AGE_MAX_NS, QUIET_NS // 2) if joiner.wants(now_ns) is not None]
    assert len(asked) < 20
    assert asked[1] - asked[0] < asked[-1] - asked[-2]
    assert joiner.wants(3 * AGE_MAX_NS) is None
    assert joiner.dropped == 1


def test_what_was_sent_is_kept_within_bounds_and_a_peer_that_asks_too_often_is_not_answered() -> None:
    splitter, sent = Splitter(), Sent()
    for _ in range(8):
        sent.keep(splitter.split(bytes(4 << 20)), None, 0)
        assert sent.bytes_held <= SENT_BYTES_MAX
    newest = Want(7, (0, 1, 1, 60_000))
    assert len(sent.wanted("a2", newest, 0)) == 2
    assert sent.wanted("a2", newest, ANSWER_INTERVAL_NS - 1) == []
    assert len(sent.wanted("a3", newest, ANSWER_INTERVAL_NS - 1)) == 2
    assert sent.wanted("a2", Want(0, (0,)), ANSWER_INTERVAL_NS) == [], "forgotten, to make room"
    assert sent.wanted("a2", newest, SENT_AGE_MAX_NS + 1) == []
    assert sent.bytes_held == 0


@given(st.binary(max_size=400))
def test_a_want_is_read_or_refused(content: bytes) -> None:
    want = decode(content)
    assert want is None or encode(want) == content


def test_what_was_for_one_node_is_sent_again_to_that_one_alone() -> None:
    splitter, sent = Splitter(), Sent()
    sent.keep(splitter.split(bytes(2 * PIECE_BYTES_MAX)), "a2", 0)
    assert sent.wanted("a3", Want(0, (0, 1)), 0) == []
    assert len(sent.wanted("a2", Want(0, (0, 1)), 0)) == 2
