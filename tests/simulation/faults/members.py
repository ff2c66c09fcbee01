"""Nodes come and go all the while; only in worlds that have somebody who could come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.application import Draft
from tests.simulation.faults.fault import Fault

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World

STAY_MIN = 2
"""so many are never asked to go"""


def join(world: World, host: Host) -> str:
    """Somebody who is not there comes; who was there before comes with another disk."""
    away = [other for other in world.hosts.values() if other.is_away]
    if not away:
        return "nobody is left who could join"
    new = world.rng.choice(away)
    if new.disk.is_used:
        new.disk.lose()
    new.is_away = new.founds = False
    new.witness = world.rng.random() < 0.15
    new.start()
    return f"{new.name} joins{' as a witness' if new.witness else ''}"


def retire(world: World, host: Host) -> str:
    """An administrator says on some node that another one is to go, wherever that is now."""
    staying = [member.name for member in world.roster.members if member.name not in world.leaving]
    if len([name for name in staying if not world.hosts[name].witness]) <= STAY_MIN:
        return "nobody can be spared"
    name = world.rng.choice(staying)
    world.leaving.add(name)
    number = world.counts.steps
    host.edit_as(lambda process: Draft(process.application.removal(name, number), None), 0)
    return f"{host.name} is told that {name} is to go"


def tie_breaker(world: World, host: Host) -> str:
    name = world.rng.choice(("", *(member.name for member in world.roster.members)))
    number = world.a_number()
    host.edit_as(lambda process: process.application.wish(name, number), number)
    return f"{host.name} is told that {name or 'nobody'} breaks ties"


FAULTS = (
    Fault("join", join, weight=4),
    Fault("retire", retire, weight=4),
    Fault("tie-breaker", tie_breaker, weight=2),
)
