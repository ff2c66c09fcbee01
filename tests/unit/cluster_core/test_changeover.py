"""What a store remembers of the timers that its processes have counted by."""

from __future__ import annotations

from daemon.cluster.core.changeover import Changeover, counted_by
from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import HardState, Saved
from daemon.cluster.core.log import Log
from daemon.cluster.timers import PROFILES, over_after_ns

DEFAULT, FAST = PROFILES["default"], PROFILES["fast"]
NS_PER_MS = 1_000_000


def disk_of(terms: tuple[int, int, int, int] | None) -> Disk:
    saved = counted_by(Saved("store", HardState(3, "a1", True, terms)), FAST)
    return Disk(saved, Log(()), retry_ns=1)


def test_with_the_same_timers_or_none_that_are_known_nothing_is_waited_for_and_nothing_written() -> None:
    for terms in (None, FAST.terms):
        disk = disk_of(terms)
        assert Changeover(disk, FAST, 100).over_ns == 100
        assert disk.next_transaction() is None


def test_after_others_it_waits_for_a_promise_and_a_lease_of_theirs_and_forgets_them_only_then() -> None:
    disk = disk_of(DEFAULT.terms)
    changeover = Changeover(disk, FAST, 100)
    assert changeover.over_ns == 100 + over_after_ns(DEFAULT.terms)
    assert over_after_ns(DEFAULT.terms) == 605 * NS_PER_MS  # (150 + 350) * 1.2 + 5
    changeover.look(changeover.over_ns - 1)
    assert disk.next_transaction() is None, "a process that follows waits as well"
    changeover.look(changeover.over_ns)
    written = disk.next_transaction()
    assert written is not None
    assert written.hard_state == HardState(3, "a1", True, FAST.terms)


def test_of_terms_that_grow_and_shrink_it_is_the_most_of_each() -> None:
    disk = disk_of((10, 900, 100, 7))
    Changeover(disk, FAST, 0)
    written = disk.next_transaction()
    assert written is not None
    assert written.hard_state.terms == (50, 900, 200, 7)
