"""Who votes: a name together with the store that holds its memory (rule 21)."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core, HardState, Role, Saved
from daemon.cluster.core.effects import StoreLost, WaitsForFounders
from daemon.cluster.messages import (
    Append,
    AppendAnswer,
    Heartbeat,
    PreVote,
    PreVoteAnswer,
    Transfer,
    Vote,
    VoteAnswer,
)
from daemon.cluster.records import Admit, Command, LogEntry, Member, Noop, Roster
from tests.unit.cluster_core.node import MEMBERS, MS, TIMERS, NoChance, Node

BLANK: dict[str, Any] = {"blank": True, "votes": False}


def log_with(*commands: Admit) -> tuple[LogEntry, ...]:
    noop: Command = Noop()
    return tuple(LogEntry(index, 1, 0, command) for index, command in enumerate((noop, *commands), 1))


def empty(name: str = "a1") -> Node:
    """With an empty disk; the promise that every start waits for is over, and nobody was heard."""
    node = Node(name, Saved("new"), waited=False)
    node.pass_ms(TIMERS.promise_ns / MS + 10)
    return node


def hear(node: Node, *peers: str, **changes: Any) -> None:
    for peer in peers:
        node.receive(peer, node.heartbeat(peer, store_id=f"store of {peer}", **changes))


def told(node: Node) -> Heartbeat:
    """Its newest heartbeat."""
    node.outbox.clear()
    node.pass_ms(60)
    return node.take(Heartbeat)[-1]


# --- founding


def test_a_new_cluster_is_founded_when_all_have_said_that_they_are_blank() -> None:
    node = empty()
    hear(node, "a2", "a3", **BLANK)
    assert not told(node).votes
    hear(node, "a4", **BLANK)
    assert told(node).votes
    assert told(node).blank


def test_a_cluster_of_one_founds_itself_and_leads() -> None:
    core = Core("a1", ("a1",), TIMERS, 5, "boot", Saved("new"), 10**12, NoChance())
    now_ns = 10**12
    for _ in range(200):
        now_ns = min(max(now_ns + 1, core.deadline_ns()), now_ns + 50 * MS)
        core.tick(now_ns)
        if (persist := core.ready().persist) is not None:
            core.persisted(persist.receipt, now_ns)
    assert core.status(now_ns).leader == "a1"
    assert core.status(now_ns).quorate
    assert [entry.command for entry in core.committed_entries(1, 9)][1] == Admit("a1", 5, "boot", "new")


def test_an_empty_store_does_not_found_a_cluster_beside_one_that_has_lived() -> None:
    node = empty()
    hear(node, "a2", "a3", **BLANK)
    hear(node, "a4", blank=False, votes=True)
    assert not told(node).votes
    node.receive("a4", Vote(3, 9, 2, False))
    assert node.take(VoteAnswer) == [VoteAnswer(3, False)]
    assert node.term == 0


def test_a_founder_votes_only_once_its_right_to_is_on_disk() -> None:
    node = empty("a2")
    node.disk_works = False
    hear(node, "a1", "a3", "a4", **BLANK)
    node.receive("a1", PreVote(1, 0, 0))
    assert node.take(PreVoteAnswer) == [PreVoteAnswer(1, False, -1)]
    node.sync()
    node.receive("a1", PreVote(1, 0, 0))
    assert node.take(PreVoteAnswer) == [PreVoteAnswer(1, True, 0)]


def test_a_founder_asks_nobody_before_a_majority_may_vote() -> None:
    node = empty()
    hear(node, "a2", "a3", "a4", **BLANK)
    node.pass_ms(20)
    hear(node, "a2", blank=True, votes=True)
    node.pass_ms(20)
    assert node.take(PreVote) == []
    hear(node, "a3", blank=True, votes=True)
    node.pass_ms(2)
    assert node.take(PreVote) == [PreVote(1, 0, 0)]


def test_whom_a_new_cluster_waits_for_is_told_once() -> None:
    node = empty()
    hear(node, "a2", "a3", **BLANK)
    hear(node, "a2", "a3", **BLANK)
    assert [event for event in node.events if event == WaitsForFounders(("a4",))] == [WaitsForFounders(("a4",))]
    assert node.core.status(node.now_ns).waits_for == ("a4",)


def test_a_store_of_a_version_that_did_not_ask_votes_if_it_has_lived() -> None:
    assert told(Node("a1", Saved("old", HardState(3)))).votes
    assert not told(Node("a1", Saved("old", HardState()))).votes


# --- learners


def test_the_log_gives_an_empty_store_its_vote_where_its_name_was_never_admitted() -> None:
    node = empty("a4")
    hear(node, "a1", "a2", "a3")
    log = log_with(Admit("a4", 5, "a4-boot", "new"))
    node.follow("a1", 1, log)
    assert not told(node).votes  # it is not committed
    node.follow("a1", 1, log, commit=2)
    assert told(node).votes


def test_a_store_that_replaces_a_lost_one_learns_and_says_so_once() -> None:
    node = empty("a4")
    hear(node, "a1", "a2", "a3")
    log = log_with(Admit("a4", 3, "a4-boot", "lost"), Admit("a4", 5, "a4-boot", "new"))
    for _ in range(2):
        node.follow("a1", 1, log, commit=3)
    assert node.events.count(StoreLost("a4")) == 1
    assert not told(node).votes
    assert [entry.index for entry in node.committed] == [1, 2, 3]
    assert node.take(AppendAnswer) == []
    node.receive("a1", Append(1, 2, 3, 1, [], 3, True))
    assert node.take(AppendAnswer) == [AppendAnswer(1, 2, 3, 0)]


def test_a_learner_neither_votes_nor_stands_also_when_it_is_asked_to() -> None:
    node = Node("a4", Saved("new", HardState(1, None, votes=False), log_with(Admit("a4", 3, "a4-boot", "lost"))))
    node.pass_ms(5000)
    node.hear_all()
    node.pass_ms(500)
    assert node.take(PreVote) == []
    node.receive("a2", PreVote(2, 9, 1))
    assert node.take(PreVoteAnswer) == [PreVoteAnswer(2, False, -1)]
    node.receive("a2", Vote(2, 9, 1, False))
    assert node.take(VoteAnswer) == [VoteAnswer(2, False)]
    node.follow("a1", 2)
    node.receive("a1", Transfer(2))
    assert node.role is Role.FOLLOWER


def test_a_lost_store_that_is_put_back_votes() -> None:
    log = log_with(Admit("a4", 3, "a4-boot", "found"), Admit("a4", 4, "a4-boot", "meanwhile"))
    node = Node("a4", Saved("found", HardState(1, None, votes=True), log))
    node.pass_ms(2)
    node.receive("a2", PreVote(2, 9, 1))
    assert node.take(PreVoteAnswer) == [PreVoteAnswer(2, True, 0)]


# --- whose answers count


def candidate() -> Node:
    """Of a1; its log records the stores of all."""
    log = log_with(*(Admit(peer, 1, f"{peer}-boot", f"store of {peer}") for peer in MEMBERS))
    node = Node("a1", Saved("store of a1", HardState(1, None, votes=True), log))
    hear(node, "a2", "a3", "a4")
    return node


def replace_store(node: Node, peer: str) -> None:
    node.incarnations[peer] += 1
    node.receive(peer, node.heartbeat(peer, store_id="another", votes=True))


def test_votes_and_pre_votes_of_a_replaced_store_are_not_counted() -> None:
    node = candidate()
    node.pass_ms(2)
    replace_store(node, "a3")
    for peer in ("a2", "a3"):
        node.receive(peer, PreVoteAnswer(2, True, 0))
    assert node.take(Vote) == []
    node.receive("a4", PreVoteAnswer(2, True, 0))
    assert len(node.take(Vote)) == 1
    for peer in ("a2", "a3"):
        node.receive(peer, VoteAnswer(2, True))
    assert not node.leads
    node.receive("a4", VoteAnswer(2, True))
    assert node.leads


def test_what_a_replaced_store_confirms_is_neither_committed_nor_a_lease() -> None:
    node = candidate()
    node.win()
    replace_store(node, "a3")
    node.answer("a2", "a3")
    assert node.committed == []
    assert node.core.leader is not None
    assert not node.core.leader.rounds.lead(node.now_ns)
    node.answer("a4")
    assert node.committed
    assert node.core.leader.rounds.lead(node.now_ns)


def test_a_leader_forgets_what_a_replaced_store_has_confirmed() -> None:
    node = candidate()
    node.win()
    node.answer("a2", "a3", "a4")
    assert node.core.leader is not None
    assert node.core.leader.replication.matches()["a3"] > 0
    replace_store(node, "a3")
    assert node.core.leader.replication.matches()["a3"] == 0


def test_a_replaced_store_is_admitted_with_its_id_and_becomes_a_learner() -> None:
    node = candidate()
    node.win()
    node.answer("a2", "a4")
    replace_store(node, "a3")
    node.answer("a2", "a4")
    node.receive("a3", node.heartbeat("a3", store_id="another", votes=False))
    (roster,) = (command for command in node.tail() if isinstance(command, Roster))
    assert Member("a3", "another", votes=False) in roster.members
    node.answer("a2", "a3", "a4")
    node.receive("a3", node.heartbeat("a3", store_id="another", votes=False))
    assert Admit("a3", 2, "a3-boot", "another") in node.tail()
