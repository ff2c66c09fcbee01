"""`ocf:heartbeat:IPaddr2`: what can be said of its parameters without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from daemon.model.agents import IPADDR2
from daemon.model.configuration import Configuration, Primitive
from daemon.model.findings import Finding, error, warning
from daemon.model.options import suggestion
from daemon.model.validation.effective import agent_of, parameters_of
from daemon.model.values import FALSE_WORDS, TRUE_WORDS

HASHES = ("sourceip", "sourceip-sourceport", "sourceip-sourceport-destport")
MAC_MODES = ("multicast", "igmp", "unicast")

PARAMETERS = frozenset(
    {"ip", "nic", "cidr_netmask", "broadcast", "iflabel", "lvs_support", "lvs_ipv6_addrlabel"}
    | {"lvs_ipv6_addrlabel_value", "mac", "clusterip_hash", "unique_clone_address", "arp_interval", "arp_count"}
    | {"arp_count_refresh", "arp_bg", "arp_sender", "send_arp_opts", "flush_routes", "run_arping", "nodad"}
    | {"noprefixroute", "preferred_lft", "network_namespace", "trace_ra", "trace_file"}
    | {"mac_mode", "drain_timeout", "hash_seed"}
)
"""of the agent (resource-agents 4.12), and in the last line those of vipcast"""

_BOOLEANS = (
    "lvs_support",
    "unique_clone_address",
    "arp_bg",
    "flush_routes",
    "run_arping",
    "nodad",
    "noprefixroute",
)
_INTEGERS = ("arp_interval", "arp_count", "arp_count_refresh", "lvs_ipv6_addrlabel_value")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


def check(configuration: Configuration) -> Iterator[Finding]:
    owners: dict[IPv4Address | IPv6Address, str] = {}
    for primitive in configuration.walk():
        if not isinstance(primitive, Primitive) or agent_of(primitive, configuration.templates) != IPADDR2:
            continue
        parameters = parameters_of(primitive, configuration.templates)
        yield from _values(primitive.id, parameters)
        address = _address(parameters.get("ip", ""))
        if address is None:
            continue
        if address in owners:
            yield error(
                "duplicate-address",
                f"{primitive.id} ip",
                f"address {address} of '{primitive.id}' is already served by '{owners[address]}'",
                f"clone '{owners[address]}' to serve it on several nodes",
            )
        else:
            owners[address] = primitive.id


def check_parameters(primitive: Primitive, templates: tuple[Primitive, ...], *, force: bool) -> list[Finding]:
    """Names that the agent does not know, while they are being set."""
    if force or agent_of(primitive, templates) != IPADDR2:
        return []
    parameters = parameters_of(primitive, templates)
    return [
        error(
            "unknown-parameter",
            f"{primitive.id} {name}",
            f"invalid resource option '{name}'",
            f"{suggestion(name, PARAMETERS)}, use --force to set it anyway",
        )
        for name in sorted(parameters.keys() - PARAMETERS)
    ]


def _values(resource: str, parameters: dict[str, str]) -> Iterator[Finding]:
    address = _address(parameters.get("ip", ""))
    if "ip" not in parameters:
        message = f"required resource option 'ip' of '{resource}' is missing"
        yield error("missing-parameter", f"{resource} ip", message)
    for name, (is_right, expected) in _CHECKS.items():
        if name in parameters and not is_right(parameters[name]):
            yield _bad(resource, name, parameters[name], expected)
    netmask = parameters.get("cidr_netmask")
    longest = 128 if address is not None and address.version == 6 else 32
    if netmask is not None and not (_is_count(netmask) and int(netmask) <= longest):
        yield _bad(resource, "cidr_netmask", netmask, f"a prefix length such as 24, at most {longest}")
    yield from _mac(resource, parameters.get("mac", ""), parameters.get("mac_mode", "multicast"))


def _bad(resource: str, name: str, value: str, expected: str) -> Finding:
    return error("bad-parameter", f"{resource} {name}", f"{name}={value} of '{resource}' is not {expected}")


def _mac(resource: str, mac: str, mode: str) -> Iterator[Finding]:
    if not mac:
        return
    if not _MAC.fullmatch(mac):
        yield _bad(resource, "mac", mac, "a MAC address such as 01:00:5e:7f:6e:78")
        return
    is_multicast = int(mac[:2], 16) & 1  # the group bit of IEEE 802, the lowest of the first octet
    where = f"{resource} mac"
    if mode == "unicast" and is_multicast:
        yield error(
            "bad-parameter", where, f"mac={mac} of '{resource}' is a multicast address, mac_mode is unicast"
        )
    elif mode != "unicast" and not is_multicast:
        yield error(
            "bad-parameter",
            where,
            f"mac={mac} of '{resource}' is not a multicast address: its first octet must be odd",
            "use such a MAC, or mac_mode=unicast",
        )
    elif mode == "igmp" and not mac.lower().replace("-", ":").startswith("01:00:5e:"):
        yield warning(
            "mac-not-igmp", where, f"mac={mac} of '{resource}' is not of the range that IGMP snooping knows"
        )


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _is_host_address(text: str) -> bool:
    address = _address(text)
    return address is not None and not address.is_multicast and not address.is_unspecified


def _is_broadcast(text: str) -> bool:
    return text in {"", "+", "-"} or isinstance(_address(text), IPv4Address)


def _is_interface(name: str) -> bool:
    well_formed = not any(c.isspace() or c in "/:" for c in name) and name not in {".", ".."}
    return 0 < len(name) <= _INTERFACE_MAX and well_formed


def _is_boolean(text: str) -> bool:
    return text.strip().lower() in TRUE_WORDS | FALSE_WORDS


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


_INTERFACE_MAX = 15  # IFNAMSIZ of linux/if.h, without the final NUL
_BOOLEANS = (
    "lvs_support",
    "unique_clone_address",
    "arp_bg",
    "flush_routes",
    "run_arping",
    "nodad",
    "noprefixroute",
)
_COUNTS = ("arp_interval", "arp_count", "arp_count_refresh", "lvs_ipv6_addrlabel_value", "hash_seed")

_CHECKS: dict[str, tuple[Callable[[str], bool], str]] = {
    "ip": (_is_host_address, "the IPv4 or IPv6 address of a host"),
    "broadcast": (_is_broadcast, "an IPv4 address"),
    "clusterip_hash": (HASHES.__contains__, f"one of {', '.join(HASHES)}"),
    "mac_mode": (MAC_MODES.__contains__, f"one of {', '.join(MAC_MODES)}"),
    "nic": (_is_interface, f"the name of a network interface (at most {_INTERFACE_MAX} characters)"),
    **dict.fromkeys(_BOOLEANS, (_is_boolean, "a boolean, use true or false")),
    **dict.fromkeys(_COUNTS, (_is_count, "a non-negative integer")),
}
