"""Who else says that he has one of our addresses: a duplicate, or a member that answers with a MAC of its own.

`foreign_claim` reads it out of a frame, `Strangers` remembers it: who, where, since when and how often, for as long
as it goes on and FORGOTTEN_AFTER_NS longer.  What is remembered is bounded, for MACs can be forged.

RFC 5227, section 2.4, leaves it to a host whether it defends an address.  Ours are meant to stay: they are defended
for ever, each at most once in DEFEND_EVERY_NS, by an announcement of the shared MAC, which mends the caches that
believed the stranger.

Pure: time is an argument (int ns of CLOCK_BOOTTIME).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from datapath.dialects import Heard, IPAddress
from datapath.mac import format_mac

FORGOTTEN_AFTER_NS = 180_000_000_000
"""three of the daemon's own questions are not answered any more"""
TOLD_EVERY_NS = 60_000_000_000
"""the same MAC is worth a line in the log once a minute"""
DEFEND_EVERY_NS = 10_000_000_000
"""DEFEND_INTERVAL of RFC 5227"""
SIGHTINGS_MAX = 64


@dataclass(frozen=True, slots=True)
class ForeignClaim:
    """Somebody says that our address is at another MAC."""

    ip: IPAddress
    mac: str
    interface: str
    frame_source: str
    """the frame's Ethernet source: where on the segment to look"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One who claims, and what is known of him."""

    claim: ForeignClaim
    """the newest"""
    first_ns: int
    last_ns: int
    count: int
    member: str = ""
    """the node whose MAC this is, as far as the kernel's neighbour table says so; "": none that is known"""


@dataclass(frozen=True, slots=True)
class News:
    """What a claim asks for."""

    worth_telling: bool
    defend: bool


def foreign_claim(heard: Heard, addresses: Mapping[IPAddress, bytes], interface: str) -> ForeignClaim | None:
    """The claim of one of `addresses` (address → its MAC) with another MAC, if `heard` is one."""
    if heard.claim is None:
        return None
    mac = addresses.get(heard.claim.ip)
    if mac is None or heard.claim.mac == mac:
        return None
    return ForeignClaim(heard.claim.ip, format_mac(heard.claim.mac), interface, format_mac(heard.source))


class Strangers:
    """Everybody who claims an address of this host."""

    def __init__(self) -> None:
        self._seen: dict[tuple[IPAddress, str, str], Sighting] = {}
        self._told_ns: dict[tuple[IPAddress, str, str], int] = {}
        """keys are those of `_seen`"""
        self._defended_ns: dict[IPAddress, int] = {}
        self._beyond_ns: int | None = None
        """when one was heard that is not remembered, because SIGHTINGS_MAX others are"""

    def note(self, claim: ForeignClaim, now_ns: int) -> News:
        """Remember a claim."""
        key = (claim.ip, claim.mac, claim.interface)
        former = self._seen.get(key)
        if former is None:
            self._forget(now_ns)
            if len(self._seen) >= SIGHTINGS_MAX:
                self._beyond_ns = now_ns
                return News(False, self._defends(claim.ip, now_ns))
            former = Sighting(claim, now_ns, now_ns, 0)
        self._seen[key] = replace(former, claim=claim, last_ns=now_ns, count=former.count + 1)
        told_ns = self._told_ns.get(key)
        worth_telling = told_ns is None or now_ns - told_ns >= TOLD_EVERY_NS
        if worth_telling:
            self._told_ns[key] = now_ns
        return News(worth_telling, self._defends(claim.ip, now_ns))

    def name(self, claim: ForeignClaim, member: str) -> None:
        """It is a node of this cluster, or ("") it is not known as one."""
        key = (claim.ip, claim.mac, claim.interface)
        if key in self._seen:
            self._seen[key] = replace(self._seen[key], member=member)

    def current(self, now_ns: int) -> tuple[Sighting, ...]:
        """Those that were heard lately, the longest known first."""
        self._forget(now_ns)
        return tuple(sorted(self._seen.values(), key=lambda sighting: sighting.first_ns))

    def there_are_more(self, now_ns: int) -> bool:
        """More than are remembered: somebody forges MACs."""
        return self._beyond_ns is not None and now_ns - self._beyond_ns < FORGOTTEN_AFTER_NS

    def keep(self, addresses: frozenset[IPAddress]) -> None:
        """Only these are ours now: nobody is a stranger to another one."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in addresses}
        self._told_ns = {key: at for key, at in self._told_ns.items() if key in self._seen}
        self._defended_ns = {ip: at for ip, at in self._defended_ns.items() if ip in addresses}

    def _defends(self, ip: IPAddress, now_ns: int) -> bool:
        defended_ns = self._defended_ns.get(ip)
        if defended_ns is not None and now_ns - defended_ns < DEFEND_EVERY_NS:
            return False
        self._defended_ns[ip] = now_ns
        return True

    def _forget(self, now_ns: int) -> None:
        self._seen = {key: seen for key, seen in self._seen.items() if now_ns - seen.last_ns < FORGOTTEN_AFTER_NS}
        self._told_ns = {key: at for key, at in self._told_ns.items() if key in self._seen}


def sentence(claim: ForeignClaim, member: str = "") -> str:
    """What a person has to know."""
    whose = f"{claim.mac}, the own MAC of {member}," if member else claim.mac
    wire = "" if claim.frame_source == claim.mac else f" (its frames come from {claim.frame_source})"
    remedy = (
        f"its kernel answers for the address, look at arp_ignore there: {member} is set up wrongly"
        if member
        else "a duplicate address, or a host that is set up wrongly"
    )
    return f"{claim.ip} is claimed by {whose} on {claim.interface}{wire}: {remedy}"
