"""What timers say about how late this process is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.lateness import BOUNDS_MS, SLICE_NS, SLICES, Lateness, Recent, p99_ms

MS = 1_000_000


def test_nothing_measured_is_in_time() -> None:
    assert Lateness().recent(0) == Recent(0, 0.0, 0.0)


def test_the_99th_percentile_is_told_by_its_bucket_and_the_longest_exactly() -> None:
    lateness = Lateness()
    for number in range(200):
        lateness.note(3 * MS if number < 199 else 71 * MS, number)
    assert lateness.recent(200) == Recent(200, 4.0, 71.0)
    assert lateness.sum_ns == 199 * 3 * MS + 71 * MS
    assert lateness.max_ns == 71 * MS


def test_what_is_longer_ago_than_the_window_is_in_the_histogram_alone() -> None:
    lateness = Lateness()
    lateness.note(500 * MS, 0)
    later_ns = SLICES * SLICE_NS
    lateness.note(1 * MS, later_ns)
    assert lateness.recent(later_ns) == Recent(1, 1.0, 1.0)
    assert sum(lateness.counts) == 2
    assert lateness.max_ns == 500 * MS


def test_memory_is_bounded_however_long_it_runs() -> None:
    lateness = Lateness()
    for number in range(10 * SLICES):
        lateness.note(0, number * SLICE_NS)
    assert lateness.recent(10 * SLICES * SLICE_NS).samples <= SLICES


@given(st.lists(st.integers(-MS, 3000 * MS), min_size=1, max_size=300))
def test_the_percentile_never_understates_and_never_exceeds_the_longest(late: list[int]) -> None:
    lateness = Lateness()
    for number, late_ns in enumerate(late):
        lateness.note(late_ns, number)
    recent = lateness.recent(len(late))
    ordered = sorted(max(0, late_ns) / MS for late_ns in late)
    exact = ordered[-(-len(ordered) * 99 // 100) - 1]
    assert exact <= recent.p99_ms <= recent.max_ms == ordered[-1]


def test_the_open_bucket_is_told_by_the_longest() -> None:
    assert p99_ms([0] * len(BOUNDS_MS) + [5], 4321.0) == 4321.0
