"""Two clusters with one name and one key: told apart before anything is believed."""

from __future__ import annotations

import pytest

from daemon.cluster.identity import ID_BYTES, NAMELESS, id_of, is_id, mark_in, mark_of
from daemon.cluster.seal import NUMBER_MAX, CounterExhaustedError, Opened, Opener, Reason, Refused, Sealer

KEY = bytes(range(32))
OURS, THEIRS = mark_of("0a" * 16), mark_of("0b" * 16)


def sealer(name: str, identity: int = NAMELESS, incarnation: int = 7, salt: bytes = b"p" * 16) -> Sealer:
    made = Sealer(KEY, "demo", name, incarnation, salt=salt)
    made.identify(identity)
    return made


def opener(identity: int = NAMELESS) -> Opener:
    made = Opener(KEY, "demo", own=("a1", b"o" * 16))
    made.identify(identity)
    return made


def test_an_id_is_sixteen_bytes_and_its_mark_three_that_are_never_zero() -> None:
    identity = id_of(bytes(range(ID_BYTES)))
    assert is_id(identity)
    assert not is_id(identity.upper())
    assert not is_id(identity[:-1])
    assert 0 < mark_of(identity) < 1 << 24
    assert mark_of("") == NAMELESS
    with pytest.raises(ValueError, match="16 bytes"):
        id_of(b"short")


def test_a_datagram_of_another_cluster_is_refused_and_names_its_sender() -> None:
    receiver = opener(OURS)
    assert receiver.open(sealer("b2", THEIRS).seal(b"x")) == Refused(Reason.OTHER_ID, "b2")
    assert isinstance(receiver.open(sealer("a2", OURS).seal(b"x")), Opened)


def test_a_namesake_of_another_cluster_does_not_touch_the_session_of_ours() -> None:
    receiver, ours = opener(OURS), sealer("a2", OURS, incarnation=7)
    assert isinstance(receiver.open(ours.seal(b"x")), Opened)
    theirs = sealer("a2", THEIRS, incarnation=9, salt=b"t" * 16)
    assert receiver.open(theirs.seal(b"x")) == Refused(Reason.OTHER_ID, "a2")
    assert isinstance(receiver.open(ours.seal(b"x")), Opened)
    assert receiver.open(sealer("a1", THEIRS).seal(b"x")) == Refused(Reason.OTHER_ID, "a1"), (
        "not a namesake of ours"
    )
    assert receiver.open(sealer("a1", OURS).seal(b"x")) == Refused(Reason.NAMESAKE, "a1")


def test_who_knows_no_id_is_heard_and_hears_all() -> None:
    assert isinstance(opener(OURS).open(sealer("a2").seal(b"x")), Opened)
    assert isinstance(opener().open(sealer("b2", THEIRS).seal(b"x")), Opened)


def test_who_learns_which_cluster_is_its_own_forgets_the_others() -> None:
    receiver = opener()
    ours, theirs, nameless = sealer("a2", OURS), sealer("b2", THEIRS), sealer("a3")
    for one in (ours, theirs, nameless):
        assert isinstance(receiver.open(one.seal(b"x")), Opened)
    assert receiver.hears_named
    receiver.identify(OURS)
    assert set(receiver._sessions) == {"a2", "a3"}


def test_a_session_goes_on_when_its_node_learns_the_id_and_never_tells_another() -> None:
    receiver, sender = opener(), sealer("a2")
    first = receiver.open(sender.seal(b"x"))
    sender.identify(OURS)
    second = receiver.open(sender.seal(b"x"))
    sender.identify(THEIRS)
    third = receiver.open(sender.seal(b"x"))
    assert isinstance(first, Opened)
    assert isinstance(second, Opened)
    assert isinstance(third, Opened)
    assert [mark_in(one.counter) for one in (first, second, third)] == [NAMELESS, OURS, OURS]
    assert first.counter < second.counter < third.counter


def test_a_session_ends_before_its_number_reaches_the_mark() -> None:
    sender = sealer("a2", OURS)
    sender._number = NUMBER_MAX
    opened = opener(OURS).open(sender.seal(b"x"))
    assert isinstance(opened, Opened)
    assert mark_in(opened.counter) == OURS
    with pytest.raises(CounterExhaustedError):
        sender.seal(b"x")
