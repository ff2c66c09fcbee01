"""Conversations of UDP in the table that the raw engine and its forwarder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from datapath.engine import HashKind, MacMode
from datapath.raw import talks
from datapath.raw.table import TALKS_AT, TALKS_MAX, Row, SharedTable

ROW = Row(
    resource="VIP",
    ip=bytes((192, 168, 110, 120)),
    prefixlen=24,
    interface="eth0",
    mac=bytes(6),
    hash_kind=HashKind.SOURCEIP,
    seed=0,
    slots=4,
    mac_mode=MacMode.MULTICAST,
    counters=0,
    states=bytes(4),
)
NAME, OTHER = b"\x0a\x50\x00\x01\x04\x00\x00\x35", b"\x0a\x50\x00\x02\x04\x00\x00\x35"
EVER = 1 << 62


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[SharedTable]:
    table = SharedTable.create(tmp_path / "raw.table")
    yield table
    table.close()


def test_what_was_heard_is_known_also_to_the_next_forwarder(shared: SharedTable) -> None:
    heard = talks.Heard(shared)
    heard.note(0, 3, NAME, 1_000)
    heard.note(0, 2, OTHER, 1_000)
    heard.note(0, 3, NAME, 2_000)
    assert shared.words[TALKS_AT] == 2
    assert talks.Heard(shared).knows(0, NAME)
    assert not talks.Heard(shared).knows(8, NAME), "another address"
    assert talks.conversations(talks.of_slots(shared, ROW, {3})).slots == {NAME: 3}


def test_a_conversation_that_is_ended_is_unknown_and_may_begin_anew(shared: SharedTable) -> None:
    heard = talks.Heard(shared)
    heard.note(0, 3, NAME, 1_000)
    talks.end(shared, talks.of_slots(shared, ROW, {3}))
    assert not heard.knows(0, NAME)
    assert talks.of_slots(shared, ROW, {3}) == []
    heard.note(0, 3, NAME, 5_000)
    assert heard.knows(0, NAME)
    assert shared.words[TALKS_AT] == 1


def test_what_there_is_no_place_for_is_too_many_until_nothing_drains(shared: SharedTable) -> None:
    heard = talks.Heard(shared)
    for number in range(TALKS_MAX):
        heard.note(0, 0, number.to_bytes(8, "big"), 1)
    assert not talks.are_too_many(shared, 1)
    heard.note(0, 0, NAME, 1)
    assert not heard.knows(0, NAME)
    assert talks.are_too_many(shared, 1)
    heard.clear()
    assert not talks.are_too_many(shared, 1)
    assert talks.of_slots(shared, ROW, {0}) == []
