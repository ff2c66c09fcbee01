"""Plans and Python's garbage collector.

A plan makes a hundred thousand objects that refer to each other in circles, all of them garbage at its end.  Left to
the collector they cost a third of the plan's time while it is made, and a pause later, in the midst of something that
has no time (a heartbeat).  So the collector rests while a plan is made, and the circles are undone afterwards: what
is left goes away by itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.scheduler.cluster import Cluster
from daemon.scheduler.graph import Graph
from daemon.scheduler.units import Instance


@contextmanager
def collection_paused() -> Iterator[None]:
    """No collection within; what was on before is on again afterwards."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def take_apart(cluster: Cluster, graph: Graph) -> None:
    """Undo all circles of a planning run that nobody needs any more."""
    for op in graph.ops:
        op.before.clear()
        op.after.clear()
    for unit in (*cluster.by_id.values(), *cluster.units):
        unit.parent = None
        unit.this_with.clear()
        unit.with_this.clear()
        if isinstance(unit, Instance):
            unit.container = unit.shadow_of = None
            unit.fillers.clear()
