"""What a host's kernel accepts: slot states under one absolute deadline on the boot clock (rule 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from datapath.engine import SlotState

Slot = tuple[str, int]
"""(address, number)"""

OLD_FLOWS = "flows that it had when a move began"
NEW_FLOWS = "all other flows"
ACCEPTED = {
    SlotState.CLOSED: frozenset[str](),
    SlotState.OPEN: frozenset({OLD_FLOWS, NEW_FLOWS}),
    SlotState.DRAINING: frozenset({OLD_FLOWS}),
    SlotState.OPENING: frozenset({NEW_FLOWS}),
    SlotState.KEEPING_UDP: frozenset({OLD_FLOWS}),
    SlotState.LEAVING_UDP: frozenset({NEW_FLOWS}),
}


@dataclass(slots=True)
class Kernel:
    states: dict[Slot, SlotState] = field(default_factory=dict)
    deadline_ns: int = 0
    overlaid_states: bool = False
    """`states` are those of an overlay (no-quorum-policy=ignore)"""
    overlaid_deadline: bool = False
    """`deadline_ns` was nobody's grant: the node has given it to itself"""

    def apply(self, states: Mapping[Slot, SlotState]) -> None:
        self.states = {slot: state for slot, state in states.items() if state is not SlotState.CLOSED}

    def renew(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns

    def leased(self, local_ns: int) -> bool:
        return local_ns < self.deadline_ns

    def accepts(self, slot: Slot, local_ns: int) -> frozenset[str]:
        if not self.leased(local_ns):
            return frozenset()
        return ACCEPTED[self.states.get(slot, SlotState.CLOSED)]
