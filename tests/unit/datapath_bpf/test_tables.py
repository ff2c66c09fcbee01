"""The tables that engine and program share, here in files instead of maps: the kernel is asked in tests/netns."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from datapath.bpf import program, tables
from datapath.bpf.tables import Capacity, Row, Tables, check_labels
from datapath.engine import Address, Counter, DatapathError, HashKind, MacMode, SlotState, Wish

SOURCE = Path(program.__file__).with_name("slots.bpf.c")
BYTES = {tables.ADDRESSES: 512, tables.BUCKETS: 8, tables.SLOTS: 8, tables.COUNTS: 80, tables.REFUSED: 64}
SMALL = Capacity(addresses=4, slots=32, cpus=2)

VIP = Address(
    resource="VIP",
    ip=IPv4Address("192.0.2.1"),
    prefixlen=24,
    interface="eth0",
    mac="21:37:6f:88:c2:a0",
    hash_kind=HashKind.SOURCEIP_SOURCEPORT,
    seed=0xFFFF_FFFF,
    slots=8,
)
SIX = replace(VIP, resource="six", ip=IPv6Address("2001:db8::1"), mac_mode=MacMode.MULTICAST, slots=3, seed=0)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[[Capacity], Tables]]:
    opened: list[Tables] = []
    descriptors: list[int] = []

    def make(capacity: Capacity) -> Tables:
        found = {}
        sizes = {tables.CONTROL: 8 * tables.CONTROL_WORDS}
        sizes |= {name: capacity.entries()[name] * size for name, size in BYTES.items()}
        for name, size in sizes.items():
            path = tmp_path / f"{len(opened)}-{name}"
            path.write_bytes(bytes(size))
            found[name] = os.open(path, os.O_RDWR)
            descriptors.append(found[name])
        opened.append(Tables(found, capacity.cpus, capacity))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
    for descriptor in descriptors:
        os.close(descriptor)


def published(shared: Tables, *wishes: Wish) -> list[Row]:
    rows = shared.arrange(wishes, shared.rows())
    assert rows is not None
    shared.publish(rows)
    return rows


def test_what_is_published_is_read_back(made: Callable[[Capacity], Tables]) -> None:
    shared = made(SMALL)
    wishes = [Wish(VIP, {0: SlotState.OPEN, 7: SlotState.DRAINING}), Wish(SIX, {2: SlotState.OPENING})]
    assert shared.rows() == []
    published(shared, *wishes)
    assert [row.wish for row in shared.rows()] == wishes
    published(shared)
    assert shared.rows() == []


def test_an_address_that_stays_keeps_its_place_and_a_new_one_gets_the_first_gap(
    made: Callable[[Capacity], Tables],
) -> None:
    shared = made(SMALL)
    third = replace(VIP, resource="third", ip=IPv4Address("192.0.2.3"), slots=8)
    first, six = published(shared, Wish(VIP), Wish(SIX))
    assert (first.first, six.first) == (0, 8)
    (six_again,) = published(shared, Wish(SIX, {0: SlotState.OPEN}))
    assert (six_again.index, six_again.first) == (six.index, six.first)
    _, new = published(shared, Wish(SIX), Wish(third))
    assert new.first == 0


def test_an_address_whose_slots_change_leaves_its_old_place(made: Callable[[Capacity], Tables]) -> None:
    """Packets are counted there until the change is in force."""
    shared = made(SMALL)
    (old,) = published(shared, Wish(VIP))
    (new,) = published(shared, Wish(replace(VIP, slots=9)))
    assert new.index == old.index
    assert new.first >= VIP.slots


def test_what_does_not_fit_changes_nothing_and_the_grown_tables_hold_it(
    made: Callable[[Capacity], Tables],
) -> None:
    shared = made(SMALL)
    published(shared, Wish(VIP))
    large = [Wish(VIP), Wish(replace(SIX, slots=4096))]
    assert shared.arrange(large, shared.rows()) is None
    assert [row.wish for row in shared.rows()] == [Wish(VIP)]
    many = [Wish(replace(SIX, resource=f"r{n}", ip=SIX.ip + n)) for n in range(5)]
    assert shared.arrange(many, shared.rows()) is None
    for wishes in (large, many):
        grown = made(SMALL.grown_for(wishes))
        assert [row.wish for row in published(grown, *wishes)] == wishes


def test_a_lease_is_one_word_and_never_negative(made: Callable[[Capacity], Tables]) -> None:
    shared = made(SMALL)
    shared.deadline_ns = 1 << 62
    assert shared.deadline_ns == 1 << 62
    shared.deadline_ns = -1
    assert shared.deadline_ns == 0


def test_interfaces_that_were_made_are_remembered_there(made: Callable[[Capacity], Tables]) -> None:
    shared = made(SMALL)
    assert shared.made == frozenset()
    shared.made = frozenset({3, 70_000})
    assert shared.made == {3, 70_000}
    shared.made = shared.made - {3}
    assert shared.made == {70_000}


def test_counters_of_all_processors_are_added(made: Callable[[Capacity], Tables]) -> None:
    shared = made(SMALL)
    vip, six = published(shared, Wish(VIP), Wish(SIX))
    words = [0] * (VIP.slots * 10)
    words[10:14] = [5, 500, 7, 700]
    shared._write_counts(vip, 0, words, [0, 0, 1, 60, 0, 0, 2, 90])
    shared._write_counts(vip, 1, words, [0] * 8)
    assert shared.counters() == [
        Counter("VIP", 1, "accepted", 10, 1000),
        Counter("VIP", 1, "foreign", 14, 1400),
        Counter("VIP", None, "truncated", 1, 60),
        Counter("VIP", None, "refused-port", 2, 90),
    ]
    other = made(SMALL.grown_for([Wish(replace(VIP, slots=100))]))
    rows = published(other, Wish(SIX), Wish(VIP))
    for row, former in zip(rows, (six, vip), strict=True):
        other.carry_counters(row, shared, former)
    assert other.counters() == shared.counters()
    shared.clear_counters(vip)
    assert shared.counters() == []


def test_a_name_that_does_not_fit_is_refused_with_what_fits() -> None:
    check_labels([Wish(replace(VIP, resource="x" * 300))])
    with pytest.raises(DatapathError, match=r"too long for the bpf engine \(30\d bytes at most\)"):
        check_labels([Wish(replace(VIP, resource="x" * 500))])


def test_entries_that_somebody_damaged_are_named_as_such(made: Callable[[Capacity], Tables]) -> None:
    shared = made(SMALL)
    published(shared, Wish(VIP))
    half = shared.capacity.addresses * 512  # the first change is in force in the second half
    shared._addresses[half + 184 : half + 188] = b"\xc1\xc1\xc1\xc1"
    with pytest.raises(DatapathError, match="damaged"):
        shared.rows()


def test_the_program_is_written_for_the_same_numbers() -> None:
    """Both sides spell them out: what the engine writes is what the program reads."""
    text = SOURCE.read_text()
    for name in tables.MAPS:
        assert re.search(rf"}} {name} SEC", text)
    for kind, number in zip(
        ("SOURCEIP", "SOURCEIP_SOURCEPORT", "SOURCEIP_SOURCEPORT_DESTPORT"), range(3), strict=True
    ):
        assert re.search(rf"\b{kind} = {number}\b", text)
        assert tables.KINDS[number].name == kind
    for state in SlotState:
        assert re.search(rf"\b{state.name} = {state.value}\b", text)
    assert f"VERDICTS = {len(tables.VERDICTS)}" in text
