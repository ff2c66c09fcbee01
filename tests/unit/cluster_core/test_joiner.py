"""A node that belongs to no cluster yet, and hears one."""

from __future__ import annotations

from daemon.cluster.core import Core, Saved
from daemon.cluster.core.echoes import NAMED_MAX
from daemon.cluster.core.effects import PeerHeard
from daemon.cluster.core.leasing import ECHOES_PER_HEARTBEAT
from daemon.cluster.core.membership import MEMBERS_MAX
from daemon.cluster.messages import Heartbeat
from tests.unit.cluster_core.node import INCARNATION, TIMERS, NoChance

ROUNDS = 20


def test_a_joiner_knows_all_members_of_a_large_cluster_however_often_they_take_turns() -> None:
    core = Core("new", (), TIMERS, INCARNATION, "boot", Saved("store"), 0, NoChance())
    members = [f"n{number}" for number in range(MEMBERS_MAX - 1)]
    heard: list[str] = []
    heartbeats: list[Heartbeat] = []
    for number in range(1, ROUNDS + 1):
        for place, member in enumerate(members, start=1):
            now_ns = (number - 1) * TIMERS.heartbeat_ns + place * TIMERS.heartbeat_ns // len(members)
            if now_ns >= core.deadline_ns():
                core.tick(now_ns)
            core.receive(member, Heartbeat(1, "boot", number, 1, 0, {"new": (INCARNATION, 1)}, member), now_ns)
            ready = core.ready()
            heard += [event.peer for event in ready.events if isinstance(event, PeerHeard)]
            heartbeats += [send.message for send in ready.sends if isinstance(send.message, Heartbeat)]
    assert sorted(heard) == sorted(members), "each is news once"
    assert heartbeats[-1].heard.keys() == set(members)
    first = sum(len(heartbeat.heard) < len(members) for heartbeat in heartbeats)
    assert NAMED_MAX <= first < NAMED_MAX + 2 * ECHOES_PER_HEARTBEAT, "one for each of a few; many share one"
    assert len(heartbeats) <= first + 2 * ROUNDS, "then in its own time"


def test_one_that_is_new_is_answered_at_once_in_a_large_cluster_too() -> None:
    core = Core("new", (), TIMERS, INCARNATION, "boot", Saved("store"), 0, NoChance())
    for number in range(100):
        core.receive(f"n{number}", Heartbeat(1, "boot", 1, 1, 0, {}), number)
    core.tick(TIMERS.heartbeat_ns)
    core.ready()
    now_ns = TIMERS.heartbeat_ns + TIMERS.heartbeat_ns // 2
    core.receive("n7", Heartbeat(2, "boot", 1, 1, 0, {}), now_ns)
    (sent,) = [send.message for send in core.ready().sends if isinstance(send.message, Heartbeat)]
    assert sent.heard["n7"] == (2, 1)
