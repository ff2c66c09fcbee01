"""Wishes as rows of the shared table, and back; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType

from datapath.engine import Address, Counter, DatapathError, SlotState, Wish
from datapath.mac import format_mac, pack_mac
from datapath.raw.table import (
    EMPTY,
    LISTENING,
    SLOT_VERDICTS,
    VERDICTS,
    Row,
    Table,
    address_counter,
    allocate_counters,
    slot_counter,
)

_NONE: Mapping[str, Collection[int]] = MappingProxyType({})
_CLOSED = (SlotState.CLOSED, LISTENING)


def table_of(
    device: str, wishes: Sequence[Wish], former: Table, listening: Mapping[str, Collection[int]] = _NONE
) -> Table:
    """The table of these (checked) wishes; an address that stays keeps the place of its counters.

    `listening` has slots of resources whose SYNs are kept while they are closed.

    DatapathError when there is no room for counters.
    """
    if not wishes:
        return EMPTY
    before = {row.resource: row for row in former.rows}
    rows: dict[str, Row] = {}
    for wish in wishes:
        old = before.get(wish.address.resource)
        if old is not None and old.slots == wish.address.slots:
            rows[wish.address.resource] = row_of(wish, old.counters, listening.get(wish.address.resource, ()))
    for wish in wishes:
        if wish.address.resource not in rows:
            # beside the former rows too where possible: they are counted until the forwarder has the new table
            try:
                place = allocate_counters(wish.address.slots, [*former.rows, *rows.values()])
            except DatapathError:
                place = allocate_counters(wish.address.slots, list(rows.values()))
            rows[wish.address.resource] = row_of(wish, place, listening.get(wish.address.resource, ()))
    return Table(device, tuple(rows[wish.address.resource] for wish in wishes))


def row_of(wish: Wish, counters: int, listening: Collection[int] = ()) -> Row:
    address = wish.address
    states = bytearray(address.slots)
    for number in listening:
        if number < address.slots:  # they may be fewer by now
            states[number] = LISTENING
    for number, state in wish.states.items():
        states[number] = state
    return Row(
        resource=address.resource,
        ip=address.ip.packed,
        prefixlen=address.prefixlen,
        interface=address.interface,
        mac=pack_mac(address.mac),
        hash_kind=address.hash_kind,
        seed=address.seed,
        slots=address.slots,
        mac_mode=address.mac_mode,
        counters=counters,
        states=bytes(states),
        hash_order=address.hash_order,
        port_rules=address.port_rules,
    )


def address_of(row: Row) -> Address:
    return Address(
        resource=row.resource,
        ip=ip_address(row.ip),
        prefixlen=row.prefixlen,
        interface=row.interface,
        mac=format_mac(row.mac),
        hash_kind=row.hash_kind,
        seed=row.seed,
        slots=row.slots,
        mac_mode=row.mac_mode,
        hash_order=row.hash_order,
        port_rules=row.port_rules,
    )


def wish_of(row: Row) -> Wish:
    states = {n: SlotState(state) for n, state in enumerate(row.states) if state not in _CLOSED}
    return Wish(address_of(row), states)


def closes_something(former: Table, table: Table) -> bool:
    """Whether a packet that `former` accepts may be one that `table` drops."""
    now = {row.resource: row for row in table.rows}
    for old in former.rows:
        new = now.get(old.resource)
        if new is None or address_of(new) != address_of(old):
            return True
        for was, becomes in zip(old.states, new.states, strict=True):
            opens = becomes == SlotState.OPEN or (was, becomes) == (SlotState.LEAVING_UDP, SlotState.OPENING)
            if was != becomes and was not in _CLOSED and not opens:
                return True
    return False


def counters_of(row: Row, words: memoryview) -> Iterator[Counter]:
    """What has happened at all, from `SharedTable.read_counters`: what never came is left out."""
    for number in range(row.slots):
        for verdict in range(SLOT_VERDICTS):
            at = slot_counter(row, number, verdict) - row.counters
            if words[at]:
                yield Counter(row.resource, number, VERDICTS[verdict], words[at], words[at + 1])
    for verdict in range(SLOT_VERDICTS, len(VERDICTS)):
        at = address_counter(row, verdict) - row.counters
        if words[at]:
            yield Counter(row.resource, None, VERDICTS[verdict], words[at], words[at + 1])
