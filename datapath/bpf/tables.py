"""The maps that engine and program share (slots.bpf.c), as the engine sees them: memory of its own address space.

Addresses and slot states are written into the half that is not in force, then `generation` is stored, whose lowest
bit names the half in force: a change of any size is one step for packets.  The lease is one word, for all addresses.
Everything that `held` tells is read from there.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct

import msgspec

from datapath.engine import Address, Counter, DatapathError, HashKind, MacMode, SlotState, Wish
from datapath.mac import format_mac, pack_mac

CONTROL, INDEX4, INDEX6, ADDRESSES = "vip1_control", "vip1_index4", "vip1_index6", "vip1_addresses"
SLOTS, COUNTS, REFUSED, SYNS = "vip1_slots", "vip1_counts", "vip1_refused", "vip1_syns"
MAPS = (CONTROL, INDEX4, INDEX6, ADDRESSES, SLOTS, COUNTS, REFUSED, SYNS)

KINDS = (HashKind.SOURCEIP, HashKind.SOURCEIP_SOURCEPORT, HashKind.SOURCEIP_SOURCEPORT_DESTPORT)
VERDICTS = ("accepted", "foreign", "expired", "draining", "opening")
UNPARSABLE = "unparsable"
"""counted an address, the others a slot"""
_STATES = tuple(SlotState)

CONTROL_WORDS = 64
_DEADLINE_AT, _GENERATION_AT, _SLOTS_MAX_AT, _ADDRESSES_MAX_AT, _MADE_AT = range(5)
_SLOT_BYTES = 8
_COUNTS_WORDS = 2 * len(VERDICTS)
_REFUSED_WORDS = 2

_entry = Struct("=IIIIII16s6sBx464s")
_LABEL_BYTES = 464


class _Label(msgspec.Struct, array_like=True, frozen=True):
    """What the program does not need to know of an address."""

    resource: str
    prefixlen: int
    interface: str
    mac_mode: MacMode


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much the maps have room for; `cpus` is the kernel's number of possible processors."""

    addresses: int
    slots: int
    cpus: int

    def grown_for(self, wishes: Sequence[Wish]) -> Capacity:
        """The least that has room for these and as much again, by doubling: what comes stands beside what goes."""
        addresses, slots = self.addresses, self.slots
        while addresses < 2 * len(wishes):
            addresses *= 2
        while slots < 2 * sum(wish.address.slots for wish in wishes):
            slots *= 2
        return Capacity(addresses, slots, self.cpus)

    def entries(self) -> dict[str, int]:
        """Map → its number of entries."""
        return {
            INDEX4: self.addresses,
            INDEX6: self.addresses,
            ADDRESSES: 2 * self.addresses,
            SLOTS: 2 * self.slots,
            COUNTS: self.cpus * self.slots,
            REFUSED: self.cpus * self.addresses,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """An address as a half holds it."""

    wish: Wish
    index: int
    first: int
    """place of its slot 0"""


class Tables:
    """Mapped for reading and writing until `close`."""

    def __init__(self, descriptors: Mapping[str, int], cpus: int, fresh: Capacity | None) -> None:
        """`fresh` is what new maps were sized for; None for maps of a former process, which say it themselves."""
        self._maps: list[mmap.mmap] = []
        self._control = self._map(descriptors[CONTROL], CONTROL_WORDS * 8)
        if fresh is not None:
            self._control[_SLOTS_MAX_AT] = fresh.slots
            self._control[_ADDRESSES_MAX_AT] = fresh.addresses
        self.capacity = Capacity(self._control[_ADDRESSES_MAX_AT], self._control[_SLOTS_MAX_AT], cpus)
        entries = self.capacity.entries()
        self._addresses = self._map(descriptors[ADDRESSES], entries[ADDRESSES] * _entry.size).cast("B")
        self._slots = self._map(descriptors[SLOTS], entries[SLOTS] * _SLOT_BYTES)
        self._counts = self._map(descriptors[COUNTS], entries[COUNTS] * _COUNTS_WORDS * 8)
        self._refused = self._map(descriptors[REFUSED], entries[REFUSED] * _REFUSED_WORDS * 8)

    def _map(self, descriptor: int, size: int) -> memoryview:
        try:
            mapped = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as problem:
            raise DatapathError(f"cannot map a BPF map of {size} bytes: {problem.strerror}") from problem
        self._maps.append(mapped)
        return memoryview(mapped).cast("Q")

    def close(self) -> None:
        for view in (self._control, self._addresses, self._slots, self._counts, self._refused):
            view.release()
        for mapped in self._maps:
            # a view of a view still points into it: leave those to the collector
            try:
                mapped.close()
            except BufferError:
                continue
        self._maps.clear()

    # the lease

    @property
    def deadline_ns(self) -> int:
        return self._control[_DEADLINE_AT]

    @deadline_ns.setter
    def deadline_ns(self, deadline_ns: int) -> None:
        self._control[_DEADLINE_AT] = max(0, deadline_ns)

    # interfaces whose qdisc we made

    @property
    def made(self) -> frozenset[int]:
        return frozenset(self._control[_MADE_AT:]) - {0}

    @made.setter
    def made(self, indices: Iterable[int]) -> None:
        room = CONTROL_WORDS - _MADE_AT
        # more interfaces than there is room for: an empty clsact qdisc is left behind there, which does nothing
        words = [*sorted(indices)[:room], *[0] * room][:room]
        self._control[_MADE_AT:] = memoryview(array("Q", words))

    # addresses and slots

    @property
    def _half(self) -> int:
        return self._control[_GENERATION_AT] & 1

    def rows(self) -> list[Row]:
        """What is in force, by resource."""
        half, found = self._half, []
        for index in range(self.capacity.addresses):
            at = (half * self.capacity.addresses + index) * _entry.size
            if self._addresses[at]:
                found.append(self._read(at, half, index))
        return sorted(found, key=lambda row: row.wish.address.resource)

    def _read(self, at: int, half: int, index: int) -> Row:
        _, kind, seed, slots, first, label_bytes, ip, mac, version, label = _entry.unpack_from(self._addresses, at)
        try:
            described = msgspec.msgpack.decode(label[:label_bytes], type=_Label)
            address = Address(
                resource=described.resource,
                ip=ip_address(ip[:4] if version == 4 else ip),
                prefixlen=described.prefixlen,
                interface=described.interface,
                mac=format_mac(mac),
                hash_kind=KINDS[kind],
                seed=seed,
                slots=slots,
                mac_mode=described.mac_mode,
            )
            start = half * self.capacity.slots + first
            held = self._slots[start : start + slots]
            states = {number: _STATES[state] for number, state in enumerate(held) if state}
        except (ValueError, IndexError) as problem:
            raise DatapathError(f"the BPF maps were damaged by somebody else: {problem}") from problem
        return Row(Wish(address, states), index, first)

    def arrange(self, wishes: Sequence[Wish], former: Sequence[Row]) -> list[Row] | None:
        """A place for each, beside the former rows; None when there is no room.

        An address that stays, with as many slots, keeps its place, and so its counters.
        """
        before = {row.wish.address.ip: row for row in former}
        taken = {row.index for row in former}
        free = (index for index in range(self.capacity.addresses) if index not in taken)
        used = sorted((row.first, row.wish.address.slots) for row in former)
        rows = []
        for wish in wishes:
            slots = wish.address.slots
            old = before.get(wish.address.ip)
            index = old.index if old is not None else next(free, None)
            first = old.first if old is not None and _counts_alike(old, wish) else _gap(used, slots)
            if index is None or first + slots > self.capacity.slots:
                return None
            used = sorted({*used, (first, slots)})
            rows.append(Row(wish, index, first))
        return rows

    def publish(self, rows: Sequence[Row]) -> None:
        """Put these in force, in one step."""
        generation = self._control[_GENERATION_AT] + 1
        half = generation & 1
        size = self.capacity.addresses * _entry.size
        self._addresses[half * size : (half + 1) * size] = bytes(size)
        for row in rows:
            address = row.wish.address
            states = array("Q", bytes(address.slots * _SLOT_BYTES))
            for number, state in row.wish.states.items():
                states[number] = state
            start = half * self.capacity.slots + row.first
            self._slots[start : start + address.slots] = memoryview(states)
            _entry.pack_into(self._addresses, half * size + row.index * _entry.size, *_fields(row))
        self._control[_GENERATION_AT] = generation

    # counters

    def clear_counters(self, row: Row) -> None:
        """A new address begins at nothing."""
        nothing = [0] * (row.wish.address.slots * _COUNTS_WORDS)
        for cpu in range(self.capacity.cpus):
            self._write_counts(row, cpu, nothing, [0] * _REFUSED_WORDS)

    def carry_counters(self, row: Row, other: Tables, former: Row) -> None:
        """From smaller tables into these, before they are in force."""
        self._write_counts(row, 0, *other.read_counts(former))

    def counters(self) -> list[Counter]:
        """What has happened at all; what never came is left out."""
        return [counter for row in self.rows() for counter in self._counters_of(row)]

    def _counters_of(self, row: Row) -> Iterable[Counter]:
        counts, refused = self.read_counts(row)
        name = row.wish.address.resource
        for at in range(0, len(counts), 2):
            if counts[at]:
                slot, verdict = divmod(at // 2, len(VERDICTS))
                yield Counter(name, slot, VERDICTS[verdict], counts[at], counts[at + 1])
        if refused[0]:
            yield Counter(name, None, UNPARSABLE, *refused)

    def read_counts(self, row: Row) -> tuple[list[int], list[int]]:
        """(words of its slots, words of what could not be parsed), over all processors."""
        slots = self.capacity.slots
        counts = [0] * (row.wish.address.slots * _COUNTS_WORDS)
        refused = [0] * _REFUSED_WORDS
        for cpu in range(self.capacity.cpus):
            start = (cpu * slots + row.first) * _COUNTS_WORDS
            here = self._counts[start : start + len(counts)].tolist()
            counts = [total + more for total, more in zip(counts, here, strict=True)] if any(here) else counts
            start = (cpu * self.capacity.addresses + row.index) * _REFUSED_WORDS
            refused = [a + b for a, b in zip(refused, self._refused[start : start + _REFUSED_WORDS], strict=True)]
        return counts, refused

    def _write_counts(self, row: Row, cpu: int, counts: Sequence[int], refused: Sequence[int]) -> None:
        start = (cpu * self.capacity.slots + row.first) * _COUNTS_WORDS
        self._counts[start : start + len(counts)] = memoryview(array("Q", counts))
        start = (cpu * self.capacity.addresses + row.index) * _REFUSED_WORDS
        self._refused[start : start + len(refused)] = memoryview(array("Q", refused))


def check_labels(wishes: Sequence[Wish]) -> None:
    """DatapathError when an address has a name that is too long for its entry."""
    for wish in wishes:
        label = _label(wish.address)
        if len(label) > _LABEL_BYTES:
            spare = _LABEL_BYTES - len(label) + len(wish.address.resource.encode())
            raise DatapathError(
                f"the name {wish.address.resource[:40]}… is too long for the bpf engine ({spare} bytes at most); "
                "use a shorter one or the nft engine"
            )


def index_key(ip: IPv4Address | IPv6Address) -> tuple[str, bytes]:
    """(map, key) of an address' number."""
    return (INDEX4 if ip.version == 4 else INDEX6), ip.packed


def _counts_alike(row: Row, wish: Wish) -> bool:
    old, new = row.wish.address, wish.address
    return (old.resource, old.slots) == (new.resource, new.slots)


def _label(address: Address) -> bytes:
    return msgspec.msgpack.encode(_Label(address.resource, address.prefixlen, address.interface, address.mac_mode))


def _fields(row: Row) -> tuple[int | bytes, ...]:
    address = row.wish.address
    label = _label(address)
    return (
        1,
        KINDS.index(address.hash_kind),
        address.seed,
        address.slots,
        row.first,
        len(label),
        address.ip.packed,
        pack_mac(address.mac),
        address.ip.version,
        label,
    )


def _gap(used: Sequence[tuple[int, int]], slots: int) -> int:
    """First place with so many free slots behind it; `used` are (place, length) in order."""
    at = 0
    for start, length in used:
        if start - at >= slots:
            break
        at = max(at, start + length)
    return at
