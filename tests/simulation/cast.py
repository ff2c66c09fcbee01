"""What the nodes of a simulated cluster are made of: the code that ships, or code with one mistake planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock

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
    plants: tuple[tuple[object, str, object], ...] = ()
    """(class or module, name, what takes its place there) while the world runs: mistakes above the core"""
    lying_disks: bool = False
    """below the core: an fsync that does nothing"""

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Worlds and scenes of this cast run in here."""
        with ExitStack() as stack:
            for owner, name, replacement in self.plants:
                stack.enter_context(mock.patch.object(owner, name, replacement))
            yield


SHIPPED = Cast()
