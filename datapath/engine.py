"""The one door to the kernel: what every engine (nft, raw, later bpf) promises.

The daemon says what it *wants* (`Wish`es, one an address); an engine makes the kernel so in one transaction and
tells what changed.  Nothing is accepted for an address without a lease: an engine's rules check an absolute
deadline on the boot clock (CLOCK_BOOTTIME, nanoseconds) themselves, so that they fall silent when the daemon cannot
(LEASES.md, rule 15).  Calls block for well under a millisecond, except `start`.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
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
    """accept only flows that a local socket already has, and UDP conversations that are known (`Conversations`)"""
    OPENING = 3
    """accept new connections, flows that a local socket has, and all UDP but the conversations that the old owner
    keeps; drop the rest silently"""
    NOTING = 4
    """accept as OPEN does, and note the SYNs: about to drain for a successor who is told of them"""
    KEEPING_UDP = 5
    """drain, and accept and note all UDP as well: whose conversations are heard, the next seconds show"""
    LEAVING_UDP = 6
    """open, but for UDP: all of it is the old owner's still"""

    @property
    def drains(self) -> bool:
        return self in (SlotState.DRAINING, SlotState.KEEPING_UDP)

    @property
    def opens(self) -> bool:
        """Gently: somebody else drains."""
        return self in (SlotState.OPENING, SlotState.LEAVING_UDP)


NOTES = frozenset({SlotState.NOTING, SlotState.KEEPING_UDP, SlotState.DRAINING})
"""a slot in one of these is on its way from here: what was noted of it counts"""


class HashKind(enum.StrEnum):
    """`clusterip_hash`: what of a packet chooses its slot (ARCHITECTURE.md, Slots)."""

    SOURCEIP = "sourceip"
    SOURCEIP_SOURCEPORT = "sourceip-sourceport"
    SOURCEIP_SOURCEPORT_DESTPORT = "sourceip-sourceport-destport"
    SOURCENET = "sourcenet"


class HashOrder(enum.StrEnum):
    """`clusterip_hash_order`: how the key's words are read."""

    NETWORK = "network"
    """as they are in the packet: nft's jhash, xt_cluster, and Pacemaker's agent since 2026"""
    CLUSTERIP = "clusterip"
    """as ipt_CLUSTERIP had it until Linux 6.5: the address as a number of the host, port 0 where there is none"""


class PortFate(enum.StrEnum):
    """What becomes of packets to a port (`port_rules`)."""

    SHARED = "shared"
    """hashed, as without a rule"""
    ONE = "one"
    """all go to one slot, and so to one host at a time"""
    REFUSED = "refused"
    """dropped by every host"""


@dataclass(frozen=True, slots=True)
class PortRule:
    """What becomes of TCP, UDP and SCTP to these ports of an address; the first rule that fits a packet decides."""

    first: int
    last: int
    """first <= last <= 65,535"""
    fate: PortFate
    slot: int = 0
    """for ONE: which slot"""
    protocol: int = 0
    """6, 17 or 132; 0: each of them"""

    def fits(self, protocol: int, port: int) -> bool:
        return self.first <= port <= self.last and self.protocol in (0, protocol)


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
    hash_order: HashOrder = HashOrder.NETWORK
    port_rules: tuple[PortRule, ...] = ()

    def __hash__(self) -> int:
        """By what tells addresses apart: a set of a thousand is made with each change."""
        return hash(self.resource)


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
    """accepted, or the reason of a drop: foreign, closed, expired, truncated, malformed, refused-port …"""
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Taken:
    """SYNs that a host has taken, and whose repetitions are its own while their slots move (datapath.hold)."""

    syns: frozenset[bytes] = frozenset()
    """client address, its port, our port and initial sequence number, as in the packet"""
    flows: frozenset[bytes] = frozenset()
    """the same without a number, of connections that were half open before SYNs were noted"""


CONVERSATIONS_MAX = 4_096
"""UDP conversations that a move leaves with its old owner; of more none is left there.

They are read once a second by who renews leases meanwhile: 10 to 20 ms with nft.
"""


@dataclass(frozen=True, slots=True)
class Conversations:
    """UDP conversations of slots that drain (docs/decisions/0029-udp-drains.md)."""

    slots: Mapping[bytes, int] = field(default_factory=dict)
    """name → slot.  A name is the client's address, its port and our port, as in the packet"""
    too_many: bool = False
    """there were more than CONVERSATIONS_MAX"""


class DatapathError(Exception):
    """The kernel refused; the text names what was wanted, what it said, and the remedy."""


class HelperAwayError(DatapathError):
    """What another process has to do waits: vipcast-runner is started again, a forwarder is starved.

    Worth trying again in a moment.
    """


class UnconfirmedError(HelperAwayError):
    """What was asked for is in force already, but nobody has confirmed it yet.

    Ask for the same again, and for nothing else: each other thing is one more that waits to be confirmed.
    """


@runtime_checkable
class NeedsHelper(Protocol):
    """An engine whose packets are moved by another process, which vipcast-runner keeps alive."""

    def helper_argv(self) -> list[str]: ...

    def ailment(self) -> str | None:
        """Why packets are not moved although the engine has done its part; None when the helper is well."""


@runtime_checkable
class Reconciles(Protocol):
    """An engine that answers every SYN once while a slot moves (docs/decisions/0016-held-syns.md).

    The old owner's slot is NOTING, then DRAINING; the new one's is CLOSED, then OPENING.  Raises DatapathError: then
    the slot moves without, and a client in that moment has to repeat its SYN.
    """

    def taken(self, resource: str, slots: Collection[int]) -> Taken:
        """Old owner, once draining: what these slots took from when they were NOTING.

        DatapathError also when there were more than TAKEN_MAX.
        """

    def conversations(self, resource: str, slots: Collection[int], idle_ns: int) -> Conversations:
        """Old owner: UDP conversations of these slots that were heard of less than `idle_ns` ago.

        Of slots that are DRAINING the others are forgotten for good, all of them where there are too many: when this
        returns, no datagram of theirs is accepted any more.  DatapathError: some may be and some may not.
        """

    def leave(self, resource: str, slots: Collection[int], names: Collection[bytes]) -> None:
        """New owner: these UDP conversations, and no others of these slots, are the old owner's while they open."""

    def listen(self, resource: str, slots: Collection[int]) -> None:
        """New owner: keep a copy of each SYN to these closed slots from now on."""

    def refuse(self, resource: str, slots: Collection[int], taken: Taken) -> None:
        """New owner, before it opens: these SYNs are the old owner's for as long as the slots are OPENING."""

    def release(self, resource: str, slots: Collection[int]) -> int:
        """New owner, once OPENING: take in what was kept, is not the old owner's and has not come in meanwhile.

        Ends `listen`.  Returns how many it were.
        """

    def forget(self, resource: str, slots: Collection[int]) -> None:
        """End `listen` for these slots, if it goes on, without taking anything in."""


@runtime_checkable
class KeepsFlows(Protocol):
    """An engine that has to put each connection of a slot on a list before the slot moves, and to strike it out.

    Both by steps of a millisecond, between which the caller does what is due; broken off, or not begun, they cost time
    in `apply` alone.  DatapathError at any step.
    """

    def prepare(self, resource: str) -> Iterator[None]:
        """List the connections of all slots that are NOTING or CLOSED, before they are DRAINING or OPENING."""

    def tidy(self) -> Iterator[None]:
        """Strike out what has ended, and list what is missing: twice a second while slots move."""


class Engine(Protocol):
    """Three engines, one behaviour; tests/netns runs the same tests over each."""

    name: str
    place: str
    """the interface that shared addresses are put on: the loopback, or the engine's own"""

    def start(self) -> None:
        """Prepare sockets and tables; removes nothing that a former process left under lease."""

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        """Make the kernel hold exactly these addresses and slot states, in one transaction; idempotent.

        Raises DatapathError, and then nothing has changed; UnconfirmedError, and it may come in force later: ask again.
        """

    def renew(self, deadline_ns: int) -> None:
        """Lease of this whole host: accept until `deadline_ns` on CLOCK_BOOTTIME; a deadline in the past closes.

        Its cost does not grow with addresses or slots.  Deadlines may also move back (0 closes at once).
        """

    def deadline_ns(self) -> int:
        """The lease as the kernel holds it now, read back: a former process may have left it; 0: none.

        Never later than what the kernel goes by.
        """

    def state(self) -> list[Wish]:
        """What the kernel holds, read back and not remembered."""

    def counters(self) -> list[Counter]: ...

    def repair(self) -> list[Change]:
        """Compare kernel with wish, mend what others changed, and say what was mended."""

    def remove(self) -> None:
        """Take down all of ours: afterwards the host is as if vipcast had never run."""

    def close(self) -> None:
        """Let go of sockets; kernel state stays, under its lease (a restart inherits it)."""
