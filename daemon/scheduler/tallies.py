"""What the operations of a clone's instances say together: whether one is required, whether one is possible.

Counted once for each task (and host, where one is asked about), then kept up to date by the operations themselves.
"""

from __future__ import annotations

from daemon.scheduler.graph import Graph, Tally
from daemon.scheduler.units import CloneUnit, Instance


class Tallies:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._countable: dict[int, bool] = {}
        self._found: dict[tuple[int, str], dict[str | None, Tally]] = {}
        """clone and task → host → tally; None: wherever the instances are"""

    def countable(self, clone: CloneUnit) -> bool:
        """A clone of a primitive; the flags of a group follow from its members', those have to be asked."""
        known = self._countable.get(id(clone))
        if known is None:
            known = all(isinstance(copy, Instance) for copy in clone.copies)
            self._countable[id(clone)] = known
        return known

    def of(self, clone: CloneUnit, task: str, host: str | None) -> Tally:
        """The tally of the first such operation of each instance, or of that on one host (`Graph.first`)."""
        tallies = self._found.setdefault((id(clone), task), {})
        known = tallies.get(host)
        if known is None:
            known = tallies[host] = Tally()
            for copy in clone.copies:
                own = self.graph.first(copy, task, host)
                if own is not None:
                    own.count_in(known)
        return known

    def none_possible(self, clone: CloneUnit, task: str) -> bool:
        """Every instance has such an operation, and none can be done."""
        tally = self.of(clone, task, None)
        return tally.instances == len(clone.copies) and not tally.possible
