"""Which resource operations this node runs now: the plan's runnable actions and the monitors that recur.

One operation at a time for an instance, as Pacemaker does.  An action is done when its result is in the log; from
the agent's end to the entry's arrival it is `told`, so that it is neither run again nor forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.scheduler.view import Action, Plan, Recurring
from daemon.state.commands import Result

NS_PER_MS = 1_000_000
PAUSE_NS = 1_000 * NS_PER_MS
PAUSE_NS_MAX = 60_000 * NS_PER_MS
WELL = {False: frozenset({0}), True: frozenset({0, 7, 8})}
"""exit codes that are no failure, of an action and of a probe (OCF: ok, not running, running promoted)"""

Key = tuple[str, str, int]
"""(instance, operation, interval_ms)"""


@dataclass(frozen=True, slots=True)
class RunOperation:
    """Ask of the shell: run this, then call `Executor.finished` with the same key."""

    instance: str
    operation: str
    interval_ms: int
    expected: int = 0
    timeout_ms: int | None = None

    @property
    def key(self) -> Key:
        return (self.instance, self.operation, self.interval_ms)


@dataclass(frozen=True, slots=True)
class Finish:
    """How an operation ended (agents.protocol.Finished and the digest of the parameters it was given)."""

    exit_code: int
    status: str
    reason: str
    duration_ms: int
    definition: str


@dataclass(slots=True)
class _Monitor:
    recurring: Recurring
    due_ns: int
    last_exit: int


@dataclass(frozen=True, slots=True)
class _Pause:
    failures: int
    until_ns: int


@dataclass(slots=True)
class OperationDuty:
    """Operations of one node: what runs, what was told, and when each monitor is due."""

    node: str
    incarnation: int
    running: dict[str, RunOperation] = field(default_factory=dict)
    """instance → what its agent is doing now"""
    told: dict[Key, Result] = field(default_factory=dict)
    """results that the log does not show yet"""
    monitors: dict[Key, _Monitor] = field(default_factory=dict)
    pauses: dict[Key, _Pause] = field(default_factory=dict)
    """what has failed, whatever the plan says next: it is not done again at once"""

    def next_due_ns(self, now_ns: int) -> int | None:
        """When the next monitor is due or a pause ends; None where nothing waits."""
        waiting = [m.due_ns for m in self.monitors.values() if m.recurring.instance not in self.running]
        waiting += [pause.until_ns for pause in self.pauses.values() if pause.until_ns > now_ns]
        return min(waiting, default=None)

    def follow(self, plan: Plan, now_ns: int) -> None:
        """Take over the plan's recurring operations: new ones are due after one interval, others go on."""
        wanted = {(r.instance, r.operation, r.interval_ms): r for r in plan.recurring if r.node == self.node}
        for key in self.monitors.keys() - wanted.keys():
            del self.monitors[key]
        for key, recurring in wanted.items():
            known = self.monitors.get(key)
            if known is None:
                self.monitors[key] = _Monitor(
                    recurring, now_ns + recurring.interval_ms * NS_PER_MS, recurring.expected
                )
            else:
                known.recurring = recurring

    def begin(self, plan: Plan, now_ns: int) -> list[RunOperation]:
        """What the shell has to start now."""
        starts: list[RunOperation] = []
        for action in plan.runnable(self.node):
            if self._may_start(action, now_ns):
                starts.append(RunOperation(action.instance, action.operation, action.interval_ms))
                self.running[action.instance] = starts[-1]
        blocked = {action.instance for action in plan.actions if action.node == self.node}
        for monitor in self.monitors.values():
            recurring = monitor.recurring
            if monitor.due_ns > now_ns or recurring.instance in self.running or recurring.instance in blocked:
                continue
            monitor.due_ns = now_ns + recurring.interval_ms * NS_PER_MS
            starts.append(
                RunOperation(
                    recurring.instance,
                    recurring.operation,
                    recurring.interval_ms,
                    recurring.expected,
                    recurring.timeout_ms,
                )
            )
            self.running[recurring.instance] = starts[-1]
        return starts

    def abandon(self, instances: list[str], now_ns: int) -> list[RunOperation]:
        """Stop these because this node is on its own; what became of it is told once somebody listens again.

        A stop that fails is tried again, after a pause that grows.
        """
        self.monitors.clear()
        return [
            self.stop(instance)
            for instance in self.unstopped(instances)
            if instance not in self.running and not self._is_paused((instance, "stop", 0), now_ns)
        ]

    def stop(self, instance: str) -> RunOperation:
        """Whatever the plan says; `instance` must not be doing anything else."""
        self.running[instance] = RunOperation(instance, "stop", 0)
        return self.running[instance]

    def unstopped(self, instances: list[str]) -> list[str]:
        """Those of `instances` that `abandon` has not stopped yet."""
        told = {instance: self.told.get((instance, "stop", 0)) for instance in instances}
        return [name for name, stop in told.items() if stop is None or (stop.status, stop.exit_code) != ("done", 0)]

    def _is_paused(self, key: Key, now_ns: int) -> bool:
        pause = self.pauses.get(key)
        return pause is not None and now_ns < pause.until_ns

    def _may_start(self, action: Action, now_ns: int) -> bool:
        key = (action.instance, action.operation, action.interval_ms)
        if action.operation == "fence" or action.instance in self.running or key in self.told:
            return False  # nobody here can fence, and the state plans without it
        return not self._is_paused(key, now_ns)

    def finished(self, operation: RunOperation, finish: Finish, now_ns: int) -> Result | None:
        """An agent has ended.  Returns what the log must hear: everything but a monitor that found nothing new."""
        if self.running.get(operation.instance) == operation:
            del self.running[operation.instance]
        if operation.interval_ms:
            monitor = self.monitors.get(operation.key)
            if monitor is None:
                return None
            monitor.due_ns = now_ns + operation.interval_ms * NS_PER_MS
            if finish.status == "done" and finish.exit_code == monitor.last_exit:
                return None
            monitor.last_exit = finish.exit_code
        else:
            self._note_failure(operation.key, finish, now_ns)
        result = Result(
            node=self.node,
            incarnation=self.incarnation,
            instance=operation.instance,
            operation=operation.operation,
            interval_ms=operation.interval_ms,
            exit_code=finish.exit_code,
            status=finish.status,
            reason=finish.reason,
            duration_ms=finish.duration_ms,
            definition=finish.definition,
        )
        self.told[operation.key] = result
        return result

    def _note_failure(self, key: Key, finish: Finish, now_ns: int) -> None:
        """One second after the first failure, twice as long after each further one, PAUSE_NS_MAX at most."""
        well = finish.status == "done" and finish.exit_code in WELL[key[1] == "monitor"]
        if well:
            self.pauses.pop(key, None)
            return
        failures = self.pauses[key].failures + 1 if key in self.pauses else 1
        pause_ns = min(PAUSE_NS_MAX, PAUSE_NS << min(failures - 1, 10))
        self.pauses[key] = _Pause(failures, now_ns + pause_ns)

    def seen(self, result: Result) -> None:
        """The log has delivered this result (or refused it: then the plan asks again)."""
        if self.told.get((result.instance, result.operation, result.interval_ms)) == result:
            del self.told[result.instance, result.operation, result.interval_ms]
