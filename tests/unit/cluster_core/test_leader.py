"""Grants, losses and admissions: rules 6 and 9 to 20."""

from __future__ import annotations

import pytest

from daemon.cluster.core import Core, Role, Saved
from daemon.cluster.core.effects import BecameLeader, DiskRefused, LostLeadership, Refused
from daemon.cluster.messages import (
    TRAVEL_NS_PER_BYTE,
    Append,
    AppendAnswer,
    Grant,
    Heartbeat,
    PreVoteAnswer,
    VoteAnswer,
)
from daemon.cluster.records import Admit, LogEntry, Lost, Noop, Request
from tests.simulation.omissions.grants import LeaseFromGrant
from tests.simulation.omissions.losses import AppliedIsEnforced
from tests.unit.cluster_core.node import INCARNATION, MS, TIMERS, Node

LOSS_MS = TIMERS.loss_after_ns / MS


def leader() -> Node:
    node = Node()
    node.lead()
    node.outbox.clear()
    return node


def keep_leading(node: Node, ms: float, heard: tuple[str, ...] = ("a2", "a3", "a4")) -> None:
    """Time passes; everybody answers, and those in `heard` send heartbeats."""
    for _ in range(int(ms // 25)):
        node.pass_ms(25)
        node.hear(*heard)
        if any(isinstance(send.message, Append) for send in node.outbox):
            node.answer("a2", "a3", "a4")


def test_a_new_leader_commits_an_entry_of_its_own_and_admits_whom_it_hears() -> None:
    node = leader()
    assert [type(command) for command in node.tail()] == [Noop, Admit, Admit, Admit, Admit]
    assert [entry.index for entry in node.committed] == [1, 2, 3, 4, 5]
    assert BecameLeader(1) in node.events


def test_a_heartbeat_is_granted_at_once_and_by_name() -> None:
    node = leader()
    node.hear("a3")
    assert node.take(Grant) == [Grant(1, 1, node._sequences["a3"], node.epochs["a3"], commit=5)]


def test_the_same_heartbeat_is_granted_once() -> None:
    node = leader()
    heartbeat = node.heartbeat("a3")
    node.receive("a3", heartbeat)
    node.receive("a3", heartbeat)
    assert len(node.take(Grant)) == 1


def test_nothing_is_granted_after_the_leadership_lease() -> None:
    node = leader()
    node.pass_ms(TIMERS.leadership_lease_ms + 1)
    node.hear("a3")
    assert node.take(Grant) == []


def test_the_leadership_lease_runs_from_the_sending_of_the_round() -> None:
    node = Node()
    node.win()
    sent_ns = node.now_ns
    node.pass_ms(30)
    node.answer("a2", "a3")
    assert node.core.leader is not None
    assert node.core.leader.rounds.lease_end_ns is not None
    assert node.core.leader.rounds.lease_end_ns <= sent_ns + 50 * MS + TIMERS.leadership_lease_ns
    number = node.core.leader.rounds.number
    before = node.core.leader.rounds.lease_end_ns
    node.pass_ms(10)
    node.receive("a4", AppendAnswer(1, number, 0, 0))
    assert node.core.leader.rounds.lease_end_ns == before


def test_nothing_is_granted_before_an_entry_of_the_own_term_is_committed() -> None:
    node = Node()
    node.win()
    node.answer("a2", "a3", "a4", match=0)  # they lead it on, and have nothing on disk
    assert node.core.leader is not None
    assert node.core.leader.rounds.lead(node.now_ns)
    node.hear_all()
    assert node.take(Grant) == []


def test_an_answer_of_another_term_extends_nothing() -> None:
    node = Node()
    node.win()
    for peer in ("a2", "a3", "a4"):
        node.receive(peer, AppendAnswer(0, 1, 1, 0))
    assert node.core.leader is not None
    assert node.core.leader.rounds.lease_end_ns is None


def test_another_epoch_than_the_admissions_is_not_granted() -> None:
    node = leader()
    node.epochs["a3"] -= 1
    node.hear("a3")
    assert node.take(Grant) == []


def test_another_incarnation_than_the_admitted_is_not_granted() -> None:
    node = leader()
    node.incarnations["a3"] = 2
    node.boots["a3"] = "another"
    node.hear("a3")
    assert node.take(Grant) == []


def test_a_node_that_does_not_hear_us_is_not_granted_for_ever() -> None:
    node = leader()
    deaf = {"a1": (INCARNATION, node._own_sequence)}
    for _ in range(20):
        keep_leading(node, 25, heard=("a2", "a4"))
        node.receive("a3", node.heartbeat("a3", heard=deaf))
    keep_leading(node, LOSS_MS, heard=("a2", "a4"))
    assert Lost("a3") in node.tail()


def test_a_silent_node_is_lost_when_no_lease_of_it_can_run_and_not_before() -> None:
    node = leader()
    node.hear("a3")
    granted_ns = node.now_ns
    while node.now_ns + 25 * MS <= granted_ns + TIMERS.loss_after_ns:
        keep_leading(node, 25, heard=("a2", "a4"))
        assert Lost("a3") not in node.tail()
    keep_leading(node, 50, heard=("a2", "a4"))
    assert Lost("a3") in node.tail()


def test_an_appended_loss_ends_grants_before_it_is_committed() -> None:
    node = leader()
    keep_leading(node, LOSS_MS - 50, heard=("a2", "a4"))
    node.take(Append)
    while Lost("a3") not in node.tail():
        node.pass_ms(5)
        if any(isinstance(send.message, Append) for send in node.outbox):
            node.answer("a2", "a4", match=5)  # rounds are answered, the loss is on no other disk
    node.take(Grant)
    node.hear("a3")
    assert node.take(Grant) == []
    assert all(not isinstance(entry.command, Lost) for entry in node.committed)


def test_a_lost_node_is_admitted_again_under_a_new_epoch() -> None:
    node = leader()
    keep_leading(node, LOSS_MS + 50, heard=("a2", "a4"))
    keep_leading(node, 50)
    assert node.tail()[-1] == Admit("a3", 1, "a3-boot")
    node.take(Grant)
    node.hear("a3")
    assert node.take(Grant) == []  # its kernel still holds what the former epoch said
    node.epochs["a3"] = len(node.tail())
    node.hear("a3")
    assert len(node.take(Grant)) == 1


def test_a_new_process_on_the_same_kernel_is_admitted_at_once() -> None:
    node = leader()
    node.incarnations["a3"] = 2
    node.hear("a3")
    assert node.tail()[-1] == Admit("a3", 2, "a3-boot")


def test_a_new_process_on_another_kernel_is_admitted_only_after_the_loss() -> None:
    node = leader()
    node.incarnations["a3"], node.boots["a3"] = 2, "next"
    keep_leading(node, LOSS_MS - 100)
    assert len(node.tail()) == 5
    keep_leading(node, 200)
    assert node.tail()[5:] == [Lost("a3"), Admit("a3", 2, "next")]


def test_an_older_incarnation_than_the_admitted_is_refused_with_a_reason() -> None:
    log = (
        LogEntry(1, 1, 0, Noop()),
        LogEntry(2, 1, 0, Admit("a3", 9, "a3-boot")),
    )
    node = Node(saved=Saved("store", entries=log))
    node.win()
    node.answer("a2", "a3", "a4")
    keep_leading(node, 100)
    refusals = [event for event in node.events if isinstance(event, Refused) and event.sender == "a3"]
    assert len(refusals) == 1
    assert "process 9" in refusals[0].reason


def test_a_node_that_never_carries_out_its_admission_is_admitted_ever_more_seldom() -> None:
    node = leader()
    node.epochs["a3"] = 0
    keep_leading(node, 6000)
    admissions = [command for command in node.tail() if isinstance(command, Admit) and command.node == "a3"]
    assert 3 <= len(admissions) <= 6


def test_a_late_leader_hears_its_queue_out_before_it_declares_anybody_lost() -> None:
    node = leader()
    keep_leading(node, LOSS_MS - 60, heard=("a2", "a4"))
    for _ in range(5):
        node.core.lateness(100 * MS, node.now_ns)
        keep_leading(node, 25, heard=("a2", "a4"))
        assert Lost("a3") not in node.tail()


def test_a_leader_that_cannot_commit_abdicates() -> None:
    node = leader()
    node.core.propose(b"x", node.now_ns)
    node.drain()
    for _ in range(TIMERS.commit_bound_ms // 25 + 4):
        node.pass_ms(25)
        if node.role is Role.LEADER and any(isinstance(send.message, Append) for send in node.outbox):
            node.answer("a2", "a3", "a4", match=5)
    assert LostLeadership(1, "its entries are not committed in time") in node.events


def test_a_long_entry_and_what_waits_behind_it_have_the_time_that_their_bytes_take() -> None:
    node = leader()
    body = bytes(2 << 20)
    for proposed in (body, b"x"):
        node.core.propose(proposed, node.now_ns)
        node.drain()
    long_entry = node.core.replica.log.last_index - 1
    allowed_ms = TIMERS.commit_bound_ms + 2 * TRAVEL_NS_PER_BYTE * len(body) // MS

    def confirm(match: int, ms: int) -> None:
        for _ in range(ms // 25):
            node.pass_ms(25)
            if any(isinstance(send.message, Append) for send in node.outbox):
                node.answer("a2", "a3", "a4", match=match)

    confirm(long_entry - 1, allowed_ms - 100)
    confirm(long_entry, 75)
    assert node.role is Role.LEADER
    confirm(long_entry, 100)
    assert LostLeadership(1, "its entries are not committed in time") in node.events


def test_a_leader_whose_disk_refuses_abdicates_and_tries_again() -> None:
    node = leader()
    node.disk_works = False
    node.core.propose(b"x", node.now_ns)
    node.drain()
    node.core.persist_failed(node.receipts[-1], "no space left", node.now_ns)
    node.drain()
    assert node.role is Role.FOLLOWER
    assert any(isinstance(event, DiskRefused) for event in node.events)
    node.disk_works = True
    node.pass_ms(TIMERS.commit_bound_ms + 50)
    assert node.core.replica.disk.stable_index == 6


def test_the_leaders_own_lease_is_its_leadership_lease() -> None:
    node = leader()
    assert node.core.leader is not None
    keep_leading(node, 100)
    assert node.lease_until_ns == node.core.leader.rounds.lease_end_ns


@pytest.mark.parametrize("kind", [Core, LeaseFromGrant])
def test_a_lease_runs_from_the_own_stamp_of_the_granted_heartbeat(kind: type[Core]) -> None:
    node = Node("a2", kind=kind)
    node.core.enforced(7, node.now_ns)
    node.drain()
    sent_ns, sequence = node.now_ns, node._own_sequence
    node.pass_ms(40)
    node.receive("a1", Grant(1, INCARNATION, sequence, 7))
    expected_ns = sent_ns + TIMERS.lease_ns
    assert (node.lease_until_ns == expected_ns) is (kind is Core)


def test_a_grant_of_another_process_epoch_or_time_is_void() -> None:
    node = Node("a2")
    node.core.enforced(7, node.now_ns)
    node.drain()
    sequence = node._own_sequence
    node.receive("a1", Grant(1, INCARNATION - 1, sequence, 7))
    node.receive("a1", Grant(1, INCARNATION, sequence, 6))
    node.receive("a1", Grant(1, INCARNATION, sequence + 1, 7))
    node.pass_ms(TIMERS.lease_ms + 60)
    node.receive("a1", Grant(1, INCARNATION, sequence, 7))
    assert node.lease_until_ns is None


@pytest.mark.parametrize("kind", [Core, AppliedIsEnforced])
def test_a_heartbeat_tells_the_epoch_that_the_kernel_holds(kind: type[Core]) -> None:
    node = Node("a2", kind=kind)
    log = (LogEntry(1, 1, 0, Noop()), LogEntry(2, 1, 0, Admit("a2", INCARNATION, "a2-boot")))
    node.follow("a1", 1, log, commit=2)
    node.pass_ms(60)
    told = node.take(Heartbeat)[-1].epoch
    assert told == (0 if kind is Core else 2)
    node.core.enforced(2, node.now_ns)
    node.drain()
    if kind is Core:
        assert node.take(Heartbeat)[-1].epoch == 2  # and it does not wait for the next one


def test_a_former_leader_that_stays_silent_is_lost_at_once() -> None:
    node = Node("a2")
    log = (LogEntry(1, 1, 0, Noop()), LogEntry(2, 1, 0, Admit("a1", 1, "a1-boot")))
    for _ in range(int(LOSS_MS // 50) + 2):
        node.follow("a1", 1, log)
        node.pass_ms(50)
        node.hear("a1", "a3", "a4")
    term = elect(node)
    node.answer("a3", "a4")
    assert node.term == term
    for _ in range(7):
        node.pass_ms(10)
        node.hear("a3", "a4")
        node.answer("a3", "a4")
    assert Lost("a1") in node.tail()


def test_a_former_leader_that_was_followed_for_a_moment_only_is_waited_for() -> None:
    node = Node("a2")
    log = (LogEntry(1, 1, 0, Noop()), LogEntry(2, 1, 0, Admit("a1", 1, "a1-boot")))
    node.follow("a1", 1, log)
    elect(node)
    for _ in range(6):
        node.answer("a3", "a4")
        node.pass_ms(10)
        node.hear("a3", "a4")
    assert Lost("a1") not in node.tail()


def elect(node: Node) -> int:
    """a2 stands when its promise to the silent a1 is over, and a3 and a4 elect it."""
    for _ in range(40):
        node.pass_ms(10)
        node.hear("a3", "a4")
        for peer in ("a3", "a4"):
            node.receive(peer, PreVoteAnswer(node.term + 1, True, 0))
        for peer in ("a3", "a4"):
            node.receive(peer, VoteAnswer(node.term, True))
        if node.role is Role.LEADER:
            return node.term
    raise AssertionError("a2 was not elected")


def test_proposals_of_one_moment_leave_in_one_append() -> None:
    node = leader()
    for number in range(5):
        node.core.propose(b"%d" % number, node.now_ns)
    node.drain()
    [append] = [append for append in node.take(Append) if append.entries]
    bodies = [entry.command.body for entry in append.entries if isinstance(entry.command, Request)]
    assert bodies == [b"0", b"1", b"2", b"3", b"4"]


def test_a_commit_is_told_at_once() -> None:
    node = leader()
    node.core.propose(b"x", node.now_ns)
    node.drain()
    node.answer("a2", "a3")
    assert node.take(Append)[-1].commit == 6


def test_entries_are_cut_into_appends_of_bounded_size() -> None:
    node = leader()
    for _ in range(10):
        node.core.propose(bytes(20_000), node.now_ns)
    node.drain()
    sizes = [sum(20_000 for _ in append.entries) for append in node.take(Append) if append.entries]
    assert sum(sizes) == 200_000
    assert max(sizes) <= 64 << 10


def test_a_follower_that_misses_entries_is_sent_them_alone() -> None:
    node = leader()
    node.receive("a3", AppendAnswer(1, 1, 0, 2))
    [send] = [send for send in node.outbox if isinstance(send.message, Append)]
    assert send.to == "a3"
    assert isinstance(send.message, Append)
    assert (send.message.prev_index, len(send.message.entries)) == (1, 4)
    node.outbox.clear()
    node.receive("a3", AppendAnswer(1, 1, 0, 2))
    assert node.take(Append) == []  # the same wish again is an answer to something older


def test_the_stamps_of_entries_never_run_backwards() -> None:
    node = leader()
    node.core.wall_ms = 5000
    node.core.propose(b"x", node.now_ns)
    node.drain()
    node.core.wall_ms = 3000
    node.core.propose(b"y", node.now_ns)
    node.drain()
    log = node.core.replica.log
    assert [entry.stamp_ms for entry in log.entries(6, 7)] == [5000, 5000]
