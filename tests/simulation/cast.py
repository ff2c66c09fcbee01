"""What the nodes of a simulated cluster are made of: the code that ships, or code with one mistake planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.cluster.core import Core
from tests.simulation.application import Workload
from tests.simulation.workloads.shares import SharesWorkload

MakeCore = Callable[..., Core]


@dataclass(frozen=True, slots=True)
class Cast:
    core: MakeCore = Core
    workload: Workload = field(default_factory=SharesWorkload)
    relative_deadlines: bool = False
    """below the core: a lease is written as a duration, what rule 15 forbids"""
    lying_disks: bool = False
    """below the core: an fsync that does nothing"""


SHIPPED = Cast()
