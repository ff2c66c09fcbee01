from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.cluster.replay import WINDOW, ReplayWindow

counters = st.integers(0, 3 * WINDOW) | st.integers(0, (1 << 64) - 1)


@given(st.lists(counters, max_size=200))
def test_the_window_agrees_with_a_set_that_forgets_nothing(order: list[int]) -> None:
    window = ReplayWindow()
    seen: set[int] = set()
    for counter in order:
        newest = max(seen, default=-1)
        expected = counter not in seen and counter > newest - WINDOW
        assert window.is_fresh(counter) is expected
        assert window.accept(counter) is expected
        if expected:
            seen.add(counter)
        assert window.newest == max(seen, default=-1)


@given(st.lists(counters, max_size=50), counters, st.lists(counters, max_size=50))
def test_nothing_up_to_the_barrier_is_accepted_after_it(before: list[int], barrier: int, after: list[int]) -> None:
    window = ReplayWindow()
    for counter in before:
        window.accept(counter)
    window.refuse_until(barrier)
    assert not any(window.accept(counter) for counter in after if counter <= barrier)
    assert window.accept(max(barrier, window.newest) + 1)


def test_a_barrier_leaves_newer_counters_alone() -> None:
    window = ReplayWindow()
    window.accept(10)
    window.refuse_until(5)
    assert not window.is_fresh(5)
    assert window.is_fresh(6)
    assert not window.is_fresh(10)
