"""The shared MAC of an address: how it is derived, and how one that is given is checked."""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv4Address, IPv6Address, ip_interface

from datapath.engine import MacMode

_OCTETS = re.compile(r"([0-9a-f]{2})([:-])([0-9a-f]{2}(?:\2[0-9a-f]{2}){4})", re.IGNORECASE)
_EVEN = frozenset("02468ace")


def shared_mac(
    ip: IPv4Address | IPv6Address,
    prefixlen: int,
    broadcast: IPv4Address | None = None,
    mode: MacMode = MacMode.MULTICAST,
) -> str:
    """The MAC that all hosts of an address share, when the administrator names none.

    multicast: md5 of "<ip> <prefixlen> <broadcast>\\n", the first six octets, the second hexadecimal digit made 1
    where it is even.  Mixed clusters depend on it bit for bit: this is what Pacemaker's IPaddr2 agent computes.
    For IPv6 it begins with 33:33 instead, as the agent has it since 2026: what bridges take for IPv6 multicast.
    igmp: 01:00:5e:7f:x:y with the last two octets of the address, the MAC of the group 239.255.x.y.
    unicast: the same digest as a locally administered individual address.

    `broadcast` is the one of the network when not given; IPv6 has none, its line ends after the prefix length.
    Raises ValueError for a prefix length that the address cannot have, and for igmp with IPv6.
    """
    if mode is MacMode.IGMP:
        return group_mac(igmp_group(ip))
    digits = _digest(ip, prefixlen, broadcast)[:12]
    if mode is MacMode.UNICAST:
        # 0b10 in the low bits of the first octet: individual, locally administered (IEEE 802, clause 8.2)
        first = int(digits[:2], 16) & 0xFC | 0x02
        digits = f"{first:02x}{digits[2:]}"
    elif ip.version == 6:
        digits = f"3333{digits[4:]}"
    elif digits[1] in _EVEN:
        digits = f"{digits[0]}1{digits[2:]}"
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def agents_seed(ip: IPv4Address | IPv6Address, prefixlen: int, broadcast: IPv4Address | None = None) -> int:
    """The seed that Pacemaker's IPaddr2 agent hashes with since 2026 when none is given: of the same digest.

    Raises ValueError for a prefix length that the address cannot have.
    """
    return int(_digest(ip, prefixlen, broadcast)[:8], 16)


def _digest(ip: IPv4Address | IPv6Address, prefixlen: int, broadcast: IPv4Address | None) -> str:
    network = ip_interface((ip, prefixlen)).network
    if broadcast is None and ip.version == 4:
        broadcast = IPv4Address(int(network.broadcast_address))
    words = [str(ip), str(prefixlen), *([str(broadcast)] if broadcast is not None else [])]
    return hashlib.md5((" ".join(words) + "\n").encode(), usedforsecurity=False).hexdigest()


def igmp_group(ip: IPv4Address | IPv6Address) -> IPv4Address:
    """The multicast group that hosts of an address join in mode igmp, so that snooping switches know their ports.

    239.255.x.y (administratively scoped, RFC 2365) with x.y the last two octets.  Raises ValueError for IPv6.
    """
    if ip.version != 4:
        raise ValueError(f"mac_mode igmp is for IPv4 only, {ip} is IPv6; use multicast")
    return IPv4Address(b"\xef\xff" + ip.packed[2:])


def group_mac(group: IPv4Address) -> str:
    """The Ethernet address of an IPv4 multicast group (RFC 1112, section 6.4)."""
    if not group.is_multicast:
        raise ValueError(f"{group} is not a multicast group (224.0.0.0/4)")
    low = int(group) & 0x7FFFFF
    return format_mac(b"\x01\x00\x5e" + low.to_bytes(3, "big"))


def parse_mac(text: str, mode: MacMode = MacMode.MULTICAST) -> str:
    """A MAC as an administrator writes it, in our spelling: lower case, colons.

    Raises ValueError with a sentence that names the text and the remedy: not a MAC; the broadcast address; a MAC
    that is not of its mode's kind (multicast and igmp need the group bit, unicast must not have it).
    """
    match = _OCTETS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a MAC address; write six octets such as 21:37:6f:88:c2:a0")
    mac = text.strip().lower().replace("-", ":")
    if mac == "ff:ff:ff:ff:ff:ff":
        raise ValueError("the broadcast address cannot be a shared MAC; leave `mac` out and one is derived")
    if mac == "00:00:00:00:00:00":
        raise ValueError("00:00:00:00:00:00 is not a usable MAC; leave `mac` out and one is derived")
    if mode is MacMode.UNICAST and is_group(mac):
        raise ValueError(f"{mac} has the group bit, but mac_mode=unicast needs an even first octet")
    if mode is not MacMode.UNICAST and not is_group(mac):
        raise ValueError(f"{mac} lacks the group bit, but mac_mode={mode.value} needs an odd first octet")
    if mode is MacMode.IGMP and not mac.startswith("01:00:5e:"):
        raise ValueError(f"{mac} is not an IPv4 group's MAC, but mac_mode=igmp needs one that begins with 01:00:5e")
    return mac


def is_group(mac: str) -> bool:
    """Whether the group bit (the lowest of the first octet) is set."""
    return bool(int(mac[:2], 16) & 1)


def pack_mac(mac: str) -> bytes:
    """Six bytes, as in a frame."""
    return bytes.fromhex(mac.replace(":", ""))


def format_mac(octets: bytes) -> str:
    """Our spelling of six bytes: lower case with colons."""
    return octets.hex(":")
