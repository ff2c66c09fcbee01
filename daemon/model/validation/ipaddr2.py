"""`ocf:heartbeat:IPaddr2`: what can be said of its parameters without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from daemon.model.agents import IPADDR2
from daemon.model.configuration import Configuration, Primitive
from daemon.model.findings import Finding, error
from daemon.model.options import suggestion
from daemon.model.validation.effective import agent_of, parameters_of
from daemon.model.values import FALSE_WORDS, TRUE_WORDS, BadValue, parse_duration_ms
from datapath.ports import parse as parse_ports

HASHES = ("sourceip", "sourceip-sourceport", "sourceip-sourceport-destport", "sourcenet")
ORDERS = ("network", "clusterip")
MAC_MODES = ("multicast", "igmp", "unicast")
DUPLICATES = ("refuse", "force")

PARAMETERS = frozenset(
    {"ip", "nic", "cidr_netmask", "broadcast", "iflabel", "lvs_support", "lvs_ipv6_addrlabel"}
    | {"lvs_ipv6_addrlabel_value", "mac", "clusterip_hash", "unique_clone_address", "arp_interval", "arp_count"}
    | {"arp_count_refresh", "arp_bg", "arp_sender", "send_arp_opts", "flush_routes", "run_arping", "nodad"}
    | {"noprefixroute", "preferred_lft", "network_namespace", "trace_ra", "trace_file"}
    | {"clusterip_hash_seed", "clusterip_firewall", "clusterip_table", "clusterip_chain", "clusterip_mac_mangle"}
    | {
        "mac_mode",
        "drain_timeout",
        "udp_timeout",
        "hash_seed",
        "clusterip_hash_order",
        "port_rules",
        "duplicate_address",
    }
)
"""of the agent (resource-agents 4.12, and what it got in 2026), and in the last line those of vipcast"""

_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_INTERFACE_MAX = 15  # IFNAMSIZ of linux/if.h, without the final NUL


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
    # As with the agent, an empty value is the default, and blanks around one do not matter.
    given = {name: value.strip() for name, value in parameters.items() if value.strip()}
    address = _address(given.get("ip", ""))
    if "ip" not in given:
        message = f"required resource option 'ip' of '{resource}' is missing"
        yield error("missing-parameter", f"{resource} ip", message)
    for name, (is_right, expected) in _CHECKS.items():
        if name in given and not is_right(given[name]):
            yield _bad(resource, name, given[name], expected)
    is_ipv6 = isinstance(address, IPv6Address)
    netmask = given.get("cidr_netmask")
    if netmask is not None and not _is_netmask(netmask, 128 if is_ipv6 else 32):
        yield _bad(
            resource, "cidr_netmask", netmask, f"a prefix length such as 24, at most {128 if is_ipv6 else 32}"
        )
    label = f"{given.get('nic', '')}:{given.get('iflabel', '')}"
    if "nic" in given and "iflabel" in given and len(label) > _INTERFACE_MAX:
        yield _bad(
            resource,
            "iflabel",
            given["iflabel"],
            f"short enough: {label} has more than {_INTERFACE_MAX} characters",
        )
    mode = given.get("mac_mode", "multicast")
    if mode == "igmp" and is_ipv6:
        yield _bad(resource, "mac_mode", mode, "possible with IPv6, use multicast")
    yield from _mac(resource, given.get("mac", ""), mode)
    yield from _hashing(resource, given, is_ipv6)


def _bad(resource: str, name: str, value: str, expected: str) -> Finding:
    return error("bad-parameter", f"{resource} {name}", f"{name}={value} of '{resource}' is not {expected}")


def _hashing(resource: str, given: Mapping[str, str], is_ipv6: bool) -> Iterator[Finding]:
    """What does not go together, and rules for ports, which say themselves what is wrong with them."""
    if given.get("clusterip_hash_order") == "clusterip":
        if is_ipv6:
            yield _bad(resource, "clusterip_hash_order", "clusterip", "possible with IPv6, leave it out")
        if given.get("clusterip_hash") == "sourcenet":
            yield _bad(resource, "clusterip_hash_order", "clusterip", "possible with clusterip_hash=sourcenet")
    if given.get("hash_seed") == "agent" and "cidr_netmask" not in given:
        yield error(
            "bad-parameter",
            f"{resource} hash_seed",
            f"hash_seed=agent of '{resource}' needs cidr_netmask: the agent computes its seed of the prefix too",
            "name the prefix length in cidr_netmask, or the seed itself",
        )
    both = given.get("hash_seed", ""), given.get("clusterip_hash_seed", "")
    if all(both) and _number_of(both[0]) != _number_of(both[1]):
        yield _bad(resource, "clusterip_hash_seed", both[1], "the same as hash_seed: leave one out")
    try:
        parse_ports(given.get("port_rules", ""))
    except ValueError as problem:
        yield error("bad-parameter", f"{resource} port_rules", f"port_rules of '{resource}': {problem}")


def _number_of(text: str) -> int | str:
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return text


def _is_seed(text: str) -> bool:
    return text == "agent" or _within(0, 0xFFFF_FFFF)(text)


def _mac(resource: str, mac: str, mode: str) -> Iterator[Finding]:
    if not mac:
        return
    octets = mac.lower().replace("-", ":")
    is_group = bool(_MAC.fullmatch(mac)) and int(mac[:2], 16) & 1  # the group bit of IEEE 802
    if not _MAC.fullmatch(mac) or octets in {"ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"}:
        yield _bad(resource, "mac", mac, "a usable MAC address such as 01:00:5e:7f:6e:78")
    elif mode == "unicast" and is_group:
        yield _bad(resource, "mac", mac, "a unicast address, which mac_mode=unicast needs: its first octet is odd")
    elif mode != "unicast" and not is_group:
        yield error(
            "bad-parameter",
            f"{resource} mac",
            f"mac={mac} of '{resource}' is not a multicast address: its first octet must be odd",
            "use such a MAC, or mac_mode=unicast",
        )
    elif mode == "igmp" and not octets.startswith("01:00:5e:"):
        yield _bad(resource, "mac", mac, "of an IPv4 group: mac_mode=igmp needs one that begins with 01:00:5e")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _is_netmask(text: str, longest: int) -> bool:
    if longest == 32 and "." in text:
        try:
            ip_network(f"0.0.0.0/{text}")
        except ValueError:
            return False
        return True
    return text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= longest


def _is_host_address(text: str) -> bool:
    address = _address(text)
    if address is None or (isinstance(address, IPv6Address) and address.scope_id):
        return False
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)


def _is_broadcast(text: str) -> bool:
    return text in {"+", "-"} or isinstance(_address(text), IPv4Address)


def _is_interface(name: str) -> bool:
    return re.fullmatch(rf"[^\s/:]{{1,{_INTERFACE_MAX}}}", name) is not None and name not in {".", ".."}


def _is_label(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_.-]{1,13}", text) is not None and text != "vipcast"


def _is_boolean(text: str) -> bool:
    return text.lower() in TRUE_WORDS | FALSE_WORDS


def _within(least: int, most: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}|0[xX][0-9A-Fa-f]{1,8}", text):
            return False
        number = int(text, 16) if text.lower().startswith("0x") else int(text)
        return least <= number <= most

    return check


def _is_lifetime(text: str) -> bool:
    return text == "forever" or _within(0, 0xFFFF_FFFF)(text)


def _is_duration(text: str) -> bool:
    try:
        parse_duration_ms(text)
    except BadValue:
        return False
    return True


_CHECKS: dict[str, tuple[Callable[[str], bool], str]] = {
    "ip": (_is_host_address, "the IPv4 or IPv6 address of a host"),
    "broadcast": (_is_broadcast, "an IPv4 address, + or -"),
    "clusterip_hash": (HASHES.__contains__, f"one of {', '.join(HASHES)}"),
    "duplicate_address": (DUPLICATES.__contains__, f"one of {', '.join(DUPLICATES)}"),
    "mac_mode": (MAC_MODES.__contains__, f"one of {', '.join(MAC_MODES)}"),
    "nic": (_is_interface, f"the name of a network interface (at most {_INTERFACE_MAX} characters)"),
    "iflabel": (_is_label, "a label of letters and digits (and not 'vipcast')"),
    "clusterip_hash_order": (ORDERS.__contains__, f"one of {', '.join(ORDERS)}"),
    "hash_seed": (_is_seed, "a number from 0 to 4294967295, or 'agent'"),
    "clusterip_hash_seed": (_within(0, 0xFFFF_FFFF), "a number from 0 to 4294967295"),
    "arp_count": (_within(0, 1000), "a number from 0 to 1000"),
    "arp_count_refresh": (_within(0, 1000), "a number from 0 to 1000"),
    "arp_interval": (_within(1, 60_000), "a number of milliseconds from 1 to 60000"),
    "preferred_lft": (_is_lifetime, "'forever' or a number of seconds"),
    "noprefixroute": (_is_boolean, "a boolean, use true or false"),
    "nodad": (_is_boolean, "a boolean, use true or false"),
    "drain_timeout": (_is_duration, "a time such as 30s"),
    "udp_timeout": (_is_duration, "a time such as 30s, or 0"),
}
