"""no-quorum-policy=ignore (LEASES.md, Policies)."""

from __future__ import annotations

from daemon.cluster.core import Core
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.overlays import a_partition_of_two_nodes_heals
from tests.simulation.workloads.daemon import DaemonWorkload


class GrantsUnderAnOverlay(Core):
    """The epoch goes on being told while the kernel holds something else than what it says."""

    def unenforced(self, now_ns: int) -> None:
        pass


OMISSIONS = (
    Omission(
        "overlay-closed-first",
        "Policies",
        "a grant is taken although the kernel still holds the overlay",
        Cast(GrantsUnderAnOverlay, workload=DaemonWorkload()),
        scene=a_partition_of_two_nodes_heals,
    ),
)
