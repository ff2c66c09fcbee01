"""What a run consisted of: a simulation in which nothing happens proves nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.cluster.records import Admit, LogEntry, Lost, Noop, Roster


@dataclass(slots=True)
class Counts:
    steps: int = 0
    elections: int = 0
    losses: int = 0
    admissions: int = 0
    edits: int = 0
    """acknowledged"""
    rosters: int = 0
    dismissals: int = 0
    """nodes that were taken off the roster and told so"""
    snapshots: int = 0
    """taken, on whatever node"""
    restores: int = 0
    """of those that have come from a leader"""
    reads: int = 0
    """whose claim was checked"""
    overlays: int = 0
    """begun by nodes without quorum (no-quorum-policy=ignore)"""
    fenced: int = 0
    """confirmations that a peer was without power, whose vote counted from then on"""
    drains: int = 0
    """begun or taken back by hand, or refused"""
    faults: dict[str, int] = field(default_factory=dict)

    def committed(self, entry: LogEntry) -> None:
        command = entry.command
        self.elections += isinstance(command, Noop)
        self.admissions += isinstance(command, Admit)
        self.losses += isinstance(command, Lost)
        self.rosters += isinstance(command, Roster)

    def add(self, other: Counts) -> None:
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, number in other.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + number

    def sentence(self) -> str:
        return ", ".join(f"{getattr(self, name)} {words}" for name, words in _NUMBERS.items())


_NUMBERS = {
    "steps": "steps",
    "elections": "elections",
    "losses": "losses",
    "admissions": "admissions",
    "edits": "edits",
    "rosters": "roster changes",
    "dismissals": "dismissals",
    "snapshots": "snapshots",
    "restores": "restores",
    "reads": "reads",
    "overlays": "overlays",
    "drains": "drains",
    "fenced": "votes of fenced nodes counted",
}
