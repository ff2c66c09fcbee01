"""Whose confirmed fencing counts (`core.fencing`): its refusals name what is missing, and what ends it."""

from __future__ import annotations

import pytest

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.fencing import Fencing, FencingRefusedError
from daemon.cluster.core.membership import Membership
from daemon.cluster.core.rosters import Rosters
from daemon.cluster.messages import Heartbeat
from daemon.cluster.records import Admit, Command, LogEntry, Member, Roster
from daemon.cluster.timers import PROFILES

TWO = Roster((Member("a1", "s1", True), Member("a2", "s2", True)), fencing=True)


class Host:
    """The state of a1's core that fencing looks at, grown entry by entry."""

    def __init__(self, *commands: Command, boot: str = "a1-boot") -> None:
        self.index = 0
        self.admissions = Admissions(())
        self.rosters = Rosters(("a1", "a2"), None, ())
        self.membership = Membership("a1", ["a1", "a2"], 7, boot, PROFILES["default"], joins=False, witness=False)
        self.fencing = Fencing("a1", boot, self.admissions, self.membership, self.rosters)
        for command in commands:
            self.append(command)

    def append(self, command: Command) -> None:
        self.index += 1
        entry = LogEntry(self.index, 1, 0, command)
        self.admissions.appended(entry)
        self.rosters.appended(entry)
        self.fencing.appended(entry)

    def hear(self, incarnation: int, boot: str) -> bool:
        peer = self.membership.heard("a2", Heartbeat(incarnation, boot, 1, 1, 0, {}), 0)
        assert peer is not None
        return self.fencing.heard(peer)


def served(*more: Command) -> Host:
    """Both are admitted, and have agreed."""
    return Host(Admit("a1", 7, "a1-boot"), Admit("a2", 3, "a2-boot"), TWO, *more)


def test_the_vote_of_the_other_one_counts_once_its_fencing_is_confirmed() -> None:
    host = served()
    assert host.fencing.candidate == "a2"
    assert host.fencing.counted == frozenset()
    host.fencing.confirm("a2", 3, "switch", 1000)
    assert host.fencing.counted == {"a2"}


def test_a_daemon_that_started_again_on_the_same_boot_may_count() -> None:
    host = Host(Admit("a1", 5, "a1-boot"), Admit("a2", 3, "a2-boot"), TWO)
    assert host.fencing.candidate == "a2"


def test_a_host_that_was_not_admitted_since_it_booted_may_not() -> None:
    host = Host(Admit("a1", 5, "former-boot"), Admit("a2", 3, "a2-boot"), TWO)
    assert host.fencing.candidate == ""
    with pytest.raises(FencingRefusedError, match="has not taken part since it booted"):
        host.fencing.confirm("a2", 3, "switch", 0)


@pytest.mark.parametrize(
    ("roster", "peer", "said"),
    [
        (Roster(TWO.members), "a2", "set stonith-enabled=true"),
        (Roster((*TWO.members, Member("a3", "s3", True)), fencing=True), "a2", "has 3 voters"),
        (Roster(TWO.members, tie_breaker="a1", fencing=True), "a2", "a1 breaks ties"),
        (TWO, "a1", "no other voter"),
        (TWO, "a9", "no other voter"),
    ],
)
def test_what_cannot_count_is_refused_with_the_reason(roster: Roster, peer: str, said: str) -> None:
    host = Host(Admit("a1", 7, "a1-boot"), roster)
    with pytest.raises(FencingRefusedError, match=said):
        host.fencing.confirm(peer, 99, "root", 0)


def test_a_word_about_a_peer_that_has_started_again_comes_too_late() -> None:
    host = served()
    host.hear(4, "a2-second-boot")
    with pytest.raises(FencingRefusedError, match="started again"):
        host.fencing.confirm("a2", 3, "switch", 0)


def test_the_count_ends_with_the_append_of_the_peers_admission() -> None:
    host = served()
    host.fencing.confirm("a2", 3, "switch", 0)
    host.append(Admit("a2", 4, "a2-second-boot"))
    assert host.fencing.counted == frozenset()


def test_the_count_ends_with_the_electorate_and_not_with_a_learner() -> None:
    host = served()
    host.fencing.confirm("a2", 3, "switch", 0)
    host.append(Roster((*TWO.members, Member("a3", "s3", False)), fencing=True))
    assert host.fencing.counted == {"a2"}
    host.append(Roster((*TWO.members, Member("a3", "s3", True))))
    assert host.fencing.counted == frozenset()


@pytest.mark.parametrize(
    ("incarnation", "boot", "wrong"),
    [(3, "a2-boot", True), (4, "a2-boot", True), (4, "a2-second-boot", False)],
)
def test_a_process_from_before_the_confirmation_belies_it(incarnation: int, boot: str, wrong: bool) -> None:
    host = served()
    host.fencing.confirm("a2", 3, "switch", 0)
    assert host.hear(incarnation, boot) is wrong
    assert host.fencing.counted == (frozenset() if wrong else {"a2"})
