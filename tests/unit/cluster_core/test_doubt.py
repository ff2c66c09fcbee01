"""A node that finds itself late doubts itself before it doubts others: their word may wait in its own sockets."""

from __future__ import annotations

from daemon.cluster.core import Role
from daemon.cluster.core.effects import PeerSilent, WasLate
from daemon.cluster.messages import PreVote
from daemon.cluster.records import Lost
from tests.unit.cluster_core.node import MS, TIMERS, Node
from tests.unit.cluster_core.test_leader import keep_leading, leader

DOUBT_MS = TIMERS.heartbeat_ms + TIMERS.election_step_ms
LOSS_MS = TIMERS.loss_after_ns // MS


def stop(node: Node, ms: int) -> None:
    """SIGSTOP and SIGCONT, or a suspended machine: time passes, and nothing happens."""
    node.core.deadline_ns()
    node.now_ns += ms * MS


def test_a_leader_that_was_stopped_hears_its_queue_before_it_declares_anybody_lost() -> None:
    node = leader()
    node.hear("a3")
    granted_ns = node.now_ns
    keep_leading(node, LOSS_MS - 100, heard=("a2", "a4"))
    stop(node, 125)
    assert node.now_ns > granted_ns + TIMERS.loss_after_ns
    node.incarnations["a2"] += 1  # a new process: its heartbeat makes the leader look at everybody
    node.hear("a2")
    node.tick()
    assert node.core.leader is not None
    assert Lost("a3") not in node.tail()
    node.hear("a3")
    keep_leading(node, 2 * DOUBT_MS)
    assert Lost("a3") not in node.tail()


def test_who_is_silent_all_the_same_is_lost_when_the_doubt_is_over() -> None:
    node = leader()
    node.hear("a3")
    keep_leading(node, LOSS_MS - 100, heard=("a2", "a4"))
    stop(node, 125)
    keep_leading(node, 2 * DOUBT_MS, heard=("a2", "a4"))
    assert Lost("a3") in node.tail()


def test_a_pause_is_noticed_by_whatever_comes_first_after_it() -> None:
    for first in ("datagram", "timer"):
        node = leader()
        stop(node, 400)
        if first == "datagram":
            node.hear("a2")
        else:
            node.tick()
        assert [event for event in node.events if isinstance(event, WasLate)], first
        assert node.core.replica.doubt_until_ns == node.now_ns + DOUBT_MS * MS


def test_a_leader_that_was_stopped_for_longer_than_its_lease_grants_and_declares_nothing() -> None:
    node = leader()
    stop(node, 10_000)
    node.hear("a2", "a3", "a4")
    node.tick()
    assert not any(isinstance(command, Lost) for command in node.tail())
    assert node.lease_until_ns is not None
    assert node.lease_until_ns < node.now_ns


def test_a_follower_that_was_stopped_calls_nobody_silent_and_does_not_stand_at_once() -> None:
    node = Node("a2")
    node.hear_all()
    node.follow("a1", 1)
    node.outbox.clear()
    stop(node, 2_000)
    node.hear("a3")
    node.tick()
    assert node.role is Role.FOLLOWER
    assert node.take(PreVote) == []
    assert not [event for event in node.events if isinstance(event, PeerSilent)]


def test_a_little_late_is_no_reason_for_doubt() -> None:
    node = leader()
    stop(node, TIMERS.heartbeat_ms - 1)
    node.hear("a2")
    assert not [event for event in node.events if isinstance(event, WasLate)]
