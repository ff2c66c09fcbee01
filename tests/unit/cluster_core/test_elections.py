"""Who is elected, when, and by whom: rules 2 to 8 and 10."""

from __future__ import annotations

import pytest

from daemon.cluster.core import Core, HardState, Role, Saved
from daemon.cluster.messages import (
    Append,
    PreVote,
    PreVoteAnswer,
    Reject,
    Transfer,
    Vote,
    VoteAnswer,
)
from tests.simulation.omissions.consensus import DoubleVote, VoteBeforeFsync
from tests.simulation.omissions.elections import PromiseToATerm, UnboundLeader
from tests.unit.cluster_core.node import MS, TIMERS, Node, entries

P_MS = TIMERS.promise_ns / MS


def is_granted(node: Node) -> bool:
    answers = node.take(VoteAnswer)
    return bool(answers) and answers[-1].granted


def test_a_process_waits_a_promise_after_its_start_before_it_stands() -> None:
    node = Node(waited=False)
    node.hear_all()
    node.pass_ms(P_MS - 60)
    node.hear_all()
    node.pass_ms(55)
    assert node.take(PreVote) == []
    node.pass_ms(10)
    assert node.take(PreVote) == [PreVote(1, 0, 0)]


def test_a_process_refuses_pre_votes_after_its_start_and_says_for_how_long() -> None:
    node = Node(waited=False)
    node.hear_all()
    node.pass_ms(30)
    node.receive("a2", PreVote(1, 0, 0))
    assert node.take(PreVoteAnswer) == [PreVoteAnswer(1, False, TIMERS.promise_ns - 30 * MS)]


def test_the_live_follower_of_the_lowest_rank_stands_first_and_the_next_a_step_later() -> None:
    second = Node("a2")
    second.pass_ms(2)
    assert second.take(PreVote) == []
    second.pass_ms(TIMERS.election_step_ms)
    assert len(second.take(PreVote)) == 1


def test_a_silent_node_of_lower_rank_is_not_waited_for() -> None:
    second = Node("a2", waited=False)
    second.hear("a3", "a4")
    second.pass_ms(P_MS - 1)
    second.hear("a3", "a4")
    second.pass_ms(2)
    assert len(second.take(PreVote)) == 1


def test_a_node_that_hears_no_majority_does_not_stand() -> None:
    node = Node(waited=False)
    node.hear("a2")
    node.pass_ms(1000)
    node.hear("a2")
    node.pass_ms(100)
    assert node.take(PreVote) == []


def test_a_refused_pre_vote_is_asked_again_when_the_refusal_said() -> None:
    node = Node()
    node.pass_ms(2)
    assert len(node.take(PreVote)) == 1
    node.receive("a2", PreVoteAnswer(1, False, 5 * MS))
    node.receive("a3", PreVoteAnswer(1, False, 9 * MS))
    node.pass_ms(8)
    assert node.take(PreVote) == []
    node.pass_ms(2)
    assert len(node.take(PreVote)) == 1
    assert node.term == 0


def test_a_pre_vote_changes_nothing_at_the_voter() -> None:
    node = Node("a2")
    node.pass_ms(2)
    node.receive("a3", PreVote(7, 0, 0))
    assert node.take(PreVoteAnswer) == [PreVoteAnswer(7, True, 0)]
    assert node.term == 0


def test_a_candidate_leads_once_a_majority_and_its_own_disk_have_its_vote() -> None:
    node = Node()
    node.disk_works = False
    node.pass_ms(2)
    node.receive("a2", PreVoteAnswer(1, True, 0))
    node.receive("a3", PreVoteAnswer(1, True, 0))
    assert node.take(Vote) == []  # not before the fsync
    node.sync()
    assert node.take(Vote) == [Vote(1, 0, 0, False)]
    node.receive("a2", VoteAnswer(1, True))
    assert not node.leads
    node.receive("a3", VoteAnswer(1, True))
    assert node.leads


def test_a_vote_of_another_term_does_not_count() -> None:
    node = Node()
    node.pass_ms(2)
    node.receive("a2", PreVoteAnswer(1, True, 0))
    node.receive("a3", PreVoteAnswer(1, True, 0))
    for peer in ("a2", "a3", "a4"):
        node.receive(peer, VoteAnswer(0, True))
        node.receive(peer, VoteAnswer(2, True))
    assert node.role is Role.CANDIDATE


@pytest.mark.parametrize("kind", [Core, VoteBeforeFsync])
def test_a_vote_leaves_after_the_fsync(kind: type[Core]) -> None:
    node = Node("a2", kind=kind)
    node.disk_works = False
    node.pass_ms(2)
    node.receive("a3", Vote(3, 0, 0, False))
    assert node.term == 3  # decided in memory
    early = is_granted(node)
    assert early is (kind is VoteBeforeFsync)
    node.sync()
    assert early or is_granted(node)


@pytest.mark.parametrize("kind", [Core, DoubleVote])
def test_a_voter_has_one_vote_a_term(kind: type[Core]) -> None:
    node = Node("a2", kind=kind)
    node.pass_ms(2)
    node.receive("a3", Vote(3, 0, 0, False))
    assert is_granted(node)
    node.receive("a4", Vote(3, 0, 0, False))
    assert is_granted(node) is (kind is DoubleVote)


def test_a_vote_survives_a_restart() -> None:
    node = Node("a2", Saved("store", HardState(3, "a3")))
    node.pass_ms(2)
    node.receive("a4", Vote(3, 0, 0, False))
    assert not is_granted(node)
    node.receive("a3", Vote(3, 0, 0, False))
    assert is_granted(node)


@pytest.mark.parametrize(("last", "granted"), [((2, 2), True), ((3, 2), True), ((1, 2), False), ((9, 1), False)])
def test_only_a_log_that_is_up_to_date_gets_a_vote(last: tuple[int, int], granted: bool) -> None:
    node = Node("a2", Saved("store", HardState(2), entries(1, 2)))
    node.pass_ms(2)
    node.receive("a3", PreVote(3, *last))
    [answer] = node.take(PreVoteAnswer)
    assert (answer.granted, answer.wait_ns) == ((True, 0) if granted else (False, -1))
    node.receive("a3", Vote(3, *last, False))
    assert is_granted(node) is granted


def test_a_voter_stays_with_the_leader_that_it_has_just_heard() -> None:
    node = Node("a2")
    node.follow("a1", term=1)
    node.pass_ms(100)
    node.receive("a3", Vote(2, 0, 0, False))
    assert not is_granted(node)
    assert node.term == 1
    node.pass_ms(P_MS - 100)
    node.receive("a3", Vote(2, 0, 0, False))
    assert is_granted(node)


@pytest.mark.parametrize("kind", [Core, PromiseToATerm])
def test_a_promise_survives_a_change_of_term(kind: type[Core]) -> None:
    node = Node("a2", kind=kind)
    node.follow("a1", term=1)
    node.receive("a4", Reject(2))
    assert node.term == 2
    node.receive("a3", Vote(3, 0, 0, False))
    assert is_granted(node) is (kind is PromiseToATerm)


@pytest.mark.parametrize("kind", [Core, UnboundLeader])
def test_a_leader_that_steps_down_is_bound_by_its_own_rounds(kind: type[Core]) -> None:
    node = Node(kind=kind)
    node.lead()
    last = node.core.replica.log.last_index
    node.receive("a3", Reject(2))
    assert node.role is Role.FOLLOWER
    node.receive("a3", Vote(3, last, 1, False))
    assert is_granted(node) is (kind is UnboundLeader)


def test_an_append_of_a_former_term_is_rejected_and_promises_nothing() -> None:
    node = Node("a2", Saved("store", HardState(4)))
    node.pass_ms(2)
    node.receive("a1", Append(3, 1, 0, 0, [], 0, True))
    assert node.take(Reject) == [Reject(4)]
    node.receive("a3", Vote(5, 0, 0, False))
    assert is_granted(node)


def test_a_leader_whose_rounds_nobody_answers_steps_down() -> None:
    node = Node()
    node.lead()
    node.pass_ms(TIMERS.leadership_lease_ms + 2 * P_MS + 60)
    assert node.role is Role.FOLLOWER


def test_a_transfer_makes_its_receiver_stand_at_once_though_all_have_promised() -> None:
    node = Node("a2")
    node.follow("a1", term=1)
    node.receive("a1", Transfer(1))
    assert node.take(Vote) == [Vote(2, 0, 0, True)]


def test_a_transfer_of_somebody_else_or_of_another_term_is_ignored() -> None:
    node = Node("a2")
    node.follow("a1", term=2)
    node.receive("a3", Transfer(2))
    node.receive("a1", Transfer(1))
    assert node.take(Vote) == []


def test_a_transferring_leader_no_longer_leads_when_its_word_leaves() -> None:
    node = Node()
    node.lead()
    assert node.core.transfer("a2", node.now_ns)
    assert node.role is Role.FOLLOWER
    node.drain()
    assert node.take(Transfer) == [Transfer(1)]


def test_a_voter_whose_disk_refuses_does_not_vote() -> None:
    node = Node("a2")
    node.disk_works = False
    node.pass_ms(2)
    node.receive("a3", Reject(3))
    node.core.persist_failed(node.receipts[-1], "full", node.now_ns)
    node.drain()
    node.receive("a3", Vote(4, 0, 0, False))
    assert not is_granted(node)


def test_a_late_process_doubts_itself_before_it_stands() -> None:
    node = Node()
    node.core.lateness(500 * MS, node.now_ns)
    node.hear_all()
    node.pass_ms(TIMERS.heartbeat_ms)
    assert node.take(PreVote) == []
    node.hear_all()
    node.pass_ms(TIMERS.election_step_ms + 1)
    assert len(node.take(PreVote)) == 1
