"""no-quorum-policy=ignore: exempt from exactly-once, and only while the node has its lease from itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.invariants.violation import ViolationError

if TYPE_CHECKING:
    from tests.simulation.host import Host


def exempt(*hosts: Host) -> bool:
    """Whether one of them serves without quorum."""
    return any(host.kernel.overlaid_deadline for host in hosts)


def closed_before_a_grant(host: Host, is_overlaid: bool) -> None:
    """What a granted lease opens is what was committed."""
    if is_overlaid or host.kernel.overlaid_states:
        raise ViolationError(f"{host.name} takes a grant while its kernel holds an overlay")
