"""What-if: the result of the one transition that the scheduler would begin now, all of whose operations succeed."""

from __future__ import annotations

from daemon.scheduler.planner import schedule
from daemon.scheduler.transition import outcome
from daemon.scheduler.view import View


def simulate(view: View) -> dict[str, dict[str, list[str]]]:
    """`{"placement": {name: [nodes]}, "promoted": {name: [nodes]}}` after the transition.

    Names are those of primitives, `name:N` for the instances of globally-unique clones.
    """
    run = schedule(view)
    placement, promoted = outcome(run.cluster, run.graph)
    return {
        "placement": {name: sorted(hosts) for name, hosts in sorted(placement.items())},
        "promoted": {name: sorted(hosts) for name, hosts in sorted(promoted.items())},
    }
