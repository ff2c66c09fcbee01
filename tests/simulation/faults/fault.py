"""A kind of fault, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World

Strike = Callable[["World", "Host"], str]
"""does it, to that host or to the whole world, and says for the trace what it did; repairs itself by `World.at`"""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    strike: Strike
    weight: int = 1
    """how often it is chosen, beside the others"""
    at_leader: bool = False
    """always the leader, where there is one"""
