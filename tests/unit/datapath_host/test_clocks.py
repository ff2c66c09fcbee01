"""What is said of clocks that were set; the timer is the kernel's own, but no test sets the machine's clock."""

from __future__ import annotations

import asyncio

import pytest

from datapath.host import clocks
from datapath.host.clocks import ClockChange, Clocks, ClockWatch, difference, read_clocks

S = 1_000_000_000
BEFORE = Clocks(1_700_000_000 * S, 5 * S)


@pytest.mark.parametrize(
    ("now", "change", "said"),
    [
        (
            Clocks(BEFORE.wall_minus_boot + 3600 * S, 5 * S),
            ClockChange(3600 * S, 0),
            "the wall clock was stepped by +3600.000 s",
        ),
        (
            Clocks(BEFORE.wall_minus_boot - S // 2, 5 * S),
            ClockChange(-S // 2, 0),
            "the wall clock was stepped by -0.500 s",
        ),
        (Clocks(BEFORE.wall_minus_boot, 65 * S), ClockChange(0, 60 * S), "this host was suspended for 60.000 s"),
        (
            Clocks(BEFORE.wall_minus_boot + S, 6 * S),
            ClockChange(S, S),
            "this host was suspended for 1.000 s and the wall clock was stepped by +1.000 s",
        ),
        (
            Clocks(BEFORE.wall_minus_boot + 1_000, 5 * S - 1_000),
            ClockChange(0, 0),
            "the wall clock was set, and shows the time that it showed",
        ),
    ],
)
def test_steps_and_sleep_are_told_apart(now: Clocks, change: ClockChange, said: str) -> None:
    assert difference(BEFORE, now) == change
    assert str(change) == said


async def test_the_kernels_timer_is_quiet_while_nobody_sets_the_clock() -> None:
    heard: list[ClockChange] = []
    watch = ClockWatch(heard.append)
    watch.start()
    try:
        await asyncio.sleep(0.05)
        assert heard == []
    finally:
        watch.close()


async def test_each_change_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[ClockChange] = []
    watch = ClockWatch(heard.append)
    watch.start()
    now = read_clocks()
    forward = Clocks(now.wall_minus_boot + 7 * S, now.boot_minus_monotonic)
    monkeypatch.setattr(clocks, "read_clocks", lambda: forward)
    try:
        watch.look()
        watch.look()
    finally:
        watch.close()
    assert [round(change.stepped_ns / S) for change in heard] == [7, 0]
