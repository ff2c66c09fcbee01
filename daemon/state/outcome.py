"""What became of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.model.findings import Finding
from daemon.state.slots import Slot

Change = tuple[Slot | None, Slot | None]
"""before and after; None: nobody's"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry."""

    accepted: bool
    sentence: str = ""
    """for the cluster log, or why it was refused"""
    findings: tuple[Finding, ...] = ()
    conflict: bool = False
    """an edit that was made from an epoch that is no longer the configuration's"""
    splits: bool = False
    """slots may be opened at their successors by now, whatever is planned"""
    slots_changed: Mapping[tuple[str, int], Change] = field(default_factory=dict)
    """(address, slot) → what it was and what it is now, where that differs; sorted"""
