"""Who holds each slot of an address, and how a slot moves (LEASES.md, rules 22 to 28).

Theory of operation.  A slot has at most one holder and, while it moves, one successor.  Holders are state: they
change by log entries alone, and are written down before anyone acts.  A holder stays one until its own `closed` or
its `lost`, whatever else is known.

    now                     by                     then
    free                    settle                 OPEN       holder=planned        new generation
    OPEN                    settle: move           DRAINING   successor=planned     new generation
    OPEN                    settle: release        DRAINING   successor=None        new generation
    DRAINING                settle: cancel         OPEN       successor=None        new generation
    DRAINING                `drained` of holder    SPLIT                            same generation
    SPLIT                   `closed` of holder     OPEN       holder=successor      new generation (or free)
    OPEN, DRAINING, SPLIT   settle: close          CLOSING                          new generation
    CLOSING                 `closed` of holder     free
    any                     `lost` of holder       OPEN       holder=successor      new generation (or free)
    DRAINING, SPLIT         `lost` of successor    OPEN                             new generation

A generation is the index of the entry that made it.  Results carry (node, incarnation, generation); a mismatch is
ignored (rule 25).  CLOSING is for slots whose packets must be accepted nowhere before they may be given out anew,
because the meaning of the slot's number has changed (another clone-max, hash or address).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from datapath.engine import SlotState


class Phase(enum.StrEnum):
    OPEN = "open"
    """the holder accepts"""
    DRAINING = "draining"
    """the holder is to keep what it has and take nothing new; nobody else accepts yet"""
    SPLIT = "split"
    """the holder serves what it had, the successor takes what is new"""
    CLOSING = "closing"
    """the holder is to drop everything; nobody may accept before it has said that it does"""


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot that somebody holds.  A free slot is none."""

    holder: str
    generation: int
    phase: Phase = Phase.OPEN
    successor: str | None = None
    opened: bool = False
    """the holder's kernel is known to accept (for people; safety never asks)"""

    def wish(self, node: str) -> SlotState:
        """What this node's kernel shall do with the slot (rule 24)."""
        if self.phase is Phase.OPEN:
            return SlotState.OPEN if node == self.holder else SlotState.CLOSED
        if self.phase is Phase.CLOSING:
            return SlotState.CLOSED
        if node == self.holder:
            return SlotState.DRAINING
        return SlotState.OPENING if self.phase is Phase.SPLIT and node == self.successor else SlotState.CLOSED

    @property
    def owner(self) -> str:
        """Whose it is for planning: until it is split, a move can be taken back for nothing."""
        return self.successor if self.phase is Phase.SPLIT and self.successor is not None else self.holder

    # ---- settle

    def move(self, successor: str | None, generation: int) -> Slot:
        """Begin to give the slot away (None: to nobody).  Only from OPEN, or, freely, from DRAINING."""
        assert self.phase in (Phase.OPEN, Phase.DRAINING)
        assert successor != self.holder
        return Slot(self.holder, generation, Phase.DRAINING, successor, opened=self.opened)

    def cancel(self, generation: int) -> Slot:
        """Take a move back, before anyone else was authorised."""
        assert self.phase is Phase.DRAINING
        return Slot(self.holder, generation, Phase.OPEN)

    def close(self, generation: int) -> Slot:
        """Have it closed at once.  A successor that accepts already becomes the holder that has to close."""
        assert self.phase in (Phase.OPEN, Phase.DRAINING)
        return Slot(self.holder, generation, Phase.CLOSING)

    # ---- reports and losses

    def drained(self) -> Slot | None:
        """The holder takes nothing new.  None: the report means nothing now."""
        return replace(self, phase=Phase.SPLIT) if self.phase is Phase.DRAINING else None

    def closed(self, generation: int) -> tuple[Slot | None, bool]:
        """(the slot afterwards, whether the report meant something); None is free."""
        if self.phase is Phase.SPLIT:
            return (Slot(self.successor, generation) if self.successor is not None else None), True
        return None, self.phase is Phase.CLOSING

    def lost(self, node: str, generation: int) -> Slot | None:
        """The slot after the loss of a node (rule 27); None is free."""
        if node == self.holder:
            # before SPLIT the successor was not authorised, but it is the planned one: it may as well take it
            return Slot(self.successor, generation) if self.successor is not None else None
        if node == self.successor:
            if self.phase is Phase.CLOSING:
                return replace(self, successor=None)
            return Slot(self.holder, generation)
        return self
