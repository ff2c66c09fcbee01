"""The maps in which the program of the bpf engine notes SYNs for a move (slots.bpf.c: seen, never, hold)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from struct import Struct

from datapath.bpf.libbpf import libbpf
from datapath.bpf.program import Program
from datapath.bpf.tables import HOLD, NEVER, SEEN
from datapath.engine import Address, DatapathError, Taken
from datapath.hold.syns import TAKEN_MAX, slot_of

_mark = Struct("=16sI4s4sI")
"""struct mark: client, number of the address, ports, initial sequence number, kind"""
_marked = Struct("=QQ")
"""struct marked: when, slot"""
_hold = Struct("=Q")
"""struct hold: how many SYNs there was no room to note"""
_ONE_NUMBER, _EVERY_NUMBER = 0, 1


class Marks:
    """Of one loaded program."""

    def __init__(self, program: Program) -> None:
        self._maps = program.maps

    def begin_noting(self, moving: Collection[tuple[int, int]]) -> None:
        """Keep of what was noted only that of `moving`, (number of the address, slot)."""
        self._keep(SEEN, moving)
        self._count_missed(0)

    def note_flows(self, index: int, address: Address, flows: Iterable[bytes]) -> None:
        """Connections that are half open already: whatever the number of their SYN, they are this host's."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        slots = {flow: slot for flow in flows if isinstance(slot := slot_of(flow, address), int)}
        marked = [_marked.pack(now_ns, slot) for slot in slots.values()]
        libbpf().update_all(self._maps[SEEN], _keys_of_flows(index, address, slots), marked)

    def miss(self) -> None:
        """Something was not noted: what was seen is of no use."""
        self._count_missed(1)

    def seen(self, index: int, address: Address, slots: Collection[int]) -> Taken:
        """What these slots took; DatapathError when that is not known in full, or too much to tell."""
        if self._missed():
            raise DatapathError(f"more SYNs came to {address.resource} than could be noted")
        taken: dict[int, list[bytes]] = {_ONE_NUMBER: [], _EVERY_NUMBER: []}
        length = len(address.ip.packed)
        keys, values = libbpf().items(self._maps[SEEN], _mark.size, _marked.size)
        for key, (_, slot) in zip(_mark.iter_unpack(keys), _marked.iter_unpack(values), strict=True):
            client, at, ports, sequence, kind = key
            if at == index and slot in slots:
                taken[kind].append(client[:length] + ports + (sequence if kind == _ONE_NUMBER else b""))
        syns, flows = taken[_ONE_NUMBER], taken[_EVERY_NUMBER]
        if len(syns) + len(flows) > TAKEN_MAX:
            raise DatapathError(f"{len(syns) + len(flows)} SYNs to {address.resource} are too many to tell")
        return Taken(frozenset(syns), frozenset(flows))

    def refuse(self, index: int, address: Address, taken: Taken) -> list[bytes]:
        """Never accept these; what `forget` wants to know of them."""
        keys = _keys(index, address, taken)
        marked = _marked.pack(time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0)
        libbpf().update_all(self._maps[NEVER], keys, [marked] * len(keys))
        return keys

    def forget(self, refused: Sequence[bytes]) -> None:
        libbpf().delete_all(self._maps[NEVER], refused)

    # the maps

    def _keep(self, name: str, moving: Collection[tuple[int, int]]) -> None:
        keys, values = libbpf().items(self._maps[name], _mark.size, _marked.size)
        stale = [
            keys[at * _mark.size : (at + 1) * _mark.size]
            for at, (_, slot) in enumerate(_marked.iter_unpack(values))
            if (_mark.unpack_from(keys, at * _mark.size)[1], slot) not in moving
        ]
        libbpf().delete_all(self._maps[name], stale)

    def _missed(self) -> int:
        found = libbpf().lookup(self._maps[HOLD], bytes(4), _hold.size)
        return int(_hold.unpack(found)[0]) if found is not None else 0

    def _count_missed(self, missed: int) -> None:
        libbpf().update(self._maps[HOLD], bytes(4), _hold.pack(missed))


def _keys(index: int, address: Address, taken: Taken) -> list[bytes]:
    length = len(address.ip.packed)
    numbered = [
        _mark.pack(syn[:length], index, syn[length : length + 4], syn[length + 4 :], _ONE_NUMBER)
        for syn in taken.syns
    ]
    return numbered + _keys_of_flows(index, address, taken.flows)


def _keys_of_flows(index: int, address: Address, flows: Iterable[bytes]) -> list[bytes]:
    length = len(address.ip.packed)
    return [_mark.pack(flow[:length], index, flow[length:], b"", _EVERY_NUMBER) for flow in flows]
