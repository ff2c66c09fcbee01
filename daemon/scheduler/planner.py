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

from daemon.model.configuration import Location
from daemon.scheduler.answer import answer
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.colocation import Merging
from daemon.scheduler.constraints import unpack_colocations, unpack_orders
from daemon.scheduler.graph import Graph
from daemon.scheduler.history import read_history
from daemon.scheduler.ordering import Orderings
from daemon.scheduler.placement import Placement
from daemon.scheduler.preferences import apply_node_criteria, locations
from daemon.scheduler.transition import build_transition
from daemon.scheduler.unpack import unpack
from daemon.scheduler.view import Plan, View


@dataclass(frozen=True)
class Run:
    """A finished planning run, for those who want to look inside."""

    cluster: Cluster
    graph: Graph
    orderings: Orderings


def schedule(view: View) -> Run:
    """The whole way from a view to a settled graph."""
    cluster = unpack(view)
    read_history(cluster)
    graph = Graph()
    orderings = Orderings(cluster, graph)
    unpack_colocations(cluster, orderings)
    unpack_orders(cluster, orderings)
    apply_node_criteria(cluster, locations(cluster))
    orderings.internal()
    merging = Merging(cluster)
    merging.group_locations = frozenset(
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
    run = schedule(view)
    return answer(run.cluster, run.graph, run.orderings)
