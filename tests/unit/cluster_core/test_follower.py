"""Following: answers, entries, conflicts, proposals, and who is trusted at all."""

from __future__ import annotations

import pytest

from daemon.cluster.core import Core, HardState, Saved, TooMuchProposedError
from daemon.cluster.core.effects import PeerHeard, PeerSilent, ProposalCommitted, Refused, TwoHistories
from daemon.cluster.core.proposals import OUTSTANDING_MAX
from daemon.cluster.messages import (
    BODY_BYTES_MAX,
    Append,
    AppendAnswer,
    Heartbeat,
    Proposal,
    Propose,
    Reject,
    Vote,
    VoteAnswer,
)
from daemon.cluster.records import LogEntry, Request
from tests.simulation.omissions.consensus import AnswerBeforeFsync
from tests.unit.cluster_core.node import INCARNATION, TIMERS, Node, entries


def log_of(node: Node) -> list[tuple[int, int]]:
    log = node.core.replica.log
    return [(entry.index, entry.term) for entry in log.entries(1, log.last_index)]


@pytest.mark.parametrize("kind", [Core, AnswerBeforeFsync])
def test_a_round_is_answered_at_once_and_entries_after_the_fsync(kind: type[Core]) -> None:
    node = Node("a2", Saved("store", HardState(1)), kind=kind)
    node.disk_works = False
    node.follow("a1", 1, entries(1, 1))
    assert node.take(AppendAnswer) == [AppendAnswer(1, 1, 0 if kind is Core else 2, 0)]
    node.sync()
    assert kind is not Core or node.take(AppendAnswer) == [AppendAnswer(1, 1, 2, 0)]


def test_a_new_term_is_revealed_after_the_fsync() -> None:
    node = Node("a2")
    node.disk_works = False
    node.follow("a1", 4)
    assert node.take(AppendAnswer) == []
    node.sync()
    assert node.take(AppendAnswer) == [AppendAnswer(4, 1, 0, 0)]


def test_who_follows_a_leader_answers_no_other_one_of_the_same_term() -> None:
    """There is none; were there one by some mistake (a vote that two have counted), both could commit."""
    node = Node("a2")
    node.follow("a1", 4)
    node.take(AppendAnswer)
    node.receive("a3", Append(4, 1, 0, 0, list(entries(4)), 0, True))
    assert node.take(AppendAnswer) == []
    assert log_of(node) == []
    assert node.core.replica.leader == "a1"
    node.follow("a3", 5)
    assert node.take(AppendAnswer) == [AppendAnswer(5, 1, 0, 0)]


def test_a_gap_is_refused_with_the_index_that_is_missing() -> None:
    node = Node("a2", Saved("store", HardState(1), entries(1, 1)))
    node.receive("a1", Append(1, 1, 5, 1, [], 0, True))
    assert node.take(AppendAnswer) == [AppendAnswer(1, 1, 0, 3)]


def test_a_conflict_is_refused_with_the_first_index_of_its_term() -> None:
    node = Node("a2", Saved("store", HardState(3), entries(1, 2, 2, 2)))
    node.receive("a1", Append(3, 1, 4, 3, [], 0, True))
    assert node.take(AppendAnswer) == [AppendAnswer(3, 1, 0, 2)]


def test_conflicting_entries_are_cut_away_in_memory_and_on_disk() -> None:
    node = Node("a2", Saved("store", HardState(3), entries(1, 2, 2, 2)))
    node.disk_works = False
    node.core.receive("a1", Append(3, 1, 1, 1, list(entries(3, first=2)), 0, True), node.now_ns)
    ready = node.core.ready()
    assert ready.persist is not None
    assert ready.persist.truncate_from == 2
    assert [entry.index for entry in ready.persist.entries] == [2]
    assert log_of(node) == [(1, 1), (2, 3)]


def test_an_older_append_of_the_same_leader_cuts_nothing_away() -> None:
    node = Node("a2", Saved("store", HardState(1)))
    log = entries(1, 1, 1)
    node.follow("a1", 1, log)
    node.follow("a1", 1, log[:1])
    assert log_of(node) == [(1, 1), (2, 1), (3, 1)]


def test_the_commit_index_goes_no_further_than_what_is_verified() -> None:
    node = Node("a2", Saved("store", HardState(2), entries(1, 1, 1)))
    node.receive("a1", Append(2, 1, 1, 1, [], 3, True))
    assert [entry.index for entry in node.committed] == [1]


def test_entries_with_gaps_or_falling_terms_are_refused() -> None:
    node = Node("a2", Saved("store", HardState(2)))
    wrong = [*entries(2), *entries(2, first=3)]
    node.receive("a1", Append(2, 1, 0, 0, wrong, 0, True))
    node.receive("a1", Append(2, 2, 0, 0, list(entries(2, 1)), 0, True))
    assert log_of(node) == []
    assert len([event for event in node.events if isinstance(event, Refused)]) == 2


def test_entries_after_a_restart_come_again_from_the_first() -> None:
    node = Node("a2", Saved("store", HardState(1), entries(1, 1)))
    node.receive("a1", Append(1, 1, 2, 1, [], 2, True))
    assert [entry.index for entry in node.committed] == [1, 2]


def test_a_damaged_log_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="damaged"):
        Node("a2", Saved("store", HardState(1), entries(1, 1)[1:]))


# --- proposals


def test_a_proposal_is_forwarded_to_the_leader_and_repeated_until_it_is_committed() -> None:
    node = Node("a2", Saved("store", HardState(1)))
    ticket = node.core.propose(b"edit", node.now_ns)
    node.drain()
    assert node.take(Propose) == []  # nobody leads
    node.follow("a1", 1)
    assert [send.to for send in node.outbox if isinstance(send.message, Propose)] == ["a1"]
    [propose] = node.take(Propose)
    assert (propose.incarnation, propose.proposals[0].body) == (INCARNATION, b"edit")
    node.pass_ms(2 * TIMERS.heartbeat_ms)
    assert node.take(Propose) == [propose]
    entry = LogEntry(1, 1, 0, Request("a2", INCARNATION, ticket, b"edit"))
    node.follow("a1", 1, (entry,), commit=1)
    assert ProposalCommitted(ticket, 1) in node.events
    node.pass_ms(150)
    assert node.take(Propose) == []


def test_an_abandoned_proposal_is_repeated_no_more() -> None:
    node = Node("a2", Saved("store", HardState(1)))
    node.follow("a1", 1)
    ticket = node.core.propose(b"edit", node.now_ns)
    node.drain()
    assert len(node.take(Propose)) == 1
    node.core.abandon(ticket)
    node.pass_ms(150)
    assert node.take(Propose) == []


def test_another_leader_is_told_of_proposals_at_once() -> None:
    node = Node("a2", Saved("store", HardState(1)))
    node.follow("a1", 1)
    node.core.propose(b"edit", node.now_ns)
    node.drain()
    node.take(Propose)
    node.follow("a3", 2)
    assert len(node.take(Propose)) == 1


def test_a_repeated_proposal_is_appended_once() -> None:
    node = Node()
    node.lead()
    before = node.core.replica.log.last_index
    for _ in range(2):
        node.receive("a2", Propose(1, [Proposal(3, b"x")]))
    assert node.core.replica.log.last_index == before + 1


def test_too_many_and_too_large_proposals_are_refused_with_a_reason() -> None:
    node = Node("a2")
    with pytest.raises(TooMuchProposedError, match="bytes"):
        node.core.propose(bytes(BODY_BYTES_MAX + 1), node.now_ns)
    for _ in range(OUTSTANDING_MAX):
        node.core.propose(b"", node.now_ns)
    with pytest.raises(TooMuchProposedError, match="quorum"):
        node.core.propose(b"", node.now_ns)


# --- who is trusted


def test_a_peer_counts_once_it_has_heard_this_very_process() -> None:
    node = Node("a2", waited=False)
    stale = {"a2": (INCARNATION - 1, 999)}
    node.receive("a1", node.heartbeat("a1", heard=stale))
    node.receive("a1", Append(9, 1, 0, 0, list(entries(9)), 0, True))
    node.receive("a1", Reject(9))
    node.receive("a1", Vote(9, 0, 0, True))
    assert (node.term, log_of(node), node.take(VoteAnswer)) == (0, [], [])
    node.hear("a1")
    node.receive("a1", Append(9, 1, 0, 0, list(entries(9)), 0, True))
    assert (node.term, log_of(node)) == (9, [(1, 9)])


def test_a_heartbeat_of_a_former_process_or_a_repeated_one_says_nothing() -> None:
    node = Node("a2")
    node.incarnations["a1"] = 3
    node.hear("a1")
    node.receive("a1", node.heartbeat("a1", incarnation=2, sequence=10_000, epoch=77))
    peer = node.core.replica.membership.peers["a1"]
    assert (peer.incarnation, peer.epoch) == (3, 0)


def test_a_new_incarnation_is_not_fresh_until_it_has_heard_us() -> None:
    node = Node("a2")
    node.receive("a1", node.heartbeat("a1", incarnation=2, heard={}))
    assert not node.core.replica.membership.peers["a1"].fresh


def test_a_new_process_is_answered_with_a_heartbeat_at_once() -> None:
    node = Node("a2")
    node.take(Heartbeat)
    node.receive("a1", node.heartbeat("a1", incarnation=2, heard={}))
    [heartbeat] = node.take(Heartbeat)
    assert heartbeat.heard["a1"][0] == 2


def test_a_stranger_is_refused() -> None:
    node = Node("a2")
    node.core.receive("mallory", Reject(99), node.now_ns)
    node.drain()
    assert node.term == 0
    assert any(isinstance(event, Refused) and event.sender == "mallory" for event in node.events)


def test_a_namesake_is_reported_once_and_the_own_echo_never() -> None:
    node = Node("a2")
    own = Heartbeat(INCARNATION, "a2-boot", 1, 0, 0, {})
    other = Heartbeat(INCARNATION + 3, "elsewhere", 1, 0, 0, {})
    for message in (own, other, other):
        node.core.receive("a2", message, node.now_ns)
        node.drain()
    assert len([event for event in node.events if isinstance(event, Refused)]) == 1


def test_silence_and_return_of_a_peer_are_told() -> None:
    node = Node("a2")
    node.events.clear()
    node.pass_ms(300)
    assert {event.peer for event in node.events if isinstance(event, PeerSilent)} == {"a1", "a3", "a4"}
    node.hear("a3")
    assert PeerHeard("a3", 1) in node.events


def test_status_names_everybody_in_the_order_of_rank() -> None:
    node = Node("a2", Saved("store", HardState(1)))
    node.follow("a1", 1)
    status = node.core.status(node.now_ns)
    assert [peer.name for peer in status.peers] == ["a1", "a2", "a3", "a4"]
    assert (status.leader, status.quorate, status.term) == ("a1", True, 1)
    assert not node.core.status(node.now_ns + TIMERS.promise_ns + 1).quorate


def test_of_two_histories_the_committed_one_stays_and_it_is_told_once() -> None:
    node = Node("a2")
    node.follow("a1", 1, entries(1, 1), commit=2)
    node.receive("a1", Append(2, 1, 1, 1, [LogEntry(2, 2, 0, Request("a9", 1, 9, b"another"))], 0, True))
    node.receive("a1", Append(2, 2, 2, 2, [], 0, True))
    assert [event for event in node.events if isinstance(event, TwoHistories)] == [TwoHistories("a1", 2)]
    assert log_of(node) == [(1, 1), (2, 1)]
    assert all(answer.match < 2 for answer in node.take(AppendAnswer) if answer.term == 2)
