"""`[[link]]` of vipcast.toml: one network that carries heartbeats, and what can be wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from pydantic import BaseModel, ConfigDict, Field

from daemon.settings_findings import Finding, Places

LINKS_MAX = 8
PEERS_MAX = 128

_INTERFACE = re.compile(r"[^\s/:]{1,15}")
_LOCAL_CONTROL = IPv4Network("224.0.0.0/24")  # never leaves the segment and is not snooped: routing protocols' own


class Link(BaseModel):
    """An interface with a multicast group, or with peers, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    interface: str
    """name of the network interface"""
    group: str = ""
    """empty: no multicast, only `peers` and whoever is heard from"""
    port: int = Field(default=5405, ge=1, le=65535)
    """UDP port, the same on all nodes"""
    peers: tuple[str, ...] = Field(default=(), strict=False)
    """IPv4 addresses of nodes that the group does not reach"""


def names(links: Sequence[Link]) -> tuple[str, ...]:
    """What each link is called: its interface, with the port behind it where several links share the interface."""
    times = Counter(link.interface for link in links)
    return tuple(
        link.interface if times[link.interface] == 1 else f"{link.interface}:{link.port}" for link in links
    )


def findings(places: Places, links: Sequence[Link]) -> Iterator[Finding]:
    """Everything that is wrong with the links."""
    if not 1 <= len(links) <= LINKS_MAX:
        yield _wrong(places("link"), f"{len(links)} links", f"give 1 to {LINKS_MAX} [[link]] tables")
    seen: dict[tuple[str, int], int] = {}
    for number, link in enumerate(links):
        if not _INTERFACE.fullmatch(link.interface) or link.interface in (".", ".."):
            where = places("link", number, "interface")
            yield _wrong(where, f"{link.interface!r} is no name of an interface", "'ip link' lists them")
        yield from _destinations(places, number, link)
        place = (link.interface, link.port)
        if place in seen:
            yield _wrong(
                places("link", number),
                f"link[{seen[place]}] has {link.interface} port {link.port} already",
                "a second link needs its own interface (or at least its own port)",
            )
        seen.setdefault(place, number)


def _destinations(places: Places, number: int, link: Link) -> Iterator[Finding]:
    if "group" not in link.model_fields_set and not link.peers:
        yield Finding(
            "missing",
            "error",
            places("link", number),
            "neither a group nor peers",
            'write group = "239.192.110.1", or, without multicast, peers = ["192.0.2.11"]',
        )
    elif link.group or not link.peers:
        group = _ipv4(link.group)
        if group is None or not group.is_multicast or group in _LOCAL_CONTROL:
            yield _wrong(
                places("link", number, "group"),
                f"{link.group!r} is no IPv4 multicast group for applications",
                "take one from 239.192.0.0/14 (RFC 2365), for example 239.192.110.1",
            )
    where = places("link", number, "peers")
    if len(link.peers) > PEERS_MAX:
        yield _wrong(where, f"{len(link.peers)} peers", f"name at most {PEERS_MAX}")
    for peer in link.peers:
        address = _ipv4(peer)
        if address is None or address.is_multicast or address.is_unspecified or address.is_loopback:
            yield _wrong(where, f"{peer!r} is no IPv4 address of a host", 'for example peers = ["192.0.2.11"]')


def _wrong(where: str, message: str, remedy: str) -> Finding:
    return Finding("bad-value", "error", where, message, remedy)


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None
