"""One run of a command: what was asked, where it comes from, and where the answer goes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from daemon.cli.grammar import Command, Invocation, UsageError
from daemon.cli.output import Output

if TYPE_CHECKING:
    from daemon.cli.sources import Source
    from daemon.control.client import ControlClient
    from daemon.model.configuration import Configuration

OK = 0
FAILED = 1
MISUSED = 2
ALARM = 3
"""of `vipcast status`: the cluster answers, and something is wrong that somebody has to know at once"""

WAIT_DEFAULT_S = 60.0
WAIT_MAX_S = 86_400.0


class CommandError(Exception):
    """The command cannot be carried out; every line of the text is for the user."""

    def __init__(self, sentence: str, findings: tuple[object, ...] = (), code: str = "error") -> None:
        super().__init__(sentence)
        self.findings = findings
        self.code = code


@dataclass
class Call:
    """Handed to every handler."""

    invocation: Invocation
    argv: tuple[str, ...]
    out: Output
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> Command:
        assert self.invocation.command is not None
        return self.invocation.command

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.invocation.arguments

    @property
    def typed(self) -> str:
        """The command as it was typed, for the log."""
        return shlex.join(("vipcast", *self.argv))

    def has(self, option: str) -> bool:
        return option in self.invocation.options

    def value(self, option: str) -> str | None:
        return self.invocation.options.get(option)

    def number(self, option: str, default: int, smallest: int, greatest: int) -> int:
        """A whole number given to an option.  Raises UsageError."""
        text = self.value(option)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 19 and smallest <= int(text) <= greatest):
            raise self.misuse(f"{option} takes a number from {smallest} to {greatest}, not '{text}'")
        return int(text)

    @property
    def wait_s(self) -> float | None:
        """How long to wait for the cluster after a change; None: not at all.  Raises UsageError."""
        if not self.has("--wait"):
            return None
        text = self.value("--wait")
        if text is None:
            return WAIT_DEFAULT_S
        from daemon.model.values import BadValue, parse_duration_ms  # noqa: PLC0415 - start-up time

        try:
            seconds = parse_duration_ms(text) / 1000
        except BadValue as error:
            raise self.misuse(f"--wait: {error}") from error
        if not 0 < seconds <= WAIT_MAX_S:
            raise self.misuse(f"--wait takes up to {WAIT_MAX_S:.0f} seconds, not '{text}'")
        return seconds

    def misuse(self, sentence: str) -> UsageError:
        """What to raise when the arguments make no sense."""
        return UsageError(sentence, self.command)

    @cached_property
    def client(self) -> ControlClient:
        from daemon.control.client import ControlClient  # noqa: PLC0415 - start-up time

        if self.has("--file"):
            raise CommandError(f"'{self.command.name}' asks the living cluster, it cannot work on a file (-f)")
        return ControlClient(self.value("--socket") or None)

    @cached_property
    def source(self) -> Source:
        """Where configurations come from and go to: the file of -f, or the daemon."""
        from daemon.cli.sources import DaemonSource, FileSource  # noqa: PLC0415 - start-up time

        if self.has("--file"):
            return FileSource(self.value("--file") or "")
        return DaemonSource(self.client, self.environment)

    def configuration(self) -> Configuration:
        return self.source.load().configuration
