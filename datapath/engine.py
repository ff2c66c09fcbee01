"""The one door to the kernel: what every engine (nft, raw, later bpf) promises.

The daemon says what it *wants* (`Wish`es, one an address); an engine makes the kernel so in one transaction and
tells what changed.  Nothing is accepted for an address without a lease: an engine's rules check an absolute
deadline on the boot clock (CLOCK_BOOTTIME, nanoseconds) themselves, so that they fall silent when the daemon cannot
(LEASES.md, rule 15).  Calls block for well under a millisecond, except `start`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, runtime_checkable


class SlotState(enum.IntEnum):
    """What a host does with a packet of a slot's client.  Numbers are those in the kernel's tables."""

    CLOSED = 0
    """drop"""
    OPEN = 1
    """accept"""
    DRAINING = 2
    """accept only flows that a local socket already has"""
    OPENING = 3
    """accept new connections and flows that a local socket has; drop the rest silently"""


class HashKind(enum.StrEnum):
    """`clusterip_hash`: what of a packet chooses its slot (ARCHITECTURE.md, Slots)."""

    SOURCEIP = "sourceip"
    SOURCEIP_SOURCEPORT = "sourceip-sourceport"
    SOURCEIP_SOURCEPORT_DESTPORT = "sourceip-sourceport-destport"


class MacMode(enum.StrEnum):
    MULTICAST = "multicast"
    IGMP = "igmp"
    UNICAST = "unicast"


@dataclass(frozen=True, slots=True)
class Address:
    """A shared address and how its clients hash."""

    resource: str
    """the primitive's id, e.g. `VIP`: the name that counters and messages carry"""
    ip: IPv4Address | IPv6Address
    prefixlen: int
    interface: str
    mac: str
    """the shared MAC, lower case with colons"""
    hash_kind: HashKind
    seed: int
    """32-bit start value of jhash"""
    slots: int
    """how many slots there are in the cluster (clone-max), 1 … 65,536"""
    mac_mode: MacMode = MacMode.MULTICAST


@dataclass(frozen=True, slots=True)
class Wish:
    """An address on this host, and the state of each slot here; slots that are not named are CLOSED."""

    address: Address
    states: Mapping[int, SlotState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that `apply` did or `repair` found: a sentence for the log and its parts for programs."""

    address: str
    what: str
    """added, removed, opened, closed, draining, opening, repaired …"""
    slots: tuple[int, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Counter:
    """Packets and bytes of one address by what happened to them; each packet is in one counter only."""

    address: str
    slot: int | None
    """the slot that it was counted for; None: counted for the whole address, such as what cannot be hashed"""
    verdict: str
    """accepted, or the reason of a drop: foreign, closed, expired, unparsable …"""
    packets: int
    bytes: int


class DatapathError(Exception):
    """The kernel refused; the text names what was wanted, what it said, and the remedy."""


@runtime_checkable
class NeedsHelper(Protocol):
    """An engine whose packets are moved by another process, which vipcast-runner keeps alive."""

    def helper_argv(self) -> list[str]: ...

    def ailment(self) -> str | None:
        """Why packets are not moved although the engine has done its part; None when the helper is well."""


class Engine(Protocol):
    """Three engines, one behaviour; tests/netns runs the same tests over each."""

    name: str
    place: str
    """the interface that shared addresses are put on: the loopback, or the engine's own"""

    def start(self) -> None:
        """Prepare sockets and tables; removes nothing that a former process left under lease."""

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        """Make the kernel hold exactly these addresses and slot states, in one transaction; idempotent.

        Raises DatapathError, and then nothing has changed.
        """

    def renew(self, deadline_ns: int) -> None:
        """Lease of this whole host: accept until `deadline_ns` on CLOCK_BOOTTIME; a deadline in the past closes.

        Its cost does not grow with addresses or slots.  Deadlines may also move back (0 closes at once).
        """

    def deadline_ns(self) -> int:
        """The lease as the kernel holds it now, read back: a former process may have left it; 0: none.

        Never later than what the kernel goes by.
        """

    def flows_left(self, resource: str, slot: int) -> int:
        """How many local sockets still belong to this slot: a draining slot may close at 0."""

    def state(self) -> list[Wish]:
        """What the kernel holds, read back and not remembered."""

    def counters(self) -> list[Counter]: ...

    def repair(self) -> list[Change]:
        """Compare kernel with wish, mend what others changed, and say what was mended."""

    def remove(self) -> None:
        """Take down all of ours: afterwards the host is as if vipcast had never run."""

    def close(self) -> None:
        """Let go of sockets; kernel state stays, under its lease (a restart inherits it)."""
