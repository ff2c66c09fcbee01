"""`vipcast simulate`: what the cluster would do, offline or for the cluster as it is, and what if."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli.call import OK, Call
from daemon.cli.viewing import present_view
from daemon.scheduler.collection import collection_paused
from daemon.scheduler.rehearsal import Rehearsal, in_order, rehearse
from daemon.scheduler.simulate import simulate as planned
from daemon.scheduler.view import View

if TYPE_CHECKING:
    from daemon.scheduler.whatif import WhatIf

PLAIN = frozenset({"--cib", "--bundle", "--file", "--json", "--dot", "--transition"})
"""options that suppose nothing"""


def simulate(call: Call) -> int:
    """`simulate [--cib FILE] [--json [--transition] | --dot] [what-if options]`: what would begin, and its result."""
    if call.has("--dot") and call.out.json_wanted:
        raise call.misuse("choose one of --dot and --json")
    if call.has("--transition") and not call.out.json_wanted:
        raise call.misuse("--transition goes with --json: people are shown the transition anyway")
    with collection_paused():
        return _simulate(call)


def _simulate(call: Call) -> int:
    present = present_view(call)
    view, events = _supposed(call, present)
    whole = bool(events) or call.has("--transition")
    if call.out.json_wanted and not whole and not view.slots:
        call.out.document(planned(view))
        return OK
    rehearsal = rehearse(view, present)
    if call.has("--dot"):
        from daemon.scheduler.dot import dot  # noqa: PLC0415 - for those who want it

        call.out.raw(dot(rehearsal.plan.actions))
    elif call.out.json_wanted:
        call.out.document(_told(events, rehearsal) if whole else _placements(rehearsal))
    else:
        from daemon.cli.layout.simulate import simulation  # noqa: PLC0415 - for those who read

        call.out.lines(simulation(events, rehearsal, call.out.painted))
    return OK


def _supposed(call: Call, present: View) -> tuple[View, tuple[WhatIf, ...]]:
    if PLAIN.issuperset(name for name, _ in call.invocation.given):
        return present, ()
    from daemon.cli.supposing import supposed_view  # noqa: PLC0415 - start-up time

    return supposed_view(call, present)


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
                "totals": reason.totals,
                "rejected": reason.rejected,
                "role": reason.role,
                "promotion": [{"origin": origin, "score": score} for origin, score in reason.promotion],
            }
            for reason in rehearsal.plan.reasons
        ],
        "findings": rehearsal.plan.findings,
    }
