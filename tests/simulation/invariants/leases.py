"""Leases in true time: who leads, who accepts, who is lost.  Cheap, for it follows every step."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from daemon.cluster.records import LogEntry, Lost
from tests.simulation.invariants import overlays
from tests.simulation.invariants.violation import ViolationError

if TYPE_CHECKING:
    from tests.simulation.host import Host


def one_leads(hosts: Iterable[Host], true_ns: int) -> None:
    """No two leadership leases run at the same true time."""
    leading = [host.name for host in hosts if host.leads(true_ns)]
    if len(leading) > 1:
        raise ViolationError(f"the leadership leases of {' and '.join(leading)} run at the same time")


def no_flow_twice(changed: Host, hosts: Iterable[Host], true_ns: int) -> None:
    """No flow is accepted by two hosts.  Acceptance begins with a write, so to look at each write is enough."""
    for slot in changed.kernel.states:
        own = changed.accepts(slot, true_ns)
        if not own:
            continue
        for host in hosts:
            if (
                host is not changed
                and not overlays.exempt(changed, host)
                and (both := own & host.accepts(slot, true_ns))
            ):
                raise ViolationError(f"{changed.name} and {host.name} both accept {', '.join(both)} of {slot}")


def no_lease_of_a_lost_one(changed: Host, lost: AbstractSet[str], true_ns: int) -> None:
    """Once a loss is committed no lease of that node runs before it is admitted again."""
    if changed.name in lost and changed.leased(true_ns) and not overlays.exempt(changed):
        left_ms = changed.lease_left_ns(true_ns) / 1e6
        raise ViolationError(f"{changed.name} was declared lost, and now has a lease for {left_ms:.3f} ms")


def lost_is_silent(entries: Iterable[LogEntry], hosts: dict[str, Host], true_ns: int) -> None:
    """A node is declared lost only when its kernel accepts nothing any more."""
    for entry in entries:
        if isinstance(entry.command, Lost):
            host = hosts[entry.command.node]
            if host.leased(true_ns) and not overlays.exempt(host):
                left_ms = host.lease_left_ns(true_ns) / 1e6
                raise ViolationError(f"{host.name} is declared lost with {left_ms:.3f} ms of its lease left")
