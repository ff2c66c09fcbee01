"""Where a command's words go: people's terminal, a pipe, or a program that wants JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

_COLOURS = {"good": "32", "bad": "31", "moving": "33", "quiet": "2", "strong": "1"}


class Output:
    """Standard output and error of one command."""

    def __init__(self, stdout: TextIO, stderr: TextIO, colour: bool = False) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.json_wanted = False
        self._colour = colour

    def line(self, text: str = "") -> None:
        self._stdout.write(f"{text}\n")

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def flush(self) -> None:
        """For output that goes on: a reader sees what there is."""
        self._stdout.flush()

    def note(self, text: str) -> None:
        """For the person at the terminal, not for whoever reads the output."""
        self._stderr.write(f"{text}\n")

    def raw(self, text: str) -> None:
        self._stdout.write(text)

    def document(self, document: object) -> None:
        """Any struct of the control schema, or plain data, as indented JSON."""
        import msgspec  # noqa: PLC0415 - start-up time

        encoded = document if isinstance(document, bytes) else msgspec.json.encode(document)
        self.line(msgspec.json.format(encoded, indent=2).decode())

    def compact(self, document: object) -> None:
        """One JSON document on a line of its own."""
        import msgspec  # noqa: PLC0415 - start-up time

        self.line(msgspec.json.encode(document).decode())
        self._stdout.flush()

    def painted(self, text: str, what: str) -> str:
        """`text` in the colour of `what` (good, bad, moving, quiet, strong), on a terminal that has colours."""
        return f"\x1b[{_COLOURS[what]}m{text}\x1b[0m" if self._colour else text


def terminal_output(environment: dict[str, str]) -> Output:
    """The process's own streams.  Colours only on a terminal, and not where NO_COLOR is set (no-color.org)."""
    colour = sys.stdout.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return Output(sys.stdout, sys.stderr, colour)
