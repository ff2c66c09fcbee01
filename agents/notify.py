"""Tells systemd how this service fares (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket


def notify(state: str) -> bool:
    """Send `state`; False where nobody asked (no NOTIFY_SOCKET) or nobody listens.  Never raises, never blocks."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return False
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        ) as sender:
            sender.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def ready() -> None:
    """The service serves."""
    notify("READY=1")


def status(sentence: str) -> None:
    """For `systemctl status`: one line."""
    notify(f"STATUS={sentence.splitlines()[0] if sentence else ''}")


def stopping() -> None:
    notify("STOPPING=1")


def watchdog_interval_s() -> float | None:
    """How often to feed the watchdog: half of what systemd allows (sd_watchdog_enabled(3)); None: it has none."""
    with contextlib.suppress(ValueError):
        microseconds = int(os.environ.get("WATCHDOG_USEC", ""))
        meant_for_us = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        return microseconds / 2e6 if meant_for_us and microseconds > 0 else None
    return None


async def feed_watchdog() -> None:
    """Feed it for as long as the event loop turns: run this as a task of the loop that must not hang."""
    interval_s = watchdog_interval_s()
    if interval_s is None:
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval_s)
