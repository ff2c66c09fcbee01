"""What must always hold, a file a theme."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.invariants.consensus import Consensus
from tests.simulation.invariants.edits import Edits
from tests.simulation.invariants.reads import Reads
from tests.simulation.invariants.violation import ViolationError

__all__ = ["Invariants", "ViolationError"]


@dataclass(slots=True)
class Invariants:
    """Those that remember something; `leases` looks at the moment alone."""

    consensus: Consensus = field(default_factory=Consensus)
    reads: Reads = field(default_factory=Reads)
    edits: Edits = field(default_factory=Edits)
