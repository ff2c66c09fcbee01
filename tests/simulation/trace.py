"""The last lines of what happened, kept cheaply and printed for a person when something is wrong."""

from __future__ import annotations

from collections import deque

LINES_MAX = 400


class Trace:
    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self._lines: deque[tuple[int, str, tuple[object, ...]]] = deque(maxlen=lines_max)
        self.now_ns = 0

    def say(self, who: str, *what: object) -> None:
        self._lines.append((self.now_ns, who, what))

    def text(self, lines: int = LINES_MAX) -> str:
        newest = list(self._lines)[-lines:]
        return "\n".join(f"{ns / 1e6:10.3f} ms  {who:<7} {' '.join(map(str, what))}" for ns, who, what in newest)

    def digest(self) -> str:
        return self.text()
