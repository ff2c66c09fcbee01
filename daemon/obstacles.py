"""Addresses that this host lacks something for: an interface that is not there, IPv6 that is off.

The others serve their slots meanwhile, as after a start that failed.  What is mended stays mended for a while before
the cluster is told: an interface that comes and goes must not take the slots to and fro.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

NS_PER_S = 1_000_000_000
MENDED_FOR_NS = 3 * NS_PER_S

Look = Callable[[str], str | None]
"""an address's id → what is in its way on this host; None: nothing"""


class Obstacles:
    """What stood in the way when the kernel was told last.  Times are of the boot clock."""

    def __init__(self) -> None:
        self._mended_ns: dict[str, int | None] = {}
        """address → since when nothing is in its way any more; None: something still is"""

    def __contains__(self, address: object) -> bool:
        return address in self._mended_ns

    def met(self, address: str) -> None:
        self._mended_ns[address] = None

    def forget(self, addresses: Iterable[str]) -> None:
        """It is held, or nobody wants it any more."""
        for address in addresses:
            self._mended_ns.pop(address, None)

    def known(self) -> tuple[str, ...]:
        return tuple(self._mended_ns)

    def gone(self, look: Look, now_ns: int) -> list[str]:
        """Addresses for which nothing has been in the way for MENDED_FOR_NS, as often as this is asked."""
        found = []
        for address, since_ns in self._mended_ns.items():
            if look(address) is not None:
                self._mended_ns[address] = None
            elif since_ns is None:
                self._mended_ns[address] = now_ns
            elif now_ns - since_ns >= MENDED_FOR_NS:
                found.append(address)
        return found
