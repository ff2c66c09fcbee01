"""The maps in which the program of the bpf engine knows conversations of UDP (slots.bpf.c: heard, left)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from struct import Struct

from datapath.bpf.libbpf import libbpf
from datapath.bpf.program import Program
from datapath.bpf.tables import HEARD, LEFT, Row
from datapath.engine import CONVERSATIONS_MAX, Conversations
from datapath.hold.datagrams import slot_of

_talk = Struct("=16sI4s")
"""struct talk: client, number of the address, ports"""
_marked = Struct("=QQ")
"""struct marked: when, slot"""
_HEARD_MAX = 16_384
"""of all addresses together: what there was no room for was not noted"""


class Talks:
    """Of one loaded program."""

    def __init__(self, program: Program) -> None:
        self._maps = program.maps

    def keep(self, moving: Collection[tuple[int, int]]) -> None:
        """Of what was heard and left only that of `moving`, (number of the address, slot)."""
        for name in (HEARD, LEFT):
            stale = [key for key, index, _, _, slot in self._entries(name) if (index, slot) not in moving]
            libbpf().delete_all(self._maps[name], stale)

    def heard(self, row: Row, slots: Collection[int], idle_ns: int, forgets: Collection[int]) -> Conversations:
        """As `datapath.engine.Reconciles.conversations`; of the slots `forgets` the others are forgotten."""
        entries = list(self._entries(HEARD))
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        length = len(row.wish.address.ip.packed)
        own = [entry for entry in entries if entry[1] == row.index and entry[4] in slots]
        lately = [entry for entry in own if now_ns - entry[3] < idle_ns]
        too_many = len(entries) >= _HEARD_MAX or len(lately) > CONVERSATIONS_MAX
        kept = [] if too_many else lately
        keys = {entry[0] for entry in kept}
        forgotten = [entry[0] for entry in own if entry[0] not in keys and entry[4] in forgets]
        libbpf().delete_all(self._maps[HEARD], forgotten)
        return Conversations({_name(key, length): slot for key, _, _, _, slot in kept}, too_many)

    def leave(self, row: Row, slots: Collection[int], names: Collection[bytes]) -> None:
        address = row.wish.address
        wanted = {_key(name, row.index): slot for name in names if isinstance(slot := slot_of(name, address), int)}
        held = {key for key, index, _, _, slot in self._entries(LEFT) if index == row.index and slot in slots}
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        fresh = {key: _marked.pack(now_ns, slot) for key, slot in wanted.items() if key not in held}
        libbpf().update_all(self._maps[LEFT], list(fresh), list(fresh.values()))
        libbpf().delete_all(self._maps[LEFT], sorted(held - wanted.keys()))

    def _entries(self, name: str) -> Iterator[tuple[bytes, int, bytes, int, int]]:
        """(key, number of the address, ports, when, slot) of all of a map."""
        keys, values = libbpf().items(self._maps[name], _talk.size, _marked.size)
        for at, (when_ns, slot) in enumerate(_marked.iter_unpack(values)):
            key = keys[at * _talk.size : (at + 1) * _talk.size]
            _, index, ports = _talk.unpack(key)
            yield key, index, ports, when_ns, slot


def _name(key: bytes, length: int) -> bytes:
    client, _, ports = _talk.unpack(key)
    return bytes(client[:length] + ports)


def _key(name: bytes, index: int) -> bytes:
    return _talk.pack(name[:-4], index, name[-4:])
