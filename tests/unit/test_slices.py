"""Long work by slices: what else there is to do has its turn in between."""

from __future__ import annotations

import asyncio
import logging

import pytest

from daemon.slices import Job, Slices
from datapath.engine import DatapathError


async def test_other_things_have_their_turn_after_each_slice_and_jobs_come_one_after_the_other() -> None:
    seen: list[str] = []
    loop = asyncio.get_running_loop()

    def job(name: str) -> Job:
        for number in range(3):
            seen.append(f"{name}{number}")
            loop.call_soon(seen.append, "a heartbeat")
            yield

    slices = Slices(loop)
    slices.begin(job("a"))
    slices.begin(job("b"))
    assert seen == [], "not within the call that asks for it"
    await asyncio.sleep(0.05)
    assert [what for what in seen if what != "a heartbeat"] == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert all(after == "a heartbeat" for after in seen[1::2])


async def test_what_a_move_waits_for_comes_before_what_is_under_way() -> None:
    seen: list[str] = []
    slices = Slices(asyncio.get_running_loop())

    def job(name: str, then: Job | None = None) -> Job:
        for number in range(2):
            seen.append(f"{name}{number}")
            if then is not None and not number:
                slices.begin_before_others(then)
            yield

    slices.begin(job("count", job("prepare")))
    slices.begin(job("tidy"))
    await asyncio.sleep(0.05)
    assert seen == ["count0", "prepare0", "prepare1", "count1", "tidy0", "tidy1"]


async def test_a_job_that_fails_is_told_and_the_next_one_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> Job:
        yield
        raise DatapathError("the kernel cannot list its connections")

    ended = []

    def job() -> Job:
        yield
        ended.append(True)

    slices = Slices(asyncio.get_running_loop())
    with caplog.at_level(logging.ERROR):
        slices.begin(failing())
        slices.begin(job())
        await asyncio.sleep(0.05)
    assert ended
    assert "cannot list its connections" in caplog.text


async def test_nothing_goes_on_once_it_is_closed() -> None:
    steps = []

    def job() -> Job:
        while True:
            steps.append(1)
            yield

    slices = Slices(asyncio.get_running_loop())
    slices.begin(job())
    await asyncio.sleep(0.01)
    slices.close()
    before = len(steps)
    assert before > 1
    await asyncio.sleep(0.01)
    assert len(steps) == before
