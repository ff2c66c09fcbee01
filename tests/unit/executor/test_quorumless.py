"""What a node does while it has no quorum: stop, freeze, ignore, suicide."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from daemon.cluster.core.presence import Presence, Present
from daemon.cluster.timers import Timers
from daemon.executor import Executor, Finish, RunOperation
from daemon.executor.quorumless import SUICIDE_WITHIN_NS, Quorumless, Turn
from daemon.model.configuration import AttributeSet, Configuration
from daemon.state.commands import Result
from daemon.state.state import State
from datapath.engine import SlotState
from tests.unit.executor.cluster import INCARNATION, NODES, Cluster, shared, webserver

TIMERS = Timers()
MS = 1_000_000
OK = Finish(0, "done", "", 5, "digest")


def under(configuration: Configuration, policy: str, **more: str) -> Configuration:
    values = {"no-quorum-policy": policy, **{name.replace("_", "-"): value for name, value in more.items()}}
    sets = (AttributeSet(id="cib-bootstrap-options", values=values),)
    return configuration.model_copy(update={"properties": sets})


@dataclass
class Host:
    """One node of a cluster of four, that had a lease and is on its own from now on."""

    cluster: Cluster
    name: str
    now_ns: int = 1_000 * MS
    heard_all: bool = True
    operations: list[RunOperation] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    told: list[Result] = field(default_factory=list)
    """what the log was to hear"""

    def __post_init__(self) -> None:
        self.executor = Executor(self.name, INCARNATION, 60_000)
        self.quorumless = Quorumless(self.executor, TIMERS, self.now_ns, self.heard_all)
        self.present = tuple(Present(name, INCARNATION, "boot") for name in NODES)

    @property
    def state(self) -> State:
        return self.quorumless.state_in_force(self.cluster.state)

    def lease(self) -> None:
        self.quorumless.granted(self.now_ns + 350 * MS)
        self.executor.lease(self.now_ns + 350 * MS)

    def step(self, *present: str, quorate: bool = False) -> Turn:
        """Look and take once, the kernel obeys at once."""
        here = tuple(one for one in self.present if one.name in present or one.name == self.name)
        missing = tuple(name for name in NODES if name not in {one.name for one in here})
        turn = self.quorumless.look(
            self.cluster.state, Presence(quorate, lambda: here, lambda: missing), self.now_ns
        )
        self.turns.append(turn)
        effects = self.quorumless.take(self.cluster.state, self.now_ns)
        if effects.kernel is not None:
            self.executor.kernel_did(self.state, effects.kernel, {})
            effects.operations += self.quorumless.take(self.cluster.state, self.now_ns).operations
        self.operations += effects.operations
        self.told += [command for command in effects.proposals if isinstance(command, Result)]
        return turn

    def live(self, ms: int, *present: str, quorate: bool = False) -> list[Turn]:
        """Steps of 10 ms; agents end well within each.  The turns in which something was to be done."""
        before = len(self.turns)
        for _ in range(ms // 10):
            self.now_ns += 10 * MS
            self.step(*present, quorate=quorate)
            for operation in tuple(self.executor.operations.running.values()):
                self.executor.finished(operation, OK, self.now_ns)
        return [turn for turn in self.turns[before:] if turn != Turn()]

    def asked(self, operation: str) -> list[str]:
        return [asked.instance for asked in self.operations if asked.operation == operation]

    def holds(self) -> set[int]:
        have = self.executor.slots.have.get("VIP")
        return set() if have is None else {n for n, s in have.states.items() if s is SlotState.OPEN}


def running_web(policy: str, **more: str) -> Host:
    """The host on which the web server runs."""
    cluster = Cluster(under(webserver(), policy, **more))
    cluster.probed("web")
    (node,) = cluster.state.plan.placement["web"]
    cluster.request(Result(node, INCARNATION, "web", "start", 0, 0, "done", "", 1, ""), node)
    host = Host(cluster, node)
    host.lease()
    host.step(*NODES, quorate=True)
    return host


def sharing(name: str, policy: str, *, heard_all: bool = True, **more: str) -> Host:
    """A host that serves one of four slots."""
    cluster = Cluster(under(shared(), policy, **more))
    cluster.probed("VIP")
    cluster.ready()
    host = Host(cluster, name, heard_all=heard_all)
    host.lease()
    host.step(*(NODES if heard_all else (name,)), quorate=True)
    assert len(host.holds()) == 1
    return host


# ---- stop


def test_stop_ends_what_runs_two_seconds_after_the_lease() -> None:
    host = running_web("stop")
    host.live(2000)
    assert host.asked("stop") == []
    host.live(400)
    assert host.asked("stop") == ["web"]


def test_a_stop_that_fails_is_tried_again_after_a_pause() -> None:
    host = running_web("stop")
    host.now_ns += 3_000 * MS
    host.step()
    (stop,) = host.operations
    host.executor.finished(stop, Finish(1, "done", "it hangs", 5, ""), host.now_ns)
    host.step()
    assert host.asked("stop") == ["web"]
    host.live(1100)
    assert host.asked("stop") == ["web", "web"]


def test_what_was_stopped_is_told_once_somebody_listens_again() -> None:
    host = running_web("stop")
    host.live(3000)
    host.lease()
    host.step(*NODES, quorate=True)
    assert [(told.instance, told.operation, told.exit_code) for told in host.told] == [("web", "stop", 0)]


def test_demote_and_nonsense_count_as_stop() -> None:
    for policy in ("demote", "nonsense"):
        cluster = Cluster(webserver())
        host = Host(cluster, "a1")
        assert host.quorumless.properties(under(webserver(), policy)).policy == "stop"


# ---- freeze


def test_freeze_leaves_running_what_runs_and_starts_nothing() -> None:
    host = running_web("freeze")
    host.live(60_000)
    assert host.operations == []


def test_freeze_waits_for_the_lease_once_quorum_is_back() -> None:
    host = running_web("freeze")
    host.live(60_000)
    host.live(1_500, *NODES, quorate=True)
    assert host.asked("stop") == []


def test_freeze_is_no_excuse_where_a_quorum_is_heard_and_this_node_is_not() -> None:
    """The others have declared it lost, and have started elsewhere what ran here."""
    host = running_web("freeze")
    host.live(3_000, *NODES, quorate=True)
    assert host.asked("stop") == ["web"]


# ---- ignore


def test_ignore_takes_over_every_slot_of_the_nodes_that_are_not_heard() -> None:
    host = sharing("a1", "ignore")
    host.live(2_000)
    assert host.holds() == {0, 1, 2, 3}


def test_ignore_waits_until_the_leases_of_the_others_must_have_ended() -> None:
    host = sharing("a1", "ignore")
    lease_end_ns = host.now_ns + 350 * MS
    began = next(turn for turn in host.live(2_000) if turn.unenforced)
    ticks = host.turns.index(began)
    assert 1_000 * MS + ticks * 10 * MS >= lease_end_ns + TIMERS.loss_after_ns


def test_two_hosts_of_a_partition_share_out_the_slots_without_doubling_any() -> None:
    a1, a2 = sharing("a1", "ignore"), sharing("a2", "ignore")
    a1.live(2_000, "a2")
    a2.live(2_000, "a1")
    assert not a1.holds() & a2.holds()
    assert a1.holds() | a2.holds() == {0, 1, 2, 3}


def test_slots_go_back_to_a_node_that_is_heard_again_without_a_quorum() -> None:
    host = sharing("a1", "ignore")
    host.live(2_000)
    host.live(100, "a2")
    assert len(host.holds()) < 4


def test_an_overlay_starts_what_ran_on_nodes_that_are_not_heard_and_tells_the_log_nothing() -> None:
    cluster = Cluster(under(webserver(), "ignore"))
    cluster.probed("web")
    (node,) = cluster.state.plan.placement["web"]
    cluster.request(Result(node, INCARNATION, "web", "start", 0, 0, "done", "", 1, ""), node)
    host = Host(cluster, next(name for name in NODES if name != node))
    host.lease()
    host.step(*NODES, quorate=True)
    host.live(2_000)
    assert host.asked("start") == ["web"]
    assert host.told == []
    assert cluster.state.plan.placement["web"] == (node,)


def test_the_own_lease_is_renewed_for_as_long_as_the_overlay_is_on() -> None:
    host = sharing("a1", "ignore")
    host.live(2_000)
    deadlines = [turn.deadline_ns for turn in host.live(2_000) if turn.deadline_ns is not None]
    assert len(deadlines) >= 30
    assert deadlines[-1] == pytest.approx(host.now_ns + TIMERS.lease_ns, abs=TIMERS.heartbeat_ns)


def test_an_overlay_ends_with_the_deadline_withdrawn_before_any_epoch_is_offered() -> None:
    host = sharing("a1", "ignore")
    host.live(2_000)
    host.now_ns += 10 * MS
    assert host.step(*NODES, quorate=True).deadline_ns == 0
    assert host.quorumless.overlay is None
    assert len(host.holds()) == 1


def test_an_overlay_offers_no_epoch() -> None:
    host = sharing("a1", "ignore")
    host.live(2_000)
    host.now_ns += 10 * MS
    assert host.quorumless.take(host.cluster.state, host.now_ns).enforced_epoch is None


def test_a_grant_that_were_taken_under_an_overlay_is_a_mistake_of_ours() -> None:
    host = sharing("a1", "ignore")
    host.live(2_000)
    with pytest.raises(AssertionError, match="before the overlay was closed"):
        host.quorumless.granted(host.now_ns + 350 * MS)


def test_what_an_overlay_has_started_is_stopped_where_it_belongs_elsewhere() -> None:
    cluster = Cluster(under(webserver(), "ignore"))
    cluster.probed("web")
    (node,) = cluster.state.plan.placement["web"]
    cluster.request(Result(node, INCARNATION, "web", "start", 0, 0, "done", "", 1, ""), node)
    host = Host(cluster, next(name for name in NODES if name != node))
    host.lease()
    host.step(*NODES, quorate=True)
    host.live(2_000)
    host.live(100, *NODES, quorate=True)
    assert host.asked("stop") == ["web"]
    host.lease()
    host.step(*NODES, quorate=True)
    assert [(told.instance, told.operation) for told in host.told] == [("web", "stop")]


def test_wait_for_all_keeps_a_host_silent_that_has_not_heard_all_since_its_boot() -> None:
    host = sharing("a1", "ignore", heard_all=False)
    notices = [notice for turn in host.live(2_000) for notice in turn.notices]
    assert host.quorumless.overlay is None
    assert host.quorumless.waits_for_all
    assert len(notices) == 1
    assert "a2, a3, a4" in notices[0].text


def test_without_wait_for_all_a_host_serves_at_once_after_a_cold_start() -> None:
    host = sharing("a1", "ignore", heard_all=False, wait_for_all="false")
    host.live(2_000)
    assert host.holds() == {0, 1, 2, 3}


def test_no_overlay_begins_while_a_quorum_is_heard() -> None:
    host = sharing("a1", "ignore")
    host.live(5_000, "a2", "a3", quorate=True)
    assert host.quorumless.overlay is None


def test_a_daemon_that_is_stopped_while_it_serves_without_quorum_leaves_nothing_behind() -> None:
    host = running_web("ignore")
    host.live(2_000)
    assert host.quorumless.overlay is not None
    host.quorumless.is_leaving = True
    host.live(3_000)
    assert host.quorumless.overlay is None
    assert host.asked("stop") == ["web"]
    assert host.executor.has_left(host.cluster.state, host.now_ns)


# ---- suicide


def test_suicide_stops_everything_and_then_ends_the_daemon() -> None:
    host = running_web("suicide")
    turns = host.live(4_000)
    assert host.asked("stop") == ["web"]
    assert any(turn.ends_itself for turn in turns)


def test_suicide_does_not_wait_for_ever_for_an_agent_that_hangs() -> None:
    host = running_web("suicide")
    host.now_ns += 3_000 * MS
    assert not host.step().ends_itself
    host.now_ns += 1_000 * MS
    assert not host.step().ends_itself
    host.now_ns += SUICIDE_WITHIN_NS
    assert host.step().ends_itself


def test_a_node_that_never_had_a_lease_has_nothing_to_end() -> None:
    host = Host(Cluster(under(webserver(), "suicide")), "a1")
    assert not any(turn.ends_itself for turn in host.live(5_000))
