"""What the demo prints: colours and redrawing on a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

SLOT_COLOURS = (32, 33, 34, 35, 36, 91, 92, 94)
WIDTH = 100
BAR_WIDTH = 44


class Screen:
    """Standard output.  `live` lines are drawn over each other on a terminal and printed once elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.colour = self.terminal and "NO_COLOR" not in os.environ
        self._live = 0

    def paint(self, text: str, *codes: int) -> str:
        return f"\033[{';'.join(map(str, codes))}m{text}\033[0m" if self.colour else text

    def slot(self, number: int) -> str:
        return self.paint(f"■{number}", SLOT_COLOURS[number % len(SLOT_COLOURS)], 1)

    def good(self, text: str) -> str:
        return self.paint(text, 32, 1)

    def bad(self, text: str) -> str:
        return self.paint(text, 31, 1)

    def dim(self, text: str) -> str:
        return self.paint(text, 2)

    def line(self, text: str = "") -> None:
        self._live = 0
        print(text, flush=True)

    def step(self, number: int, text: str) -> None:
        self.line()
        self.line(self.paint(f"── {number}. {text} ".ljust(WIDTH, "─"), 1))

    def note(self, text: str) -> None:
        for part in text.splitlines():
            self.line(self.dim("   # ") + part)

    def prompt(self, host: str, command: str) -> None:
        self.line(self.paint(f"[root@{host} ~]# ", 36) + self.paint(command, 1))

    def output(self, text: str) -> None:
        for part in text.rstrip("\n").splitlines():
            self.line(part)

    def live(self, lines: Sequence[str]) -> None:
        """Draw these lines over the ones that the call before has drawn."""
        if not self.terminal:
            return
        up = f"\033[{self._live}A" if self._live else ""
        print(up + "".join(f"\r\033[K{text}\n" for text in lines), end="", flush=True)
        self._live = len(lines)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell; the first is left-aligned, the rest right."""
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
        for row, codes in ((head, (1,)), *((row, ()) for row in rows)):
            cells = [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
            text = "   ".join(cells)
            self.line("   " + (self.paint(text, *codes) if codes else text))

    def bars(self, rows: Sequence[tuple[str, float, str]]) -> None:
        """(label, value, text) as bars on one scale."""
        longest = max(value for _, value, _ in rows)
        label_width = max(len(label) for label, _, _ in rows)
        for number, (label, value, text) in enumerate(rows):
            eighths = max(1, round(value / longest * BAR_WIDTH * 8))
            bar = "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
            self.line(f"   {label.ljust(label_width)}  {self.paint(bar, 32 if number == 0 else 31)} {text}")
