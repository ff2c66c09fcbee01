"""Being scheduled in time, and what follows where that is refused."""

from __future__ import annotations

import os
import sys

import pytest

from daemon import realtime
from daemon.realtime import SLACK_MS, Punctuality


@pytest.mark.parametrize(
    ("scheduling", "slack_ms"), [("SCHED_RR", 0), ("SCHED_FIFO", 0), ("SCHED_OTHER", SLACK_MS)]
)
def test_who_is_not_scheduled_in_real_time_asks_for_a_longer_lease(scheduling: str, slack_ms: int) -> None:
    assert Punctuality(scheduling).slack_ms == slack_ms


def test_the_policy_of_this_process_is_told_by_its_name() -> None:
    names = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_RR: "SCHED_RR", os.SCHED_FIFO: "SCHED_FIFO"}
    assert realtime.as_it_is().scheduling == names[os.sched_getscheduler(0)]


def test_a_child_has_what_is_granted_or_says_why_not() -> None:
    """In a child, so that the tests themselves stay ordinary."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        punctuality = realtime.be_on_time()
        os.write(writer, f"{punctuality.scheduling} {len(punctuality.troubles)}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    scheduling, troubles = os.read(reader, 100).decode().split()
    os.close(reader)
    os.close(writer)
    assert (scheduling == "SCHED_RR") or int(troubles) >= 1


def test_threads_beside_the_loop_give_way_soon() -> None:
    """A thread that computes holds the interpreter for one interval at a time."""
    before = sys.getswitchinterval()
    try:
        realtime.give_way()
        assert sys.getswitchinterval() <= 0.0005
    finally:
        sys.setswitchinterval(before)
