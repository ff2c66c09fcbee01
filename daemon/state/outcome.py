"""What became of an entry."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.model.findings import Finding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry."""

    accepted: bool
    sentence: str = ""
    """for the cluster log, or why it was refused"""
    findings: tuple[Finding, ...] = ()
    conflict: bool = False
    """an edit that was made from an epoch that is no longer the configuration's"""
    slots_changed: tuple[tuple[str, int], ...] = ()
    """(address, slot) whose holder or phase is another one now"""
