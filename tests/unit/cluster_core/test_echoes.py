"""Whom a heartbeat names: everybody in a small cluster, voters and some others in turn in a large one."""

from __future__ import annotations

from daemon.cluster.core import Core, Saved
from daemon.cluster.core.echoes import NAMED_MAX, OLDER_KEPT_NS, TURNS
from daemon.cluster.core.membership import MEMBERS_MAX, Membership
from daemon.cluster.messages import Heartbeat, encode
from tests.unit.cluster_core.node import INCARNATION, TIMERS, NoChance

ONE_DATAGRAM_BYTES = 1_150
"""what fits into one piece of a message (`chunks`)"""
NAMES = [f"web{number}" for number in range(MEMBERS_MAX)]
OWN, *OTHERS = NAMES
VOTERS = frozenset(NAMES[:7])


def membership(names: list[str] = NAMES) -> Membership:
    return Membership(OWN, names, INCARNATION, "boot", TIMERS, joins=False, witness=False)


def heartbeat(sequence: int = 1, incarnation: int = 1, newer: bool = True, **heard: tuple[int, int]) -> Heartbeat:
    return Heartbeat(incarnation, "boot", sequence, 1, 0, heard, reads_partial=newer)


def hear(one: Membership, *names: str, **changes: int) -> None:
    for name in names:
        assert one.heard(name, heartbeat(**changes), 0) is not None  # type: ignore[arg-type]


def next_named(one: Membership, needed: frozenset[str] | None = VOTERS, now_ns: int = 0) -> set[str]:
    return set(one.next_heartbeat(1, 0, now_ns, "store", False, True, needed).heard)


def test_a_small_cluster_names_everybody_every_time() -> None:
    one = membership()
    hear(one, *OTHERS[:NAMED_MAX])
    for _ in range(3):
        assert next_named(one) == set(OTHERS[:NAMED_MAX])


def test_a_large_cluster_names_voters_every_time_and_everybody_in_turn() -> None:
    one = membership()
    hear(one, *OTHERS)
    turns = -(-len(OTHERS) // TURNS)
    named = [next_named(one) for _ in range(turns)]
    assert all(VOTERS - {OWN} <= names for names in named)
    assert all(len(names) <= len(VOTERS) + TURNS for names in named)
    assert set().union(*named) == set(OTHERS)


def test_a_process_that_is_new_is_named_with_the_next_heartbeat() -> None:
    one = membership()
    hear(one, *OTHERS)
    for _ in range(40):
        next_named(one)
    hear(one, NAMES[99], incarnation=2)
    assert NAMES[99] in next_named(one)


def test_a_heartbeat_of_the_largest_cluster_fits_one_datagram() -> None:
    one = Membership(
        OWN, NAMES, 1 << 31, "0b5f2c36-5a3f-4f5e-9f0c-7a5d2d3c7f11", TIMERS, joins=False, witness=False
    )
    for name in OTHERS:
        one.heard(name, heartbeat(sequence=1 << 30, incarnation=1_700_000_000), 0)
    assert (
        len(encode(one.next_heartbeat(1 << 20, 1 << 30, 0, "s" * 32, False, True, VOTERS))) < ONE_DATAGRAM_BYTES / 2
    )
    assert len(encode(one.next_heartbeat(1 << 20, 1 << 30, 0, "s" * 32, False, True, None))) > ONE_DATAGRAM_BYTES


def test_who_knows_no_cluster_yet_names_everybody_for_any_of_them_may_lead() -> None:
    core = Core("new", (), TIMERS, INCARNATION, "boot", Saved("store"), 0, NoChance())
    for name in OTHERS:
        core.receive(name, heartbeat(), 0)
    core.ready()
    core.tick(TIMERS.heartbeat_ns)
    (sent,) = [send.message for send in core.ready().sends if isinstance(send.message, Heartbeat)]
    assert sent.heard.keys() == set(OTHERS)


def test_everybody_is_named_while_an_older_version_is_there() -> None:
    one = membership()
    hear(one, *OTHERS[1:])
    one.heard(OTHERS[0], heartbeat(newer=False), 0)
    assert next_named(one) == set(OTHERS)
    assert next_named(one, now_ns=OLDER_KEPT_NS + 1) < set(OTHERS)


def test_a_peer_that_does_not_name_us_this_time_has_heard_us_all_the_same() -> None:
    one = membership()
    peer = one.heard("web1", heartbeat(1, web0=(INCARNATION, 0)), 0)
    assert peer is not None
    one.heard("web1", heartbeat(2), 0)
    assert peer.fresh
    one.heard("web1", heartbeat(1, incarnation=2), 0)
    assert not peer.fresh, "its next process has heard nobody yet"


def test_a_peer_of_an_older_version_that_does_not_name_us_has_not_heard_us() -> None:
    one = membership()
    peer = one.heard("web1", heartbeat(1, newer=False, web0=(INCARNATION, 0)), 0)
    assert peer is not None
    one.heard("web1", heartbeat(2, newer=False), 0)
    assert not peer.fresh


def test_a_peer_that_has_heard_another_process_of_our_name_has_not_heard_us() -> None:
    one = membership()
    peer = one.heard("web1", heartbeat(1, web0=(INCARNATION, 0)), 0)
    assert peer is not None
    one.heard("web1", heartbeat(2, web0=(INCARNATION + 1, 1)), 0)
    assert not peer.fresh
