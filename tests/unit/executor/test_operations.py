"""Which agents one node runs, and what the log hears of them."""

from __future__ import annotations

from daemon.executor import Executor, Finish, RunOperation
from daemon.state.commands import Leave, Result
from tests.unit.executor.cluster import INCARNATION, Cluster, webserver

SECOND_NS = 1_000_000_000
OK = Finish(0, "done", "", 5, "digest")
NOT_RUNNING = Finish(7, "done", "no process", 5, "digest")


class Host:
    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.executor = Executor(node, INCARNATION, 60_000)
        self.executor.lease(10**18)
        self.now_ns = SECOND_NS

    def operations(self) -> list[RunOperation]:
        return self.executor.take(self.cluster.state, self.now_ns).operations

    def end(self, operation: RunOperation, finish: Finish) -> list[Result]:
        """The agent ends; what is told is applied."""
        self.executor.finished(operation, finish, self.now_ns)
        told = [c for c in self.executor.take(self.cluster.state, self.now_ns).proposals if isinstance(c, Result)]
        for result in told:
            self.cluster.request(result, self.node)
            self.executor.proposal_ended(result)
        return told


def placed(cluster: Cluster) -> Host:
    """The host that the plan starts the web server on, everything being probed."""
    cluster.probed("web")
    (node,) = cluster.state.plan.placement["web"]
    return Host(cluster, node)


def test_a_node_probes_what_it_has_never_looked_at() -> None:
    host = Host(Cluster(webserver()), "a3")
    assert [(o.instance, o.operation, o.interval_ms) for o in host.operations()] == [("web", "monitor", 0)]


def test_an_operation_that_runs_is_not_started_again() -> None:
    host = placed(Cluster(webserver()))
    assert len(host.operations()) == 1
    assert host.operations() == []


def test_a_result_is_not_forgotten_and_the_operation_not_repeated_while_the_log_is_slow() -> None:
    host = placed(Cluster(webserver()))
    (start,) = host.operations()
    host.executor.finished(start, OK, host.now_ns)
    effects = host.executor.take(host.cluster.state, host.now_ns)
    assert [c.operation for c in effects.proposals if isinstance(c, Result)] == ["start"]
    assert effects.operations == []
    assert host.operations() == []


def test_monitors_begin_after_one_interval_and_a_healthy_one_is_not_told() -> None:
    host = placed(Cluster(webserver()))
    (start,) = host.operations()
    host.end(start, OK)
    assert host.operations() == []
    assert host.executor.deadline_ns(host.cluster.state, host.now_ns) == host.now_ns + 10 * SECOND_NS
    host.now_ns += 10 * SECOND_NS
    (monitor,) = host.operations()
    assert (monitor.operation, monitor.interval_ms) == ("monitor", 10_000)
    assert host.end(monitor, OK) == []


def test_a_failed_monitor_is_told_once_and_the_resource_is_recovered() -> None:
    host = placed(Cluster(webserver()))
    (start,) = host.operations()
    host.end(start, OK)
    assert host.operations() == []
    host.now_ns += 10 * SECOND_NS
    (monitor,) = host.operations()
    (told,) = host.end(monitor, NOT_RUNNING)
    assert (told.exit_code, told.reason) == (7, "no process")
    seen = []
    for _ in range(6):
        for operation in host.operations():
            seen.append(operation.operation)
            host.end(operation, OK)
    assert seen[-1] == "start"


def test_a_refused_result_is_asked_for_again() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.executor.finished(start, OK, host.now_ns)
    (result,) = host.executor.take(cluster.state, host.now_ns).proposals
    cluster.admit(host.node, INCARNATION + 1)
    cluster.request(result, host.node)
    cluster.admit(host.node, INCARNATION)
    host.executor.proposal_ended(result)
    assert [o.operation for o in host.operations()] == ["monitor"], "a new incarnation's node is probed again"


def test_a_new_process_stops_nothing_while_its_first_lease_is_on_its_way() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.end(start, OK)
    cluster.admit(host.node, INCARNATION + 1)
    reborn = Executor(host.node, INCARNATION + 1, 60_000)
    assert reborn.take(cluster.state, 100 * SECOND_NS).operations == []
    assert reborn.take(cluster.state, 101 * SECOND_NS).operations == []


def test_without_a_lease_everything_is_stopped_after_a_while_and_told_when_somebody_listens() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.end(start, OK)
    host.executor.lease(host.now_ns)
    assert host.operations() == [], "an election is no reason to stop a web server"
    assert host.executor.deadline_ns(cluster.state, host.now_ns) == host.now_ns + 2 * SECOND_NS
    host.now_ns += 2 * SECOND_NS
    (stop,) = host.operations()
    assert (stop.instance, stop.operation) == ("web", "stop")
    (told,) = host.end(stop, OK)
    assert told.operation == "stop"
    host.executor.lease(host.now_ns + SECOND_NS)
    assert [o.operation for o in host.operations()] == ["start"]


def test_a_node_that_leaves_stops_what_it_runs_and_has_left_when_that_is_known() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.end(start, OK)
    cluster.request(Leave(host.node, INCARNATION), host.node)
    assert not host.executor.has_left(cluster.state, host.now_ns)
    (stop,) = host.operations()
    assert stop.operation == "stop"
    assert not host.executor.has_left(cluster.state, host.now_ns), "the agent runs"
    host.end(stop, OK)
    assert host.executor.has_left(cluster.state, host.now_ns)
    (heir,) = cluster.state.plan.placement["web"]
    assert heir != host.node


def test_a_node_without_a_lease_has_left_once_it_has_stopped_everything_on_its_own() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.end(start, OK)
    host.executor.lease(host.now_ns)
    host.operations()
    assert not host.executor.has_left(cluster.state, host.now_ns)
    host.now_ns += 2 * SECOND_NS
    (stop,) = host.operations()
    host.executor.finished(stop, OK, host.now_ns)
    assert host.executor.has_left(cluster.state, host.now_ns)


def test_a_node_that_was_declared_lost_and_hears_of_it_stops_what_it_ran() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.end(start, OK)
    host.executor.lease(host.now_ns + SECOND_NS)
    host.operations()
    cluster.lose(host.node)
    assert host.operations() == []
    host.now_ns += 4 * SECOND_NS
    (stop,) = host.operations()
    assert (stop.instance, stop.operation) == ("web", "stop")


def test_a_node_that_is_not_admitted_waits_for_no_monitor() -> None:
    cluster = Cluster(webserver())
    host = placed(cluster)
    (start,) = host.operations()
    host.end(start, OK)
    host.operations()
    cluster.lose(host.node)
    host.now_ns += 3600 * SECOND_NS
    host.operations()
    due_ns = host.executor.deadline_ns(cluster.state, host.now_ns)
    assert due_ns is None or due_ns > host.now_ns


def test_an_operation_that_fails_is_not_repeated_without_a_pause_that_grows() -> None:
    cluster = Cluster(webserver())
    host = Host(cluster, "a1")
    broken = Finish(1, "error", "internal error", 1, "")
    runs = 0
    for _ in range(600):  # ten minutes, a second each
        for operation in host.operations():
            runs += 1
            host.executor.finished(operation, broken, host.now_ns)
        for command in host.executor.take(cluster.state, host.now_ns).proposals:
            host.executor.proposal_ended(command)  # refused: the plan asks for the same again
        host.now_ns += SECOND_NS
    assert 5 <= runs <= 20
    due_ns = host.executor.deadline_ns(cluster.state, host.now_ns)
    assert due_ns is not None
    assert due_ns > host.now_ns
