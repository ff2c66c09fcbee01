"""What became of an entry, kept for a while."""

from __future__ import annotations

import pytest

from daemon.cluster.records import LogEntry, Lost, Noop
from daemon.control.chronicle import Chronicle
from daemon.control.narrate import sentence, tell_slots
from daemon.state.outcome import Change, Outcome
from daemon.state.slots import Phase, Slot


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((None, Slot("a1", 7)), "a1 takes slot 2 of VIP"),
        ((Slot("a1", 3), None), "nobody has slot 2 of VIP any more"),
        ((Slot("a1", 3), Slot("a2", 7)), "a2 takes slot 2 of VIP"),
        ((Slot("a1", 3), Slot("a1", 3, opened=True)), None),
        ((Slot("a1", 3), Slot("a1", 7, Phase.DRAINING, "a2")), "a1 begins to hand slot 2 of VIP over to a2"),
        ((Slot("a1", 3), Slot("a1", 7, Phase.DRAINING)), "a1 begins to give up slot 2 of VIP"),
        ((Slot("a1", 7, Phase.DRAINING, "a2"), Slot("a1", 9)), "a1 keeps slot 2 of VIP"),
        (
            (Slot("a1", 7, Phase.DRAINING, "a2"), Slot("a1", 7, Phase.SPLIT, "a2")),
            "a2 takes what is new of slot 2 of VIP",
        ),
        ((Slot("a1", 7, Phase.DRAINING), Slot("a1", 7, Phase.SPLIT)), None),
        ((Slot("a1", 7, Phase.SPLIT, "a1"), Slot("a1", 9)), "a1 takes slot 2 of VIP"),
        ((Slot("a1", 3), Slot("a1", 7, Phase.CLOSING)), "a1 is to close slot 2 of VIP"),
    ],
)
def test_a_slot_that_changes_is_told_by_who_has_it_then(change: Change, told: str | None) -> None:
    assert tell_slots({("VIP", 2): change}) == ([told] if told else [])


def test_slots_with_the_same_fate_are_told_together() -> None:
    changed = {("VIP", number): (Slot("a3", 1), Slot(f"a{1 + number % 2}", 7)) for number in range(5)}
    assert tell_slots(changed) == ["a1 takes slots 0, 2, 4 of VIP", "a2 takes slots 1, 3 of VIP"]


def test_a_refusal_is_told_with_its_reason() -> None:
    line = Chronicle().add(LogEntry(1, 1, 0, Lost("a1")), Outcome(False, "it never was there"), 0)
    assert sentence(line) == "a1 is lost: what it held is free [refused: it never was there]"


def test_the_newest_lines_are_kept_and_older_ones_know_only_the_entry() -> None:
    chronicle = Chronicle(lines_max=3)
    entries = [LogEntry(index, 1, 0, Noop()) for index in range(1, 6)]
    for entry in entries:
        chronicle.add(entry, Outcome(True), 4)
    assert [chronicle.line(entry).epoch for entry in entries] == [None, None, 4, 4, 4]


def test_a_line_of_another_term_is_not_taken_for_the_entry() -> None:
    chronicle = Chronicle()
    chronicle.add(LogEntry(1, 1, 0, Noop()), Outcome(True), 4)
    assert chronicle.line(LogEntry(1, 2, 0, Lost("a1"))).accepted is None
