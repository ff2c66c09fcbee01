"""What all documents share."""

from __future__ import annotations

from typing import Literal

SCHEMA = 1
"""Version of every document below."""

Role = Literal["Started", "Stopped", "Starting", "Stopping", "FAILED", "Promoted", "Unpromoted"]
"""What an instance is doing; FAILED: its last operation failed and it may or may not run."""

SlotPhase = Literal["free", "open", "draining", "opening", "closing"]
"""What becomes of a slot: nobody has it; its holder serves it; its holder takes nothing new any more; the successor
takes what is new while the holder ends what it has; its holder is to drop everything, it will be given out anew."""
