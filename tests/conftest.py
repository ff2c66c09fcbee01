"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

COMPUTING = ("tests/simulation/", "tests/property/", "tests/scheduler_suite/")
"""what has no timers gives way to what has: hosts of laboratories share the cores with them"""
NICE = 10

# how long an example takes says something of the machine alone: benchmarks measure
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    gives_way = os.geteuid() == 0 and item.nodeid.startswith(COMPUTING)  # others may not become important again
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if gives_way:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    yield
    if gives_way:
        os.setpriority(os.PRIO_PROCESS, 0, before)
