"""`vipcast simulate`: what the cluster would do, offline or for the cluster as it is, and what if."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.cli.call import OK, Call
from daemon.cli.supposing import present_view, supposed_view
from daemon.scheduler.rehearsal import Rehearsal, in_order, rehearse
from daemon.scheduler.simulate import simulate as planned
from daemon.scheduler.whatif import WhatIf


def simulate(call: Call) -> int:
    """`simulate [--cib FILE] [--json | --dot] [what-if options]`: the transition that would begin, and its result."""
    if call.has("--dot") and call.out.json_wanted:
        raise call.misuse("choose one of --dot and --json")
    with _no_collection():
        return _simulate(call)


@contextmanager
def _no_collection() -> Iterator[None]:
    """One plan, then the program ends: looking for garbage in it would take a third of the time."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _simulate(call: Call) -> int:
    present = present_view(call)
    view, events = supposed_view(call, present)
    if call.out.json_wanted and not events and not view.slots:
        call.out.document(planned(view))
        return OK
    rehearsal = rehearse(view, present)
    if call.has("--dot"):
        from daemon.scheduler.dot import dot  # noqa: PLC0415 - for those who want it

        call.out.raw(dot(rehearsal.plan.actions))
    elif call.out.json_wanted:
        call.out.document(_told(events, rehearsal) if events else _placements(rehearsal))
    else:
        from daemon.cli.layout.simulate import simulation  # noqa: PLC0415 - for those who read

        call.out.lines(simulation(events, rehearsal, call.out.painted))
    return OK


def _placements(rehearsal: Rehearsal) -> dict[str, object]:
    return {"placement": rehearsal.after, "promoted": rehearsal.promoted_after}


def _told(events: tuple[WhatIf, ...], rehearsal: Rehearsal) -> dict[str, object]:
    """What a what-if answers to programs: the same two keys, and how it comes to that."""
    return {
        "supposed": [str(event) for event in events],
        "current": {"placement": rehearsal.before, "promoted": rehearsal.promoted_before},
        **_placements(rehearsal),
        "transition": [
            {
                "step": step.number,
                "key": step.action.key,
                "operation": step.action.operation,
                "instance": step.action.instance,
                "node": step.action.node,
                "waits_for": step.waits_for,
                "reason": step.action.reason,
            }
            for step in in_order(rehearsal.plan.actions)
        ],
        "reasons": [
            {
                "instance": reason.instance,
                "node": reason.node,
                "summary": reason.summary,
                "scores": {
                    node: [{"origin": origin, "score": score} for origin, score in parts]
                    for node, parts in reason.scores.items()
                },
                "rejected": reason.rejected,
            }
            for reason in rehearsal.plan.reasons
        ],
        "findings": rehearsal.plan.findings,
    }
