"""A strip per host: its slots in colour and the requests per second that it answers, redrawn in place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.lab.clients import Attempt, Traffic
from tests.lab.control import SharedAddress
from tests.lab.demo.screen import Screen
from tests.lab.lab import Lab

INTERVAL_S = 0.1
WINDOW_S = 1.0
PLAIN_INTERVAL_S = 2.0
RATE_BAR = 30


class Strips:
    def __init__(self, screen: Screen, lab: Lab, read_address: Callable[[], SharedAddress | None]) -> None:
        self._screen = screen
        self._lab = lab
        self._read_address = read_address
        self.marks: dict[str, str] = {}
        """what a host suffers just now: killed, stopped"""
        self._plain: tuple[object, float] = (None, 0.0)
        self.address: SharedAddress | None = None

    def watch(
        self, traffic: Traffic, until: Callable[[], bool], bound_s: float, meanwhile: Callable[[], object] = bool
    ) -> bool:
        """Draw until `until` holds; False when `bound_s` seconds have passed without it.

        Calls `meanwhile` often: a capture wants to be emptied.
        """
        end = time.monotonic() + bound_s
        while time.monotonic() < end:
            self.address = self._read_address() or self.address
            meanwhile()
            self._draw(traffic)
            if until():
                return True
            time.sleep(INTERVAL_S)
        return False

    def _draw(self, traffic: Traffic) -> None:
        rates, failures = recent(traffic.attempts)
        if self._screen.terminal:
            lines = [self._strip(name, rates[name]) for name in self._lab.names]
            lines.append(f"   {'':4}{failures:>5} requests unanswered in the last second".ljust(60))
            self._screen.live(lines)
            return
        slots = tuple(self._slots_of(name) for name in self._lab.names)
        state = (slots, tuple(sorted(self.marks.items())))
        last_state, last_time = self._plain
        if state != last_state or time.monotonic() - last_time >= PLAIN_INTERVAL_S:
            parts = [
                f"{name} {self.marks.get(name) or f'{_numbers(self._slots_of(name))} {rates[name]}/s'}"
                for name in self._lab.names
            ]
            self._screen.line(f"   {'   '.join(parts)}   unanswered {failures}/s")
            self._plain = (state, time.monotonic())

    def _slots_of(self, name: str) -> tuple[int, ...]:
        if self.address is None:
            return ()
        return tuple(number for number, holder in sorted(self.address.holders.items()) if holder == name)

    def _strip(self, name: str, rate: int) -> str:
        slots = " ".join(self._screen.slot(number) for number in self._slots_of(name))
        padding = " " * max(0, 13 - sum(2 + len(str(n)) for n in self._slots_of(name)))
        bar = self._screen.paint("▇" * min(RATE_BAR, round(rate / 10)), 32)
        mark = self.marks.get(name)
        return f"   {name:4}{slots}{padding} {rate:>4}/s {bar} {self._screen.bad(mark) if mark else ''}"


def recent(attempts: Sequence[Attempt]) -> tuple[Counter[str], int]:
    """Answers by host, and failures, among the attempts that ended within the last second."""
    since = time.time_ns() - int(WINDOW_S * 1e9)
    answered: Counter[str] = Counter()
    failures = 0
    for attempt in reversed(attempts):
        if attempt.ended_ns < since:
            break
        if attempt.ok:
            answered[attempt.answer] += 1
        else:
            failures += 1
    return answered, failures


def _numbers(slots: Sequence[int]) -> str:
    return "[" + " ".join(str(number) for number in slots) + "]"
