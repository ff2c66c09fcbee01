"""The maps that engine and program share (slots.bpf.c), as the engine sees them: memory of its own address space.

Addresses and slot states are written into the half that is not in force, then `generation` is stored, whose lowest
bit names the half in force: a change of any size is one step for packets.  The lease is one word, for all addresses.
Everything that `held` tells is read from there.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct

import msgspec

from datapath.bpf.buckets import BUCKETS_EACH, fill
from datapath.engine import (
    Address,
    Counter,
    DatapathError,
    HashKind,
    HashOrder,
    MacMode,
    PortFate,
    PortRule,
    SlotState,
    Wish,
)
from datapath.mac import format_mac, pack_mac
from datapath.ports import RULES_MAX

CONTROL, BUCKETS, ADDRESSES = "vip2_control", "vip1_buckets", "vip2_addresses"
SLOTS, COUNTS, REFUSED, SYNS = "vip1_slots", "vip1_counts", "vip2_refused", "vip1_syns"
SEEN, NEVER, HOLD = "vip1_seen", "vip1_never", "vip1_hold"
HEARD, LEFT = "vip1_heard", "vip1_left"
NOTED = (SYNS, SEEN, NEVER, HOLD, HEARD, LEFT)
"""what packets were noted: a program with larger tables goes on with these"""
MAPS = (CONTROL, BUCKETS, ADDRESSES, SLOTS, COUNTS, REFUSED, *NOTED)

KINDS = (
    HashKind.SOURCEIP,
    HashKind.SOURCEIP_SOURCEPORT,
    HashKind.SOURCEIP_SOURCEPORT_DESTPORT,
    HashKind.SOURCENET,
)
ORDERS = (HashOrder.NETWORK, HashOrder.CLUSTERIP)
PORT_FATES = (PortFate.SHARED, PortFate.ONE, PortFate.REFUSED)
VERDICTS = ("accepted", "foreign", "expired", "draining", "opening")
REASONS = ("sound", "truncated", "malformed", "refused-port")
"""why a packet has no slot (the first is never counted): counted an address, the others a slot"""
_STATES = tuple(SlotState)

CONTROL_WORDS = 64
_DEADLINE_AT, _GENERATION_AT, _SLOTS_MAX_AT, _ADDRESSES_MAX_AT, _SALT_AT, _, _MADE_AT = range(7)
_SLOT_BYTES = 8
_BUCKET_BYTES = 8
_COUNTS_WORDS = 2 * len(VERDICTS)
_REFUSED_WORDS = 2 * len(REASONS)

_LABEL_BYTES = 328
_rule = Struct("=HHHBB")
_RULES_BYTES = RULES_MAX * _rule.size
_entry = Struct(f"=IIIIII16s6sBBI4x{_RULES_BYTES}s{_LABEL_BYTES}s")


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
            BUCKETS: 2 * BUCKETS_EACH * self.addresses,
            ADDRESSES: 2 * self.addresses,
            SLOTS: 2 * self.slots,
            COUNTS: self.cpus * self.slots,
            REFUSED: self.cpus * self.addresses,
        }

    def has_room_for(self, wishes: Sequence[Wish]) -> bool:
        """Also while others of as many are in force."""
        return self.grown_for(wishes) == self


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
        self._described: dict[bytes, tuple[Address, int]] = {}
        """entries that were read before, by their bytes: they are looked at with each change"""
        self._packed: dict[tuple[Address, int, int], bytes] = {}
        """entries that were written before, by address, number and place"""
        self._control = self._map(descriptors[CONTROL], CONTROL_WORDS * 8)
        if fresh is not None:
            self._control[_SLOTS_MAX_AT] = fresh.slots
            self._control[_ADDRESSES_MAX_AT] = fresh.addresses
        self.capacity = Capacity(self._control[_ADDRESSES_MAX_AT], self._control[_SLOTS_MAX_AT], cpus)
        entries = self.capacity.entries()
        self._addresses = self._map(descriptors[ADDRESSES], entries[ADDRESSES] * _entry.size).cast("B")
        self._buckets = self._map(descriptors[BUCKETS], entries[BUCKETS] * _BUCKET_BYTES)
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
        for view in (self._control, self._addresses, self._buckets, self._slots, self._counts, self._refused):
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
        packed = bytes(self._addresses[at : at + _entry.size])
        try:
            described = self._described.get(packed)
            if described is None:
                if len(self._described) >= 4 * self.capacity.addresses:
                    self._described.clear()
                described = self._described[packed] = _described(packed)
            address, first = described
            start = half * self.capacity.slots + first
            held = self._slots[start : start + address.slots]
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
            if old is None or first != old.first:
                insort(used, (first, slots))
            rows.append(Row(wish, index, first))
        return rows

    def publish(self, rows: Sequence[Row]) -> None:
        """Put these in force, in one step."""
        generation = self._control[_GENERATION_AT] + 1
        half = generation & 1
        self._lead_to(rows, half)
        size = self.capacity.addresses * _entry.size
        self._addresses[half * size : (half + 1) * size] = bytes(size)
        for row in rows:
            address = row.wish.address
            states = array("Q", bytes(address.slots * _SLOT_BYTES))
            for number, state in row.wish.states.items():
                states[number] = state
            start = half * self.capacity.slots + row.first
            self._slots[start : start + address.slots] = memoryview(states)
            at = half * size + row.index * _entry.size
            self._addresses[at : at + _entry.size] = self._entry_of(row)
        self._control[_GENERATION_AT] = generation

    def _entry_of(self, row: Row) -> bytes:
        what = row.wish.address, row.index, row.first
        packed = self._packed.get(what)
        if packed is None:
            if len(self._packed) >= 4 * self.capacity.addresses:
                self._packed.clear()
            packed = self._packed[what] = _entry.pack(*_fields(row))
        return packed

    def _lead_to(self, rows: Sequence[Row], half: int) -> None:
        count = len(self._buckets) // 2
        buckets = fill(count, ((row.wish.address.ip, row.index) for row in rows))
        self._buckets[half * count : (half + 1) * count] = memoryview(buckets.numbers)
        self._control[_SALT_AT + half] = buckets.salt

    def finds(self, rows: Sequence[Row]) -> bool:
        """Whether packets for these addresses, and no others, are led to their entries."""
        half, count = self._half, len(self._buckets) // 2
        wanted = fill(count, ((row.wish.address.ip, row.index) for row in rows))
        here = self._buckets[half * count : (half + 1) * count]
        return self._control[_SALT_AT + half] == wanted.salt and here == memoryview(wanted.numbers)

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
        for number, reason in enumerate(REASONS):
            if refused[2 * number]:
                yield Counter(name, None, reason, refused[2 * number], refused[2 * number + 1])

    def read_counts(self, row: Row) -> tuple[list[int], list[int]]:
        """(words of its slots, words of what has none), over all processors."""
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
        ORDERS.index(address.hash_order),
        len(address.port_rules),
        b"".join(
            _rule.pack(rule.first, rule.last, rule.slot, rule.protocol, PORT_FATES.index(rule.fate))
            for rule in address.port_rules
        ),
        label,
    )


def _described(packed: bytes) -> tuple[Address, int]:
    """What an entry says: an address, and the place of its slot 0.  ValueError, IndexError: it says nothing."""
    _, kind, seed, slots, first, label_bytes, ip, mac, version, order, rule_count, rules, label = _entry.unpack(
        packed
    )
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
        hash_order=ORDERS[order],
        port_rules=_read_rules(rules[: rule_count * _rule.size]),
    )
    return address, first


def _read_rules(packed: bytes) -> tuple[PortRule, ...]:
    return tuple(
        PortRule(first, last, PORT_FATES[fate], slot, protocol)
        for first, last, slot, protocol, fate in _rule.iter_unpack(packed)
    )


def _gap(used: Sequence[tuple[int, int]], slots: int) -> int:
    """First place with so many free slots behind it; `used` are (place, length) in order."""
    at = 0
    for start, length in used:
        if start - at >= slots:
            break
        at = max(at, start + length)
    return at
