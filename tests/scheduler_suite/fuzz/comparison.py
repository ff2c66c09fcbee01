"""What we plan beside what the peer plans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from daemon.model.findings import Refused
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.simulate import simulate
from tests.scheduler_suite.fuzz.faults import FAULTS, with_fault
from tests.scheduler_suite.peer import Outcome, peer_outcome


@dataclass(frozen=True)
class Comparison:
    ours: Outcome
    peers: Outcome
    fault: str = ""
    """of the peer, that explains the difference"""

    @property
    def alike(self) -> bool:
        return self.ours == self.peers

    @property
    def differs(self) -> bool:
        """And nothing that is known of the peer explains it."""
        return not self.alike and not self.fault

    def sentences(self) -> list[str]:
        found = []
        for what, ours, peers in (
            ("runs", self.ours.placement, self.peers.placement),
            ("is promoted", self.ours.promoted, self.peers.promoted),
        ):
            for name in sorted(ours.keys() | peers.keys()):
                if ours.get(name) != peers.get(name):
                    found.append(f"{name} {what} on {ours.get(name, [])} here, on {peers.get(name, [])} there")
        return found


def compare(document: bytes, folder: Path) -> Comparison | None:
    """None where the peer gives up, because the transition that it simulates does not end."""
    peers = peer_outcome(document, folder)
    if peers is None:
        return None
    found = Comparison(_ours(document), peers)
    if found.alike:
        return found
    for fault in FAULTS:
        with with_fault(fault):
            if _ours(document) == peers:
                return replace(found, fault=fault)
    return found


def _ours(document: bytes) -> Outcome:
    try:
        result = simulate(read_view(document, now_ms=0))
    except Refused as problem:
        return Outcome({"refused": [str(problem)]}, {})
    return Outcome(
        {name: hosts for name, hosts in result["placement"].items() if hosts},
        {name: hosts for name, hosts in result["promoted"].items() if hosts},
    )
