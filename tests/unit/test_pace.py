"""How many new addresses a step has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.pace import ADDRESSES_AT_FIRST, ADDRESSES_MAX, STEP_NS_MAX, Pace

NAMES = [f"VIP{number}" for number in range(1_000)]


def test_steps_grow_while_they_are_short() -> None:
    pace = Pace()
    for _ in range(10):
        pace.took(pace.at_once, STEP_NS_MAX // 3)
    assert pace.at_once == ADDRESSES_MAX


def test_a_step_that_took_too_long_is_followed_by_one_in_proportion() -> None:
    pace = Pace(at_once=40)
    pace.took(40, 4 * STEP_NS_MAX)
    assert pace.at_once == 10


def test_a_short_step_of_few_says_nothing_about_many() -> None:
    pace = Pace()
    pace.took(1, 1)
    assert pace.at_once == ADDRESSES_AT_FIRST


@given(st.lists(st.integers(0, 100 * STEP_NS_MAX), max_size=60))
def test_everything_has_its_turn_once_and_each_step_goes_on(durations: list[int]) -> None:
    pace, left, told = Pace(), list(NAMES), []
    for duration in [*durations, *[STEP_NS_MAX] * len(NAMES)]:
        step, later = pace.split(left)
        assert bool(step) == bool(left)
        told += step
        left = list(later)
        pace.took(len(step), duration)
    assert told == NAMES
