"""Where the program looks for an address (slots.bpf.c, find_index): open addressing in an array.  Pure.

A bucket has an address' number plus one, or 0, which ends the search.  The first bucket of an address is its last
word times SPREAD, scaled: addresses that follow each other, as they do in the field, fall far apart.  An eighth of the
buckets is used at most, so that hardly any search goes on; should one go on for too long, another salt is tried.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

BUCKETS_EACH = 4
"""for each address that there is room for, of which half stay free"""
PROBES_MAX = 16
SPREAD = 0x9E37_79B1
_SALTS = 1024
_WORD = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Buckets:
    salt: int
    numbers: array[int]


def fill(count: int, addresses: Iterable[tuple[IPv4Address | IPv6Address, int]]) -> Buckets:
    """`count` buckets, a power of two, for (address, its number)."""
    placed = [(_spread(ip), number) for ip, number in sorted(addresses, key=lambda pair: pair[1])]
    for salt in range(_SALTS):
        numbers = _filled(count, placed, salt)
        if numbers is not None:
            return Buckets(salt, numbers)
    raise ValueError(f"{len(placed)} addresses fit no arrangement of {count} buckets")


def _filled(count: int, placed: Iterable[tuple[int, int]], salt: int) -> array[int] | None:
    numbers = array("Q", bytes(8 * count))
    for spread, number in placed:
        first = ((spread ^ salt) * SPREAD & _WORD) * count >> 32
        for probe in range(PROBES_MAX):
            at = first + probe & count - 1
            if not numbers[at]:
                numbers[at] = number + 1
                break
        else:
            return None
    return numbers


def _spread(ip: IPv4Address | IPv6Address) -> int:
    octets = ip.packed
    spread = 0
    for at in range(0, len(octets), 4):
        spread = spread * SPREAD + int.from_bytes(octets[at : at + 4], "big") & _WORD
    return spread
