"""The parameters of ocf:heartbeat:IPaddr2 as vipcast understands them.  Pure: text in, values and findings out.

Names and defaults are those of the agent in the package resource-agents, so that an existing configuration works
unchanged; `hash_seed` and `mac_mode` are ours.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from datapath.engine import HashKind, MacMode
from datapath.mac import parse_mac

T = TypeVar("T")

FOREVER_S = 0xFFFFFFFF
"""INFINITY_LIFE_TIME of linux/if_addr.h"""
ARP_COUNT_MAX = 1000

IGNORED = {
    "lvs_support": "an address that stops is not moved to the loopback",
    "lvs_ipv6_addrlabel": "no address label is added",
    "lvs_ipv6_addrlabel_value": "no address label is added",
    "unique_clone_address": "all instances of a clone share one address",
    "arp_bg": "announcements never delay a start",
    "arp_sender": "announcements are sent by vipcast itself",
    "send_arp_opts": "announcements are sent by vipcast itself, as request and as reply",
    "flush_routes": "the kernel forgets routes of an address that is removed",
    "run_arping": "a duplicate address is reported by the ARP responder",
    "network_namespace": "the daemon's own namespace is used",
    "trace_ra": "a native agent has no shell to trace",
    "trace_file": "a native agent has no shell to trace",
}
"""parameters of the agent that have no effect here, and why"""
ELSEWHERE = ("drain_timeout",)
"""parameters of ours that are read by others"""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What an IPaddr2 resource asks for, parsed; None where it is to be found out on the host."""

    ip: IPv4Address | IPv6Address
    cidr_netmask: int | None = None
    nic: str | None = None
    broadcast: IPv4Address | str | None = None
    """an address; `+` or `-` for host bits all set or all clear; None: the subnet's"""
    iflabel: str | None = None
    mac: str | None = None
    clusterip_hash: HashKind = HashKind.SOURCEIP_SOURCEPORT
    hash_seed: int = 0
    mac_mode: MacMode = MacMode.MULTICAST
    arp_count: int = 5
    arp_interval: int = 200
    """milliseconds"""
    arp_count_refresh: int = 0
    preferred_lft: int = FOREVER_S
    """seconds"""
    noprefixroute: bool = False
    nodad: bool = False


KNOWN = (*(field.name for field in fields(Parameters)), *IGNORED, *ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The outcome: no parameters where there are errors."""

    parameters: Parameters | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def parse(given: Mapping[str, str]) -> Parsed:
    """Every finding at once.  An empty value is the default, as with the agent.

    A name that nobody knows is a warning: an edit that sets one is refused where it is made, unless it is forced.
    """
    errors: list[str] = []
    warnings: list[str] = []
    written = {name: value.strip() for name, value in given.items() if value.strip()}

    for name in sorted(given):
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(KNOWN))}"
            warnings.append(f"IPaddr2 has no parameter {name!r}, it has no effect; {remedy}")
        elif name in IGNORED and name in written:
            warnings.append(f"{name} has no effect: {IGNORED[name]}")

    def read(name: str, parser: Callable[[str], T], default: T) -> T:
        if name not in written:
            return default
        try:
            return parser(written[name])
        except ValueError as error:
            errors.append(f"{name}={written[name]}: {error}")
            return default

    ip = read("ip", _ip, None)
    if "ip" not in written:
        errors.append("IPaddr2 needs the parameter ip; for example ip=192.168.1.10")
    version = ip.version if ip is not None else 4
    mac_mode = read("mac_mode", _choice(MacMode), MacMode.MULTICAST)
    cidr_netmask = read("cidr_netmask", lambda text: _prefix_length(text, version), None)
    nic = read("nic", _nic, None)
    broadcast = read("broadcast", _broadcast, None)
    iflabel = read("iflabel", _label, None)
    mac = read("mac", lambda text: parse_mac(text, mac_mode), None)
    hash_kind = read("clusterip_hash", _choice(HashKind), HashKind.SOURCEIP_SOURCEPORT)
    seed = read("hash_seed", _number(0, 0xFFFFFFFF), 0)
    count = read("arp_count", _number(0, ARP_COUNT_MAX), 5)
    interval = read("arp_interval", _number(1, 60_000), 200)
    refresh = read("arp_count_refresh", _number(0, ARP_COUNT_MAX), 0)
    preferred = read("preferred_lft", _lifetime, FOREVER_S)
    noprefixroute = read("noprefixroute", _boolean, False)
    nodad = read("nodad", _boolean, False)
    if nic is not None and iflabel is not None and len(f"{nic}:{iflabel}") > 15:
        errors.append(f"iflabel={iflabel}: {nic}:{iflabel} is longer than 15 characters; choose a shorter label")
    if version == 6 and mac_mode is MacMode.IGMP:
        errors.append("mac_mode=igmp: only IPv4 has it; use multicast")
    if errors or ip is None:
        return Parsed(None, tuple(errors), tuple(warnings))
    parameters = Parameters(
        ip=ip,
        cidr_netmask=cidr_netmask,
        nic=nic,
        broadcast=broadcast,
        iflabel=iflabel,
        mac=mac,
        clusterip_hash=hash_kind,
        hash_seed=seed,
        mac_mode=mac_mode,
        arp_count=count,
        arp_interval=interval,
        arp_count_refresh=refresh,
        preferred_lft=preferred,
        noprefixroute=noprefixroute,
        nodad=nodad,
    )
    return Parsed(parameters, (), tuple(warnings))


def broadcast_of(parameters: Parameters, prefixlen: int) -> IPv4Address | None:
    """The broadcast address to set; None for IPv6."""
    if not isinstance(parameters.ip, IPv4Address):
        return None
    if isinstance(parameters.broadcast, IPv4Address):
        return parameters.broadcast
    network = ip_network((parameters.ip, prefixlen), strict=False)
    assert not isinstance(network, IPv6Network)
    return network.network_address if parameters.broadcast == "-" else network.broadcast_address


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        raise ValueError("not an IP address; write it as 192.168.1.10 or 2001:db8::10") from None
    if isinstance(found, IPv6Address) and found.scope_id:
        raise ValueError("leave the zone out, and name the interface in nic")
    if found.is_multicast or found.is_unspecified or found.is_loopback:
        raise ValueError("not an address that a host can be given")
    return found


def _prefix_length(text: str, version: int) -> int | None:
    most = 32 if version == 4 else 128
    if version == 4 and "." in text:
        try:
            return ip_network(f"0.0.0.0/{text}").prefixlen
        except ValueError:
            raise ValueError("not a netmask; write the length of the prefix, for example 24") from None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ValueError(f"not a length of a prefix; write a number from 1 to {most}, for example 24")
    return int(text)


def _nic(text: str) -> str | None:
    if not re.fullmatch(r"[^\s/:]{1,15}", text) or text in (".", ".."):
        raise ValueError("not the name of an interface; 'ip link' lists them, a label goes into iflabel")
    return text


def _label(text: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,13}", text):
        raise ValueError("not a label; use letters and digits, 15 characters together with the interface's name")
    if text == "vipcast":
        raise ValueError("this label marks shared addresses; choose another")
    return text


def _broadcast(text: str) -> IPv4Address | str | None:
    if text in ("+", "-"):
        return text
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError("not an IPv4 address, nor + or -; leave it out for the subnet's") from None


def _number(least: int, most: int) -> Callable[[str], int]:
    def parser(text: str) -> int:
        try:
            value = int(text, 16) if text.lower().startswith("0x") else int(text)
        except ValueError:
            raise ValueError(f"not a number; write one from {least} to {most}") from None
        if not least <= value <= most:
            raise ValueError(f"outside {least} to {most}")
        return value

    return parser


def _lifetime(text: str) -> int:
    return FOREVER_S if text == "forever" else _number(0, FOREVER_S)(text)


def _boolean(text: str) -> bool:
    """As ocf_is_true does it."""
    if text.lower() in ("yes", "true", "1", "on", "y"):
        return True
    if text.lower() in ("no", "false", "0", "off", "n"):
        return False
    raise ValueError("neither true nor false")


Choice = TypeVar("Choice", HashKind, MacMode)


def _choice(kind: type[Choice]) -> Callable[[str], Choice]:
    def parser(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"not known; one of {', '.join(member.value for member in kind)}") from None

    return parser
