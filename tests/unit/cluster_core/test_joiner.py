"""A node that belongs to no cluster yet, and hears one."""

from __future__ import annotations

from daemon.cluster.core import Core, Saved
from daemon.cluster.core.effects import PeerHeard
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
    assert len(heartbeats) <= len(members) + 2 * ROUNDS, "one for each that is new, then in its own time"
