"""What nodes report of themselves: how operations ended, and what their kernels did with slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.definition import primitive_of
from daemon.model.configuration import INFINITY
from daemon.state import commands, homes
from daemon.state.outcome import Outcome
from daemon.state.slots import Phase, Slot

if TYPE_CHECKING:
    from daemon.state.state import State


def take_result(state: State, result: commands.Result) -> Outcome:
    """How an operation on an instance ended; counts only from the admitted incarnation (rule 25)."""
    if not state.counts(result.node, result.incarnation):
        return Outcome(False, f"{result.node} is not admitted in that incarnation")
    promoted = result.node in state.plan.promoted.get(result.instance, ())
    fatal = _property(state, "start-failure-is-fatal", "true") not in {"false", "off", "no", "n", "0"}
    failed = state.results.add(result, state.index, state.now_ms, promoted, fatal)
    state.started.add(result, state.configuration)
    homes.remember(state, result, failed)
    if result.operation == "stop" and not failed and primitive_of(state.configuration, result.instance) is None:
        state.results.refresh(frozenset({result.instance}), result.node)
    ended = "failed" if failed else "done"
    return Outcome(True, f"{result.operation} of {result.instance} on {result.node}: {ended}")


def _property(state: State, name: str, default: str) -> str:
    found = (s.values[name] for s in state.configuration.properties if name in s.values)
    return next(found, default).lower()


def take_slots(state: State, report: commands.Slots) -> Outcome:
    """What the kernel of a node did with slots; counts only from the admitted incarnation (rule 25)."""
    if not state.counts(report.node, report.incarnation):
        return Outcome(False, f"{report.node} is not admitted in that incarnation")
    if report.address not in state.slots:
        return Outcome(False, f"{report.address} has no slots")
    match report.what:
        case "ready":
            state.ready.setdefault(report.address, set()).add(report.node)
            return Outcome(True, f"{report.address} is up on {report.node}")
        case "failed":
            return _slots_failed(state, report)
        case "opened" | "drained" | "closed":
            return _slots_moved(state, report)
    return Outcome(False, f"'{report.what}' is nothing that slots do")


def _slots_failed(state: State, report: commands.Slots) -> Outcome:
    """It cannot be served there, which like a failed start keeps it away until a cleanup (start-failure-is-fatal).

    Holders stay what they are until closed or lost.
    """
    state.results.fail(report.address, report.node, state.now_ms, INFINITY)
    state.refusals[report.address, report.node] = report.reason
    state.ready.get(report.address, set()).discard(report.node)
    return Outcome(True, f"{report.address} failed on {report.node}: {report.reason}")


def _slots_moved(state: State, report: commands.Slots) -> Outcome:
    slots, counted = state.slots[report.address], []
    for number, generation in sorted(report.generations.items()):
        slot = slots.get(number)
        if slot is None or slot.holder != report.node or slot.generation != generation:
            continue
        if report.what == "opened" and slot.phase is Phase.OPEN and not slot.opened:
            slots[number] = Slot(slot.holder, slot.generation, opened=True)
            counted.append(number)
        elif report.what == "drained" and (drained := slot.drained()) is not None:
            slots[number] = drained
            counted.append(number)
        elif report.what == "closed":
            after, meant = slot.closed(state.index)
            if not meant:
                continue
            counted.append(number)
            if after is None:
                del slots[number]
            else:
                slots[number] = after
    if not counted:
        return Outcome(False, f"{report.what} of {report.address} by {report.node} is out of date")
    names = ", ".join(map(str, counted))
    said = f"{report.address}: slots {names} {report.what} on {report.node}"
    return Outcome(True, said, splits=report.what == "drained")
