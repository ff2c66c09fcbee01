"""What an administrator has drained: slots leave there by moves that break nothing, and none comes until `undrain`.

A drain is of slots alone: unlike standby it starts and stops nothing (docs/decisions/0021-drains.md).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drained:
    """One drain: of a host, of an address (everywhere, or on one host), or of a slot on one host."""

    node: str | None
    """None: of no host in particular; then the address is drained everywhere"""
    address: str | None = None
    """the primitive's id; None: every address"""
    slot: int | None = None
    """None: every slot"""

    @property
    def key(self) -> tuple[str, str, int]:
        """For sorting, and as it is written."""
        return self.node or "", self.address or "", -1 if self.slot is None else self.slot

    @property
    def name(self) -> str:
        """As a person says it: `a2`, `VIP`, `VIP on a2`, `slot VIP:17 on a2`."""
        if self.address is None:
            return self.node or "everything"
        what = self.address if self.slot is None else f"slot {self.address}:{self.slot}"
        return what if self.node is None else f"{what} on {self.node}"

    def covers(self, node: str, address: str, slot: int) -> bool:
        """Whether this slot is to leave this host."""
        return self.node in (None, node) and self.address in (None, address) and self.slot in (None, slot)


Drains = Collection[Drained]


def hosts_drained(drains: Drains, address: str, hosts: Collection[str]) -> frozenset[str]:
    """Which of the hosts get no slot of the address."""
    return frozenset(
        host
        for host in hosts
        for drain in drains
        if drain.slot is None and drain.address in (None, address) and drain.node in (None, host)
    )


def slots_barred(drains: Drains, address: str) -> dict[int, frozenset[str]]:
    """slot → hosts that are not to have it, for slots that are drained by themselves."""
    barred: dict[int, frozenset[str]] = {}
    for drain in drains:
        if drain.address == address and drain.slot is not None and drain.node is not None:
            barred[drain.slot] = barred.get(drain.slot, frozenset()) | {drain.node}
    return barred
