from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_readiness_status_and_the_end_are_told(manager: socket.socket) -> None:
    notify.ready()
    notify.status("leads with 4 of 4\nsecond line")
    notify.stopping()
    assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=leads with 4 of 4", b"STOPPING=1"]


def test_an_abstract_socket_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"vipcast-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify.notify("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("value", ["", "relative", "/nowhere/at/all", "/" + 300 * "x"])
def test_without_a_listener_nothing_happens(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify.notify("READY=1")


def test_a_manager_that_does_not_read_blocks_nobody(manager: socket.socket) -> None:
    sent = 0
    while notify.notify("WATCHDOG=1"):
        sent += 1
        assert sent < 100_000
    assert sent > 0


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [
        ("10000000", None, 5.0),
        pytest.param("10000000", str(os.getpid()), 5.0, id="ours"),
        ("10000000", "1", None),
        ("", None, None),
        ("soon", None, None),
        ("0", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str | None, expected: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_interval_s() == expected


async def test_a_turning_loop_feeds_the_watchdog(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    task = asyncio.create_task(notify.feed_watchdog())
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(10):
            assert [await loop.sock_recv(manager, 100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_without_a_watchdog_nobody_feeds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    await asyncio.wait_for(notify.feed_watchdog(), 10)
