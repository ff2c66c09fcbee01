"""The seal: what opens, what is refused and why, and that no bytes can make it raise or grow."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cluster.keyring import mark_of
from daemon.cluster.seal import Algorithm, Opened, Opener, Reason, Refused, Sealer

KEY = bytes(range(32))
SALT_A = b"a" * 16
SALT_B = b"b" * 16


def sealer(node: str = "a2", incarnation: int = 7, salt: bytes = SALT_A, **other: object) -> Sealer:
    parts: dict[str, object] = {"key": KEY, "cluster": "demo", **other}
    return Sealer(parts["key"], parts["cluster"], node, incarnation, salt=salt, **{  # type: ignore[arg-type]
        name: value for name, value in parts.items() if name == "algorithm"
    })  # fmt: skip


def opener(**other: object) -> Opener:
    parts: dict[str, object] = {"own": ("a1", b"o" * 16), **other}
    return Opener(KEY, "demo", **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_what_was_sealed_opens_with_its_sender_incarnation_and_counter(algorithm: Algorithm) -> None:
    sender, receiver = sealer(algorithm=algorithm), opener()
    for counter, payload in enumerate((b"", b"one", b"x" * 1300)):
        assert receiver.open(sender.seal(payload)) == Opened("a2", 7, SALT_A, counter, payload, mark_of(KEY))


def test_a_replayed_datagram_is_refused() -> None:
    receiver, datagram = opener(), sealer().seal(b"x")
    assert isinstance(receiver.open(datagram), Opened)
    assert receiver.open(datagram) == Refused(Reason.REPLAYED, "a2", is_recent=True)


def test_another_clusters_name_or_key_does_not_open() -> None:
    assert opener().open(sealer(cluster="other").seal(b"x")) == Refused(Reason.OTHER_CLUSTER, "a2")
    assert opener().open(sealer(key=bytes(32)).seal(b"x")) == Refused(Reason.WRONG_KEY, "a2")


def test_a_strangers_name_cannot_write_into_the_log() -> None:
    datagram = bytearray(sealer(node="zz").seal(b"x"))
    at = datagram.index(b"zz")
    datagram[at : at + 2] = b"\n\x1b"
    assert opener().open(bytes(datagram)) == Refused(Reason.FORGED, "??")


def test_whoever_has_the_key_is_heard_and_can_be_forgotten() -> None:
    receiver, sender = opener(), sealer(node="a9")
    datagram = sender.seal(b"x")
    assert isinstance(receiver.open(datagram), Opened)
    receiver.forget("a9")
    receiver.forget("nobody")
    assert isinstance(receiver.open(datagram), Opened), "its session begins anew, greeting included"


def test_our_own_datagram_and_a_namesakes_are_told_apart() -> None:
    receiver = opener(own=("a2", SALT_A))
    assert receiver.open(sealer().seal(b"x")) == Refused(Reason.OWN, "a2")
    assert receiver.open(sealer(salt=SALT_B).seal(b"x")) == Refused(Reason.NAMESAKE, "a2")


def test_a_lower_incarnation_is_refused_once_a_higher_one_was_heard() -> None:
    receiver = opener()
    assert isinstance(receiver.open(sealer(incarnation=7).seal(b"x")), Opened)
    assert isinstance(receiver.open(sealer(incarnation=8, salt=SALT_B).seal(b"x")), Opened)
    assert receiver.open(sealer(incarnation=7).seal(b"x")) == Refused(Reason.OLD_INCARNATION, "a2")


def test_a_floor_refuses_incarnations_below_it_from_the_start() -> None:
    receiver = opener(floors={"a2": 8})
    assert receiver.open(sealer(incarnation=7).seal(b"x")) == Refused(Reason.OLD_INCARNATION, "a2")
    receiver.expect("a2", 9)
    assert receiver.open(sealer(incarnation=8).seal(b"x")) == Refused(Reason.OLD_INCARNATION, "a2")
    assert isinstance(receiver.open(sealer(incarnation=9).seal(b"x")), Opened)


def test_two_processes_with_one_incarnation_do_not_replace_each_other() -> None:
    receiver = opener()
    assert isinstance(receiver.open(sealer().seal(b"x")), Opened)
    assert receiver.open(sealer(salt=SALT_B).seal(b"x")) == Refused(Reason.TWIN, "a2")
    assert receiver.open(sealer(algorithm=Algorithm.CHACHA20_POLY1305).seal(b"x")) == Refused(Reason.TWIN, "a2")


def test_a_damaged_datagram_of_a_newer_incarnation_does_not_replace_the_session() -> None:
    receiver, now, later = opener(), sealer(), sealer(incarnation=8, salt=SALT_B)
    assert isinstance(receiver.open(now.seal(b"x")), Opened)
    damaged = bytearray(later.seal(b"x"))
    damaged[-1] ^= 1
    assert receiver.open(bytes(damaged)) == Refused(Reason.DAMAGED, "a2")
    assert isinstance(receiver.open(now.seal(b"x")), Opened)


def test_sessions_of_one_key_share_no_keystream() -> None:
    one, other = sealer().seal(bytes(64)), sealer(salt=SALT_B).seal(bytes(64))
    assert one[-80:] != other[-80:]


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(position: int, bit: int) -> None:
    datagram = bytearray(sealer().seal(b"payload"))
    datagram[position % len(datagram)] ^= 1 << bit
    assert isinstance(opener().open(bytes(datagram)), Refused)


@given(cut=st.integers(0, 200), tail=st.binary(max_size=8))
def test_a_truncated_or_lengthened_datagram_is_refused(cut: int, tail: bytes) -> None:
    whole = sealer().seal(b"payload")
    changed = whole[: cut % len(whole)] + tail
    assert changed == whole or isinstance(opener().open(changed), Refused)


@settings(max_examples=500)
@given(st.binary(max_size=300).map(lambda tail: b"vIPc\x01\x01" + tail) | st.binary(max_size=2000))
def test_garbage_is_refused_and_leaves_no_session_behind(garbage: bytes) -> None:
    receiver = opener()
    assert isinstance(receiver.open(garbage), Refused)
    assert receiver._sessions == {}


@given(st.lists(st.integers(0, 400), max_size=60))
def test_each_datagram_opens_at_most_once_in_whatever_order_it_comes(order: list[int]) -> None:
    sender, receiver = sealer(), opener()
    datagrams = [sender.seal(b"%d" % number) for number in range(max(order, default=0) + 1)]
    opened = [number for number in order if isinstance(receiver.open(datagrams[number]), Opened)]
    assert len(opened) == len(set(opened)) == len(set(order))


def test_a_refusal_names_no_more_than_the_bytes_can_prove() -> None:
    assert [field.name for field in dataclasses.fields(Refused)] == ["reason", "claimed", "is_recent"]
    assert opener().open(b"\xff" * 200) == Refused(Reason.MALFORMED, "")
