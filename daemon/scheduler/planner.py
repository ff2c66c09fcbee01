"""`plan(view)`: the scheduler as the rest of the daemon sees it, a pure function.

1. `unpack`: the configuration becomes hosts and units.
2. `history`: results say what runs where, and what has failed.
3. `preferences`, `colocation`: what each unit likes and avoids.
4. `placement`, `clones`, `slots`: a host for everything, by falling priority.
5. `actions`, `ordering`, `probes`, `fencing`: the operations that lead there, and their order.
6. `settling`: what follows from what; `answer`: the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from daemon.model.configuration import Location
from daemon.scheduler.answer import answer
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.collection import collection_paused, take_apart
from daemon.scheduler.colocation import Merging
from daemon.scheduler.constraints import unpack_colocations, unpack_orders
from daemon.scheduler.graph import Graph
from daemon.scheduler.health import NODE_HEALTH
from daemon.scheduler.history import read_history
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.placement import Placement
from daemon.scheduler.preferences import apply_node_criteria, locations
from daemon.scheduler.reasons import reasons
from daemon.scheduler.shutdownlocks import apply_locks
from daemon.scheduler.tickets import apply_tickets
from daemon.scheduler.transition import build_transition, without_a_partner
from daemon.scheduler.unpack import unpack
from daemon.scheduler.view import Plan, Reason, View


@dataclass(frozen=True)
class Run:
    """A finished planning run, for those who want to look inside."""

    cluster: Cluster
    graph: Graph
    orderings: Orderings


AGAIN_MAX = 3
"""A clone found to start nothing may be what another one waits for; each time there are fewer."""


def schedule(view: View) -> Run:
    """The whole way from a view to a settled graph.

    Where a clone was to start instances, and in the end cannot start one (interleaved, without a partner on any other
    host), the way is gone once more without them: else what comes after the clone would be restarted by every plan, as
    Pacemaker does.
    """
    idle: frozenset[str] = frozenset()
    for _ in range(AGAIN_MAX):
        run = _scheduled(view, idle)
        found = idle | frozenset(without_a_partner(run.cluster, run.graph))
        if found == idle:
            break
        idle = found
        take_apart(run.cluster, run.graph)
    else:
        run = _scheduled(view, idle)
    return run


def _scheduled(view: View, idle: frozenset[str]) -> Run:
    cluster = unpack(view)
    cluster.idle = idle
    read_history(cluster)
    graph = Graph()
    orderings = Orderings(cluster, graph)
    unpack_colocations(cluster, orderings)
    unpack_orders(cluster, orderings)
    apply_tickets(cluster)
    apply_locks(cluster)
    apply_node_criteria(cluster, locations(cluster))
    orderings.internal()
    merging = Merging(cluster)
    merging.group_locations = frozenset({NODE_HEALTH}) | frozenset(
        name
        for c in view.configuration.constraints
        if isinstance(c, Location)
        for name in (c.id, *(rule.id for rule in c.rules))
    )
    placement = Placement(cluster, merging)
    placement.assign_all()
    build_transition(cluster, placement, graph, orderings)
    return Run(cluster, graph, orderings)


def plan(view: View) -> Plan:
    """Where everything shall run, and what has to be done for it now."""
    with collection_paused():
        run = schedule(view)
        made = answer(run.cluster, run.graph, run.orderings, partial(explained, view))
        take_apart(run.cluster, run.graph)
        del run
    return made


def explained(view: View) -> tuple[Reason, ...]:
    """Why the plan of this view has everything where it has it: the way is gone once more, to look inside."""
    with collection_paused():
        run = schedule(view)
        found = tuple(reasons(run.cluster, run.graph))
        take_apart(run.cluster, run.graph)
        del run
    return found
