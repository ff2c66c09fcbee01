"""What is wrong with a configuration, said once and for all readers.

A check never raises on the first thing it meets: it returns a list of findings, each typed by a code that
programs can match and a sentence that an administrator can act on.  An edit that would leave errors behind is
`Refused`, with all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (error) or questionable (warning)."""

    code: str
    """stable name of the kind of finding, kebab-case: `unknown-resource`, `bad-score` …"""
    severity: Severity
    where: str
    """the element it is about, and the option in it: `VIP`, `VIP clone-max`, `line 12`"""
    message: str
    """one sentence without a full stop, complete by itself: `resource 'foo' does not exist`"""
    remedy: str = ""
    """what to do about it, a sentence without a full stop; empty where the message says it"""

    def __str__(self) -> str:
        text = f"{self.severity.capitalize()}: {self.message}"
        return f"{text}, {self.remedy}" if self.remedy else text


def error(code: str, where: str, message: str, remedy: str = "") -> Finding:
    return Finding(code, "error", _printable(where), _printable(message), _printable(remedy))


def warning(code: str, where: str, message: str, remedy: str = "") -> Finding:
    return Finding(code, "warning", _printable(where), _printable(message), _printable(remedy))


def _printable(text: str) -> str:
    """Findings quote what was asked for; a terminal must neither choke on it nor obey it."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def errors_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.severity == "error")


class Refused(Exception):  # noqa: N818 - it names what happened to the request, as pcs' users say it
    """A request that changes nothing, with every reason why."""

    def __init__(self, findings: Iterable[Finding] | Finding) -> None:
        self.findings: tuple[Finding, ...] = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


def refuse_errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Raise `Refused` with all findings if one of them is an error; otherwise return the warnings."""
    collected = tuple(findings)
    if errors_of(collected):
        raise Refused(collected)
    return collected
