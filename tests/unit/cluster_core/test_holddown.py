"""Flap damping: longer each time, forgiven when it is quiet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.core.holddown import NEVER, TIMES_MAX, Flaps, HoldDown

POLICY = HoldDown(first=1_000, most=60_000, quiet=60_000)


def gone(*times: int) -> Flaps:
    flaps = NEVER
    for at in times:
        flaps = POLICY.gone(flaps, at)
    return flaps


@pytest.mark.parametrize(
    ("times", "hold"), [(0, 0), (1, 0), (2, 1_000), (3, 2_000), (4, 4_000), (7, 32_000), (8, 60_000), (30, 60_000)]
)
def test_the_hold_doubles_up_to_the_most(times: int, hold: int) -> None:
    assert POLICY.hold(Flaps(times, 0, 0)) == hold


def test_it_counts_what_comes_soon_after_the_last_time() -> None:
    flaps = gone(10_000, 15_000, 20_000)
    assert flaps == Flaps(3, 10_000, 20_000)
    assert POLICY.left(flaps, 20_500) == 1_500
    assert POLICY.left(flaps, 22_000) == 0


def test_each_quiet_spell_after_the_hold_forgives_one_time() -> None:
    flaps = gone(0, 1, 2)
    end = 2 + 2_000
    assert [POLICY.counted(flaps, end + quiet * 60_000) for quiet in range(5)] == [3, 2, 1, 0, 0]
    assert POLICY.gone(flaps, end + 60_000).times == 3
    assert gone(0, 1, 2, end + 180_000) == Flaps(1, end + 180_000, end + 180_000)


def test_a_clock_that_is_set_back_holds_nothing_down_for_longer_than_the_whole_hold() -> None:
    assert POLICY.left(gone(10_000, 11_000), 0) == 1_000


def test_a_most_of_nothing_holds_nothing_down() -> None:
    assert HoldDown(1_000, 0, 60_000).left(gone(0, 1, 2, 3), 3) == 0


@given(st.lists(st.integers(0, 10**7), max_size=200))
def test_no_history_is_held_down_for_longer_than_the_most(history: list[int]) -> None:
    flaps = gone(*sorted(history))
    assert 0 <= flaps.times <= TIMES_MAX
    assert flaps.began <= flaps.last
    assert POLICY.hold(flaps) <= POLICY.most
