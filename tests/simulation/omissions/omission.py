"""A rule left out on purpose, and how its absence is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.cast import Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.world import World

Scene = Callable[[Cast], None]
"""raises ViolationError where the rule is missing, and nothing where it is kept"""


@dataclass(frozen=True, slots=True)
class Omission:
    name: str
    rule: str
    """as LEASES.md numbers it, or the section of the Raft paper"""
    mistake: str
    """what somebody might have written"""
    cast: Cast
    scene: Scene | None = None
    first_seed: int | None = None
    """where chance finds it: the seed from which to look; None: chance hardly ever does, the scene does"""

    edit_pause_ms: int = 200
    """the longest between two edits"""
    fences: bool = False
    """it is about two nodes of which each may cut the other's power"""

    def world(self, seed: int) -> World:
        """One in which every node lacks the rule; run it while the cast is planted."""
        nodes = 2 if self.fences else 4
        return World(seed, nodes, None, self.cast, edit_pause_ms=self.edit_pause_ms, fences=self.fences)

    def is_found_by(self, seed: int) -> str | None:
        """What was violated in that seed's world; None where nothing was."""
        with self.cast.planted():
            try:
                self.world(seed).run()
            except ViolationError as violation:
                return str(violation)
        return None

    def is_found_in_its_scene(self) -> str | None:
        assert self.scene is not None
        with self.cast.planted():
            try:
                self.scene(self.cast)
            except ViolationError as violation:
                return str(violation)
        return None
