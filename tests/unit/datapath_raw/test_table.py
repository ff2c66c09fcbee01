"""The shared table: whole or not at all, whatever happens to the two that share it."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from msgspec import structs

from datapath.engine import DatapathError, HashKind, MacMode, Wish
from datapath.raw.rows import row_of
from datapath.raw.table import (
    ACKNOWLEDGED_AT,
    COUNTERS_START,
    DEADLINE_AT,
    EMPTY,
    GENERATION_AT,
    HALF_BYTES,
    LISTENING,
    MISSED_MAX,
    RETIRED_AT,
    TABLE_BYTES,
    WHERE_AT,
    WORDS_BYTES,
    Bell,
    Row,
    SharedTable,
    Table,
    allocate_counters,
    counter_words,
    slot_counter,
)
from tests.unit.datapath_hold.taps import ADDRESS

ROOT = Path(__file__).parents[3]


def row(resource: str = "VIP", states: bytes = bytes(4), counters: int = 0) -> Row:
    return Row(
        resource=resource,
        ip=b"\xc0\xa8\x6e\x78",
        prefixlen=24,
        interface="eth0",
        mac=b"\x21\x37\x6f\x88\xc2\xa0",
        hash_kind=HashKind.SOURCEIP,
        seed=7,
        slots=len(states),
        mac_mode=MacMode.MULTICAST,
        counters=counters,
        states=states,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raw.table"


def test_what_is_published_is_read_by_another_who_opened_it(path: Path) -> None:
    writer = SharedTable.create(path)
    reader = SharedTable.open(path)
    table = Table("vipraw", (row(states=b"\0\1\2\3"), row("B")))
    generation = writer.publish(table)
    assert reader.read() == (generation, table)


def test_a_new_table_is_empty_without_a_lease_and_readable_by_its_owner_alone(path: Path) -> None:
    table = SharedTable.create(path)
    assert table.read()[1] == EMPTY
    assert table.words[DEADLINE_AT] == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_forwarder_that_slept_is_told_of_the_tables_between_and_of_no_more_than_it_needs(path: Path) -> None:
    writer, reader = SharedTable.create(path), SharedTable.open(path)
    seen = writer.publish(Table("vipraw", ()))
    reader.words[ACKNOWLEDGED_AT] = seen
    tables = [Table("vipraw", (row(states=bytes([state])),)) for state in (1, 4, 2)]
    for table in tables:
        generation = writer.publish(table)
    assert reader.read_since(seen) == (generation, tables, True)
    assert reader.read_since(seen + 1) == (generation, tables[1:], True)
    reader.words[ACKNOWLEDGED_AT] = generation
    newest = writer.publish(tables[0])
    assert reader.read_since(seen) == (newest, tables[:1], False)


def test_one_that_slept_for_long_or_began_just_now_is_told_that_it_does_not_know_all(path: Path) -> None:
    writer, reader = SharedTable.create(path), SharedTable.open(path)
    seen = writer.publish(Table("vipraw", ()))
    for state in range(2 * MISSED_MAX):
        writer.publish(Table("vipraw", (row(states=bytes([state])),)))
    for generation in (-1, seen):
        newest, tables, in_step = reader.read_since(generation)
        assert not in_step
        assert tables[-1] == reader.read()[1]
        assert newest == reader.words[GENERATION_AT]


def test_what_was_missed_is_left_out_where_there_is_no_room_for_it(path: Path) -> None:
    writer = SharedTable.create(path)
    for states in (b"\1", b"\2", b"\3", b"\4"):
        generation = writer.publish(Table("vipraw", (row(states=states * 65_536),)))
    assert writer.read_since(generation - 1)[1:] == ([Table("vipraw", (row(states=b"\4" * 65_536),))], True)
    assert not writer.read_since(generation - 2)[2]


def test_a_writer_that_dies_while_writing_leaves_the_former_table_in_force(path: Path) -> None:
    writer = SharedTable.create(path)
    generation = writer.publish(Table("vipraw", (row(),)))
    idle_half = WORDS_BYTES + ((generation + 1) & 1) * HALF_BYTES
    os.pwrite(writer.descriptor, b"\xff" * 5000, idle_half)
    assert SharedTable.open(path).read() == (generation, Table("vipraw", (row(),)))


def test_a_table_that_was_overwritten_by_others_is_refused(path: Path) -> None:
    writer = SharedTable.create(path)
    generation = writer.publish(Table("vipraw", (row(),)))
    os.pwrite(writer.descriptor, b"\xff" * 100, WORDS_BYTES + (generation & 1) * HALF_BYTES + 8)
    with pytest.raises(DatapathError, match="damaged"):
        writer.read()


def _publish_for_ever(path: Path) -> None:
    table = SharedTable.open(path)
    generation = table.words[GENERATION_AT]
    while not table.words[RETIRED_AT]:
        generation += 1
        states = bytes([generation & 3]) * 2000
        table.publish(Table("vipraw", (row(states=states), row("B", states))))


def test_a_reader_beside_a_busy_writer_never_sees_a_mixed_table(path: Path) -> None:
    reader = SharedTable.create(path)
    process = get_context("spawn").Process(target=_publish_for_ever, args=(path,))
    process.start()
    try:
        seen = set()
        mixed = 0
        while len(seen) < 300 and process.is_alive():
            generation, table = reader.read()
            if not table.rows:
                continue
            wanted = bytes([generation & 3]) * 2000
            mixed += any(found.states != wanted for found in table.rows)
            seen.add(generation)
        assert mixed == 0
        assert len(seen) == 300
    finally:
        reader.words[RETIRED_AT] = 1
        process.join(10)


def test_a_table_that_is_too_large_is_refused_and_the_former_stays(path: Path) -> None:
    writer = SharedTable.create(path)
    before = writer.read()
    with pytest.raises(DatapathError, match="clone-max"):
        writer.publish(Table("vipraw", tuple(row(f"VIP{n}", bytes(65_536)) for n in range(5))))
    assert writer.read() == before


def test_an_address_with_all_the_slots_that_there_can_be_fits(path: Path) -> None:
    writer = SharedTable.create(path)
    big = row(states=b"\1" * 65_536, counters=allocate_counters(65_536, []))
    writer.publish(Table("vipraw", (big,)))
    assert writer.read()[1].rows == (big,)


def test_a_lease_of_another_boot_or_namespace_never_counts(path: Path) -> None:
    SharedTable.create(path).words[WHERE_AT] ^= 1
    with pytest.raises(DatapathError, match="another boot"):
        SharedTable.open(path)


@pytest.mark.parametrize("content", [b"", b"not a table", bytes(COUNTERS_START)])
def test_a_file_that_is_no_table_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DatapathError, match="not a table"):
        SharedTable.open(path)


def test_a_symbolic_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    SharedTable.create(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(DatapathError, match="cannot open"):
        SharedTable.open(path)


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatapathError, match="run directory"):
        SharedTable.create(tmp_path / "missing" / "raw.table")


def test_a_table_that_exists_has_all_its_room(path: Path) -> None:
    """A full /run is told when it is made; a later write that failed would end who writes."""
    SharedTable.create(path).close()
    assert path.stat().st_blocks * 512 >= TABLE_BYTES


def test_slots_that_were_listened_for_may_be_gone_by_now() -> None:
    assert row_of(Wish(ADDRESS, {}), 0, listening=[0, ADDRESS.slots]).states[0] == LISTENING


def test_who_still_has_a_replaced_table_can_tell(path: Path) -> None:
    old = SharedTable.create(path)
    assert not old.replaced
    new = SharedTable.create(path)
    assert old.replaced
    assert not new.replaced
    new.words[RETIRED_AT] = 1
    assert new.replaced


def test_the_kernel_tells_whether_a_forwarder_lives(path: Path) -> None:
    table = SharedTable.create(path)
    assert not table.claimed()
    script = (
        "import sys; from pathlib import Path; from datapath.raw.table import SharedTable\n"
        f"table = SharedTable.open(Path({str(path)!r}))\n"
        "print(table.claim(), flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert table.claimed()
        assert not table.claim()
    finally:
        holder.kill()
        holder.communicate(timeout=5)
    assert not table.claimed()


def test_counters_of_different_addresses_never_overlap() -> None:
    rows: list[Row] = []
    for number, slots in enumerate([4, 300, 1, 64, 4096]):
        rows.append(row(f"VIP{number}", bytes(slots), allocate_counters(slots, rows)))
    del rows[1]
    rows.append(row("again", bytes(299), allocate_counters(299, rows)))
    taken = [word for r in rows for word in range(r.counters, r.counters + counter_words(r.slots))]
    assert len(taken) == len(set(taken))
    assert rows[-1].counters == rows[0].counters + counter_words(rows[0].slots), "the gap was not used again"


def test_more_slots_than_can_be_counted_are_refused() -> None:
    with pytest.raises(DatapathError, match="clone-max"):
        allocate_counters(65_536, [row(states=bytes(65_536))])


def test_counters_are_read_from_where_they_are_written(path: Path) -> None:
    table = SharedTable.create(path)
    other = SharedTable.open(path)
    mine = row(counters=allocate_counters(4, [row("first")]))
    counters = other.map_counters()
    counters[slot_counter(mine, 3, 1)] = 77
    assert table.read_counters(mine)[slot_counter(mine, 3, 1) - mine.counters] == 77
    table.clear_counters(mine)
    assert counters[slot_counter(mine, 3, 1)] == 0


def test_the_bell_wakes_who_listens_and_harms_nobody_else(path: Path) -> None:
    bell = Bell(path)
    bell.ring()
    bell.make()
    bell.ring()
    listener = bell.listen()
    with pytest.raises(BlockingIOError):
        os.read(listener, 1)
    bell.ring()
    bell.ring()
    assert os.read(listener, 10) == b"!!"
    for _ in range(100_000):
        bell.ring()  # a listener that does not read fills the pipe; the ringer is never held up
    os.close(listener)


def test_words_are_shared_at_once(path: Path) -> None:
    one = SharedTable.create(path)
    two = SharedTable.open(path)
    one.words[DEADLINE_AT] = (1 << 63) + 5
    two.words[ACKNOWLEDGED_AT] = 9
    assert two.words[DEADLINE_AT] == (1 << 63) + 5
    assert one.words[ACKNOWLEDGED_AT] == 9


def test_rows_compare_by_what_they_say() -> None:
    assert row() == row()
    assert structs.replace(row(), seed=8) != row()
