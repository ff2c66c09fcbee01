"""Waiting for something that another process does, always with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

INTERVAL_S = 0.02


def wait_until(predicate: Callable[[], Seen], bound_s: float, what: str, interval_s: float = INTERVAL_S) -> Seen:
    """Call `predicate` until its answer is true, and return that answer.

    Raises TimeoutError, naming `what` and the last answer, when `bound_s` seconds have passed.
    """
    end = time.monotonic() + bound_s
    while True:
        seen = predicate()
        if seen:
            return seen
        if time.monotonic() >= end:
            raise TimeoutError(f"not within {bound_s:g} s: {what} (last seen: {seen!r})")
        time.sleep(interval_s)
