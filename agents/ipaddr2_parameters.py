"""The parameters of ocf:heartbeat:IPaddr2 as vipcast understands them.  Pure: text in, values and findings out.

Names and defaults are those of the agent in the package resource-agents, so that an existing configuration works
unchanged; `hash_seed`, `clusterip_hash_order`, `port_rules`, `mac_mode` and `duplicate_address` are ours.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from datapath import ports
from datapath.engine import HashKind, HashOrder, MacMode, PortRule
from datapath.mac import agents_seed, parse_mac

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
    "run_arping": "the segment is always asked, see duplicate_address",
    "network_namespace": "the daemon's own namespace is used",
    "clusterip_firewall": "the engine of vipcast decides on packets",
    "clusterip_table": "the engine of vipcast decides on packets",
    "clusterip_chain": "the engine of vipcast decides on packets",
    "clusterip_mac_mangle": "vipcast answers ARP itself",
    "trace_ra": "a native agent has no shell to trace",
    "trace_file": "a native agent has no shell to trace",
}
"""parameters of the agent that have no effect here, and why"""
ELSEWHERE = ("drain_timeout", "udp_timeout")
"""parameters of ours that are read by others"""
SEED_OF_THE_AGENT = "agent"
"""`hash_seed`: the seed that the agent itself computes where none is given"""
_AGENTS_SEED = "clusterip_hash_seed"
"""what the agent calls `hash_seed`"""


class DuplicatePolicy(enum.StrEnum):
    """`duplicate_address`: what becomes of a start where somebody else on the segment has the address."""

    REFUSE = "refuse"
    """it fails, naming the MAC"""
    FORCE = "force"
    """it goes on, without asking"""


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
    clusterip_hash_order: HashOrder = HashOrder.NETWORK
    port_rules: tuple[PortRule, ...] = ()
    mac_mode: MacMode = MacMode.MULTICAST
    arp_count: int = 5
    arp_interval: int = 200
    """milliseconds"""
    arp_count_refresh: int = 0
    preferred_lft: int = FOREVER_S
    """seconds"""
    noprefixroute: bool = False
    nodad: bool = False
    duplicate_address: DuplicatePolicy = DuplicatePolicy.REFUSE


KNOWN = (*(field.name for field in fields(Parameters)), _AGENTS_SEED, *IGNORED, *ELSEWHERE)


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
    seed = read("hash_seed", _seed, None)
    agents_own = read(_AGENTS_SEED, _number(0, 0xFFFFFFFF), None)
    order = read("clusterip_hash_order", _choice(HashOrder), HashOrder.NETWORK)
    no_rules: tuple[PortRule, ...] = ()
    port_rules = read("port_rules", ports.parse, no_rules)
    count = read("arp_count", _number(0, ARP_COUNT_MAX), 5)
    interval = read("arp_interval", _number(1, 60_000), 200)
    refresh = read("arp_count_refresh", _number(0, ARP_COUNT_MAX), 0)
    preferred = read("preferred_lft", _lifetime, FOREVER_S)
    noprefixroute = read("noprefixroute", _boolean, False)
    nodad = read("nodad", _boolean, False)
    duplicate_address = read("duplicate_address", _choice(DuplicatePolicy), DuplicatePolicy.REFUSE)
    if ip is None:
        return Parsed(None, tuple(errors), tuple(warnings))
    parameters = Parameters(
        ip=ip,
        cidr_netmask=cidr_netmask,
        nic=nic,
        broadcast=broadcast,
        iflabel=iflabel,
        mac=mac,
        clusterip_hash=hash_kind,
        clusterip_hash_order=order,
        port_rules=port_rules,
        mac_mode=mac_mode,
        arp_count=count,
        arp_interval=interval,
        arp_count_refresh=refresh,
        preferred_lft=preferred,
        noprefixroute=noprefixroute,
        nodad=nodad,
        duplicate_address=duplicate_address,
    )
    errors += [*_contradictions(parameters), *_contradictory_seeds(seed, agents_own, parameters)]
    if errors:
        return Parsed(None, tuple(errors), tuple(warnings))
    return Parsed(replace(parameters, hash_seed=_seed_of(seed, agents_own, parameters)), (), tuple(warnings))


def _contradictions(wanted: Parameters) -> Iterator[str]:
    """What is right by itself and does not go together."""
    if wanted.nic is not None and wanted.iflabel is not None and len(f"{wanted.nic}:{wanted.iflabel}") > 15:
        label = f"{wanted.nic}:{wanted.iflabel}"
        yield f"iflabel={wanted.iflabel}: {label} is longer than 15 characters; choose a shorter label"
    if wanted.ip.version == 6 and wanted.mac_mode is MacMode.IGMP:
        yield "mac_mode=igmp: only IPv4 has it; use multicast"
    if wanted.clusterip_hash_order is HashOrder.CLUSTERIP and wanted.ip.version == 6:
        yield "clusterip_hash_order=clusterip: only IPv4 has it, ipt_CLUSTERIP knew no other; leave it out"
    if wanted.clusterip_hash_order is HashOrder.CLUSTERIP and wanted.clusterip_hash is HashKind.SOURCENET:
        yield "clusterip_hash_order=clusterip: ipt_CLUSTERIP had no hash sourcenet; choose another one"


def _contradictory_seeds(seed: int | str | None, agents_own: int | None, wanted: Parameters) -> Iterator[str]:
    if seed is not None and agents_own not in (None, seed):
        yield f"hash_seed and {_AGENTS_SEED} are one parameter and say different things; leave one out"
    if seed == SEED_OF_THE_AGENT and wanted.cidr_netmask is None:
        yield "hash_seed=agent: the agent computes it of the prefix too, so cidr_netmask must be given"


def _seed_of(seed: int | str | None, agents_own: int | None, wanted: Parameters) -> int:
    if seed == SEED_OF_THE_AGENT and wanted.cidr_netmask is not None:
        return agents_seed(wanted.ip, wanted.cidr_netmask, broadcast_of(wanted, wanted.cidr_netmask))
    return int(seed if seed is not None else agents_own or 0)


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


def _seed(text: str) -> int | str | None:
    return SEED_OF_THE_AGENT if text == SEED_OF_THE_AGENT else _number(0, 0xFFFFFFFF)(text)


def _lifetime(text: str) -> int:
    return FOREVER_S if text == "forever" else _number(0, FOREVER_S)(text)


def _boolean(text: str) -> bool:
    """As ocf_is_true does it."""
    if text.lower() in ("yes", "true", "1", "on", "y"):
        return True
    if text.lower() in ("no", "false", "0", "off", "n"):
        return False
    raise ValueError("neither true nor false")


Choice = TypeVar("Choice", HashKind, HashOrder, MacMode, DuplicatePolicy)


def _choice(kind: type[Choice]) -> Callable[[str], Choice]:
    def parser(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"not known; one of {', '.join(member.value for member in kind)}") from None

    return parser
