"""Results of operations: the newest of each operation of each instance on each node, and what has failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter

from daemon.model.configuration import INFINITY
from daemon.scheduler.view import OperationView
from daemon.state.commands import Result

OK, NOT_RUNNING, PROMOTED = 0, 7, 8
_IN_ORDER = attrgetter("serial", "node", "instance", "operation", "interval_ms")

Key = tuple[str, str, str, int]
"""(node, instance, operation, interval_ms)"""


def expected_of(result: Result, promoted: bool) -> int:
    """The exit code that means nothing new: a probe expects that nothing runs."""
    if result.operation == "monitor":
        if result.interval_ms == 0:
            return NOT_RUNNING
        return PROMOTED if promoted else OK
    return OK


@dataclass(slots=True)
class Results:
    operations: dict[Key, OperationView] = field(default_factory=dict)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    """(instance, node) → fail count"""
    last_failure_ms: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, result: Result, index: int, stamp_ms: int, promoted: bool, fatal_starts: bool) -> bool:
        """Take over a result; True if it is a failure."""
        expected = expected_of(result, promoted)
        probe = result.operation == "monitor" and result.interval_ms == 0
        good = result.status == "done" and result.exit_code == expected
        found = probe and result.status == "done" and result.exit_code in (OK, PROMOTED)
        if good and result.operation in {"start", "stop"}:
            self._supersede(result)
        self.operations[result.node, result.instance, result.operation, result.interval_ms] = OperationView(
            node=result.node,
            instance=result.instance,
            operation=result.operation,
            interval_ms=result.interval_ms,
            exit_code=result.exit_code,
            status=result.status,
            expected=expected,
            serial=index,
            stamp_ms=stamp_ms,
            definition=result.definition,
            reason=result.reason,
        )
        if good or found or probe:
            return not (good or found)
        fatal = result.operation == "stop" or (result.operation == "start" and fatal_starts)
        self.fail(result.instance, result.node, stamp_ms, INFINITY if fatal else 1)
        return True

    def fail(self, instance: str, node: str, stamp_ms: int, weight: int = 1) -> None:
        key = (instance, node)
        self.failures[key] = min(INFINITY, self.failures.get(key, 0) + weight)
        self.last_failure_ms[key] = stamp_ms

    def presume_running(self, node: str, instance: str, index: int, stamp_ms: int) -> None:
        """Count an instance as started there, although this incarnation of the node has told nothing of it."""
        self.operations[node, instance, "start", 0] = OperationView(
            node, instance, "start", 0, exit_code=OK, status="done", expected=OK, serial=index, stamp_ms=stamp_ms
        )

    def _supersede(self, result: Result) -> None:
        """A start or stop that succeeded makes what was known of the instance there history."""
        for key in [k for k in self.operations if k[:2] == (result.node, result.instance)]:
            del self.operations[key]

    def in_order(self) -> tuple[OperationView, ...]:
        """All results as they were applied, the same on every node."""
        return tuple(sorted(self.operations.values(), key=_IN_ORDER))

    def standing(self, node: str, instance: str) -> str:
        """`stopped` if the instance surely does not run there, `unknown` if nobody has looked, else `running`."""
        return self.standings(instance).get(node, "unknown")

    def standings(self, instance: str) -> dict[str, str]:
        """`stopped` or `running` for each node where somebody has looked."""
        last: dict[str, OperationView] = {}
        for (node, name, _, _), operation in self.operations.items():
            if name == instance and (node not in last or operation.serial > last[node].serial):
                last[node] = operation
        return {node: "stopped" if _says_stopped(operation) else "running" for node, operation in last.items()}

    # ---- forgetting

    def forget_node(self, node: str, failures: bool) -> None:
        """A node is gone or starts anew: what ran there is not known any more."""
        self.operations = {k: o for k, o in self.operations.items() if k[0] != node}
        if failures:
            self._forget_failures(None, node)

    def refresh(self, instances: frozenset[str] | None, node: str | None) -> bool:
        """Forget all results (and failures), so that they are probed again."""
        before = len(self.operations) + len(self.failures)
        self.operations = {k: o for k, o in self.operations.items() if not _meant(k[1], k[0], instances, node)}
        self._forget_failures(instances, node)
        return before != len(self.operations) + len(self.failures)

    def cleanup(self, instances: frozenset[str] | None, node: str | None) -> bool:
        """Forget failures, and all results of what has failed: its real state is probed again."""
        failed = {(k[0], k[1]) for k, o in self.operations.items() if _failed(o)}
        failed |= {(n, i) for (i, n) in self.failures}
        failed = {(n, i) for n, i in failed if _meant(i, n, instances, node)}
        self.operations = {k: o for k, o in self.operations.items() if (k[0], k[1]) not in failed}
        self._forget_failures(instances, node)
        return bool(failed)

    def _forget_failures(self, instances: frozenset[str] | None, node: str | None) -> None:
        for table in (self.failures, self.last_failure_ms):
            for key in [k for k in table if _meant(k[0], k[1], instances, node)]:
                del table[key]


def _says_stopped(last: OperationView) -> bool:
    if last.status == "not-installed" or (last.operation == "monitor" and last.exit_code in (5, NOT_RUNNING)):
        return True
    return last.operation == "stop" and last.exit_code == OK and last.status == "done"


def _failed(operation: OperationView) -> bool:
    if operation.operation == "monitor" and operation.interval_ms == 0:
        return operation.status != "done" or operation.exit_code not in (OK, NOT_RUNNING, PROMOTED)
    return operation.status != "done" or operation.exit_code != operation.expected


def _meant(instance: str, node: str, instances: frozenset[str] | None, only: str | None) -> bool:
    named = instances is None or instance in instances or instance.partition(":")[0] in instances
    return named and (only is None or node == only)
