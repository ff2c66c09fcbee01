"""Raft itself: what a majority has must survive every power cut, and one term has one leader."""

from __future__ import annotations

from daemon.cluster.messages import (
    ENTRIES_BYTES_MAX,
    Append,
    Message,
    PreVote,
    Propose,
    Vote,
)
from tests.simulation.cast import Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.network import NS_PER_MS
from tests.simulation.scenes.stage import Scene


def the_power_fails_after_a_commit(cast: Cast) -> None:
    """Rule 7: as soon as an edit is acknowledged, three of four lose their power, and the fourth is cut off."""
    scene = Scene(cast, nodes=4)
    for name in ("a2", "a3", "a4"):
        scene.host(name).disk.takes_ns = 30 * NS_PER_MS
    scene.go_on(100)
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.part({"a1"})
    for name in ("a2", "a3", "a4"):
        scene.cut_power(name)
        scene.host(name).disk.takes_ns = None
        scene.host(name).start()
    scene.until(lambda: any(scene.leads(name) for name in ("a2", "a3", "a4")))
    scene.go_on(300)


def a_disk_says_that_it_has_synced(cast: Cast) -> None:
    """What no checksum can tell: transactions that are gone as a whole, on a majority of disks at once."""
    scene = Scene(cast, nodes=3)
    for host in scene.world.hosts.values():
        host.disk.really_sync()
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.part({"a1"})
    for name in ("a2", "a3"):
        scene.cut_power(name)
        scene.host(name).start()
    scene.until(lambda: any(scene.leads(name) for name in ("a2", "a3")))
    scene.go_on(300)


def a_voter_loses_its_power_after_the_election(cast: Cast) -> None:
    """Rule 7: a2 is elected by a3, which forgets it; then a1 stands in the same term."""
    scene = Scene(cast, nodes=3)
    scene.host("a1").die()
    scene.host("a3").disk.takes_ns = 12 * NS_PER_MS
    scene.let_stand("a2")
    scene.until(lambda: scene.leads("a2"))
    scene.part({"a2"})
    scene.cut_power("a3")
    scene.host("a3").disk.takes_ns = None
    scene.host("a3").start()
    scene.let_stand("a1")
    scene.host("a1").start()
    scene.until(lambda: scene.leads("a1"))
    scene.go_on(100)


def two_candidates_in_one_term(cast: Cast) -> None:
    """Raft, 5.2: a2 and a3 stand in the same term, without hearing of each other; a4 and a5 hear both."""
    scene = Scene(cast, nodes=5)
    scene.network.slowest_ns = NS_PER_MS // 4
    for _ in range(6):
        scene.host("a1").die()
        asked: set[str] = set()

        def drops(sender: str, receiver: str, message: Message, asked: set[str] = asked) -> bool:
            if isinstance(message, Vote):
                asked.add(sender)
            if isinstance(message, PreVote):
                return sender not in {"a2", "a3"} or receiver in {"a2", "a3"}
            others = {sender, receiver} == {"a2", "a3"}
            # nobody hears who has won before both have asked
            return (others and isinstance(message, Vote)) or (isinstance(message, Append) and len(asked) < 2)

        scene.network.drops = drops
        scene.core("a3").replica.membership.rank = 0  # as if its turn came together with that of a2
        scene.go_on(200)
        scene.network.drops = lambda sender, receiver, message: False
        scene.host("a1").start()
        scene.let_lead("a1")


def a_node_comes_back_from_far_away(cast: Cast) -> None:
    """Raft, 9.6: a3 was alone for a while, and its return deposes nobody."""
    scene = Scene(cast, nodes=4)
    term = scene.core("a1").status(0).term
    scene.part({"a3"})
    scene.go_on(600)
    scene.network.cut = set()
    scene.go_on(300)
    status = scene.core("a1").status(0)
    if not scene.leads("a1") or status.term != term:
        raise ViolationError(f"a1 led term {term} in good health; since a3 is back it is term {status.term}")


def an_old_entry_on_a_majority(cast: Cast) -> None:
    """Raft, figure 8: an entry of an old term is on a majority, and may be overwritten all the same."""
    scene = Scene(cast, nodes=5)
    term, first = scene.core("a1").status(0).term, scene.core("a1").status(0).last_index + 1

    def only_a2_hears(sender: str, receiver: str, message: Message) -> bool:
        return isinstance(message, Append) and sender == "a1" and receiver != "a2" and bool(message.entries)

    # (a) an entry that only a1 and a2 have; it is as big as one message may be, so that no other travels with it
    scene.network.drops = only_a2_hears
    scene.network.cut = {("a1", "a5")}
    scene.host("a1").edit(bytes(ENTRIES_BYTES_MAX - 100))
    scene.until(lambda: scene.core("a2").replica.disk.stable_index >= first)
    scene.host("a1").die()
    scene.host("a2").die()

    # (b) a5 is elected by a3 and a4, and keeps what it appends to itself
    def a5_keeps_its_entries(sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, Append | Propose):
            return sender == "a5"
        return isinstance(message, Vote) and sender != "a5"

    scene.network.cut = set()
    scene.network.drops = a5_keeps_its_entries
    scene.until(lambda: scene.leads("a5") and scene.core("a5").replica.disk.stable_index >= first, within_ms=4000)
    scene.host("a5").die()

    # (c) a1 is elected, and only the old entry reaches a3 and a4
    def nothing_newer_than_the_old_entry(sender: str, receiver: str, message: Message) -> bool:
        if isinstance(message, Append):
            return message.commit >= first or any(entry.term > term for entry in message.entries)
        return isinstance(message, PreVote | Vote) and sender != "a1"

    scene.network.drops = nothing_newer_than_the_old_entry
    scene.host("a1").start()
    scene.host("a2").start()
    disks = [scene.core(name).replica.disk for name in ("a3", "a4")]
    scene.until(lambda: scene.leads("a1") and all(disk.stable_index >= first for disk in disks), within_ms=4000)
    scene.go_on(5)
    scene.host("a1").die()

    # (d) a5 is back; its newest entry is of a later term than the old one
    scene.let_stand("a5")
    scene.host("a5").start()
    scene.until(lambda: scene.leads("a5"), within_ms=4000)
    scene.go_on(200)


def a_leader_that_has_come_by_a_snapshot(cast: Cast) -> None:
    """Raft, 7: a3 knows from its snapshot alone that a2 takes part; when a2 dies, a3 has to declare it lost."""
    scene = Scene(cast, nodes=4)
    lost = scene.world.invariants.consensus.lost
    scene.host("a2").die()
    scene.until(lambda: "a2" in lost)
    scene.go_on(100)
    scene.part({"a3"})
    scene.host("a2").start()
    scene.until(lambda: "a2" not in lost)
    for number in range(80):
        scene.host("a1").edit(f"edit {number}".encode())
        scene.go_on(5)
    scene.network.cut = set()
    scene.until(lambda: scene.world.counts.restores > 0)
    scene.until(lambda: scene.has_all_entries("a3"))
    scene.hand_over(scene.host("a1"), "a3")
    scene.host("a2").die()
    scene.until(lambda: scene.leads("a3"))
    scene.go_on(1000)
    if "a2" not in lost:
        raise ViolationError("a2 has been dead for a second, and a3 leads and does not know that it took part")
