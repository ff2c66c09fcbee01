"""What metrics are made of: taken on the daemon's loop at one moment, read in a thread beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from daemon.cluster.statistics import Statistics
from daemon.control import resourcetree
from daemon.control.quorumdoc import QuorumFacts
from daemon.control.schema import StatusDocument
from daemon.measures import Measures
from daemon.scheduler.cluster import Cluster


@dataclass(frozen=True)
class MetricsFacts:
    status: StatusDocument
    quorum: QuorumFacts
    """with the view that the scheduler plans by"""
    measures: Measures
    """goes on counting while it is read: each number is one of a moment, not all of the same one"""
    transport: Statistics | None
    last_change_ms: int | None
    """wall clock of the last edit of the configuration; None: there has been none"""

    @cached_property
    def cluster(self) -> Cluster:
        """The scheduler's picture: units with their thresholds and failures."""
        return resourcetree.read(self.quorum.view)
