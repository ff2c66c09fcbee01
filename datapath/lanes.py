"""The slots of many flows at once, for whoever has thousands to place and a heartbeat to send meanwhile.

`datapath.hashing` takes three microseconds for a flow, and a host that drains may have fifty thousand.  Here one
Python integer holds a word of each of them, every word in a lane of 64 bits, and each step of the hash is one
operation on all: a fifth of a microsecond for a flow.  Lanes hold 32 bits; what runs over stays within the upper half,
and is masked off.  The result is the same bit for bit (tests/property/test_lanes.py).  Pure.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

from datapath.engine import Address, HashKind, HashOrder, PortFate, PortRule
from datapath.hashing import (
    JHASH_INITVAL,
    NETWORK_BYTES,
    PORTS_IN_KEY,
    TCP,
    Unhashable,
    rule_for,
    slot_of_flow,
)

_LANE_BYTES = 8
_PORT_BYTES = 2


def slots_of(address: Address, names: bytes) -> Sequence[int | Unhashable]:
    """The slot of each TCP flow to the address; `names` are client address, client port, our port, one after another.

    As `hashing.slot_of_flow` for each.
    """
    length = len(address.ip.packed)
    count, rest = divmod(len(names), length + 2 * _PORT_BYTES)
    if rest:
        raise ValueError(f"{len(names)} bytes are no names of flows to {address.ip}")
    if not count:
        return []
    if address.hash_order is HashOrder.CLUSTERIP:
        return [_slot_of(address, names[at : at + length + 4]) for at in range(0, len(names), length + 4)]
    words = _words(names, length // 4 + 1)
    hashed = _hashed(address, words[:-1], words[-1])
    return _ruled(address, words[-1], hashed) if address.port_rules else hashed


def _hashed(address: Address, client: list[array[int]], ports: array[int]) -> list[int]:
    length = len(address.ip.packed)
    if address.hash_kind is HashKind.SOURCENET:
        kept = int.from_bytes((b"\xff" * NETWORK_BYTES[length]).ljust(length, b"\0"), "little")
        client = [array("I", (word & kept >> 32 * at & 0xFFFFFFFF for word in of)) for at, of in enumerate(client)]
    own = [array("I", (pair & 0xFFFF for pair in ports)), array("I", (pair >> 16 for pair in ports))]
    key = [*client, *own[: PORTS_IN_KEY[address.hash_kind]]]
    return _Lanes(len(ports)).slots([_packed(word) for word in key], address.seed, address.slots)


def _ruled(address: Address, ports: array[int], hashed: list[int]) -> list[int | Unhashable]:
    """What the rules for ports say goes first.  Of our ports there are few."""
    own = [int.from_bytes((pair >> 16).to_bytes(2, "little"), "big") for pair in ports]
    rules = {port: rule_for(address.port_rules, TCP, port) for port in set(own)}
    return [_by_rule(rules[port], slot) for port, slot in zip(own, hashed, strict=True)]


def _by_rule(rule: PortRule | None, hashed: int) -> int | Unhashable:
    if rule is None or rule.fate is PortFate.SHARED:
        return hashed
    return Unhashable.PORT_REFUSED if rule.fate is PortFate.REFUSED else rule.slot


def _slot_of(address: Address, name: bytes) -> int | Unhashable:
    client, ports = name[:-4], name[-4:]
    return slot_of_flow(address, client, int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big"))


def _words(names: bytes, each: int) -> list[array[int]]:
    """The n-th word of every name, as a little-endian host reads it, for each n."""
    read = array("I", names)
    if sys.byteorder == "big":
        read.byteswap()
    return [read[at::each] for at in range(each)]


def _packed(words: Iterable[int]) -> int:
    """A word in each lane."""
    lanes = array("Q", words)
    if sys.byteorder == "big":
        lanes.byteswap()
    return int.from_bytes(lanes.tobytes(), "little")


class _Lanes:
    """Arithmetic modulo 2^32 on as many words at once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._one = int.from_bytes((b"\1" + bytes(_LANE_BYTES - 1)) * count, "little")
        self._mask = self._one * 0xFFFF_FFFF
        self._carry = self._one << 32

    def slots(self, key: Sequence[int], seed: int, slots: int) -> list[int]:
        """reciprocal_scale(jhash(key, seed), slots) of each lane; `key` are the words of the key."""
        start = (JHASH_INITVAL + 4 * len(key) + seed & 0xFFFF_FFFF) * self._one
        a = b = c = start
        left = list(key)
        while len(left) > 3:
            a, b, c = self._mix(*(self._sum(one, word) for one, word in zip((a, b, c), left[:3], strict=True)))
            del left[:3]
        left += [0] * (3 - len(left))
        hashed = self._final(*(self._sum(one, word) for one, word in zip((a, b, c), left, strict=True)))
        scaled = hashed * slots >> 32 & self._mask
        found = array("Q", scaled.to_bytes(self._count * _LANE_BYTES, "little"))
        if sys.byteorder == "big":
            found.byteswap()
        return found.tolist()

    def _sum(self, x: int, y: int) -> int:
        return x + y & self._mask

    def _difference(self, x: int, y: int) -> int:
        return (x | self._carry) - y & self._mask

    def _rotated(self, x: int, left: int) -> int:
        return (x << left | x >> 32 - left) & self._mask

    def _final(self, a: int, b: int, c: int) -> int:
        """__jhash_final (include/linux/jhash.h)."""
        less, turned = self._difference, self._rotated
        c = less(c ^ b, turned(b, 14))
        a = less(a ^ c, turned(c, 11))
        b = less(b ^ a, turned(a, 25))
        c = less(c ^ b, turned(b, 16))
        a = less(a ^ c, turned(c, 4))
        b = less(b ^ a, turned(a, 14))
        return less(c ^ b, turned(b, 24))

    def _mix(self, a: int, b: int, c: int) -> tuple[int, int, int]:
        """__jhash_mix (include/linux/jhash.h)."""
        a, c = self._stir(a, c, 4), self._sum(c, b)
        b, a = self._stir(b, a, 6), self._sum(a, c)
        c, b = self._stir(c, b, 8), self._sum(b, a)
        a, c = self._stir(a, c, 16), self._sum(c, b)
        b, a = self._stir(b, a, 19), self._sum(a, c)
        c, b = self._stir(c, b, 4), self._sum(b, a)
        return a, b, c

    def _stir(self, x: int, y: int, left: int) -> int:
        return self._difference(x, y) ^ self._rotated(y, left)
