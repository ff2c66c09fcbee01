"""Which losses a cluster must bear: those after which a quorum of every roster that may count still has its stores.

More than that is lost for good, and no implementation could go on without forgetting something (rule 21).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daemon.cluster.core import quorum
from daemon.cluster.core.rosters import electorate_of
from daemon.cluster.records import Roster

if TYPE_CHECKING:
    from tests.simulation.host import Host
    from tests.simulation.world import World


def bears(world: World, host: Host, store_id: str) -> bool:
    """Whether the cluster can go on when `host` has this store instead of the one that it has now."""
    stores = {other.name: other.disk.store_id for other in world.hosts.values()} | {host.name: store_id}
    rosters = list(_may_count(world))
    if all((store_id if name == host.name else stores[name]) != "store-1" for name in world.founders):
        return False  # blank founders who hear nobody would found a second cluster
    founders_bear = world.invariants.consensus.roster is not None or _founders_bear(world, stores)
    return founders_bear and all(_is_quorate(roster, stores) for roster in rosters)


def _may_count(world: World) -> Iterator[Roster]:
    """The newest that is committed, and whatever somebody's log has after it."""
    committed = world.invariants.consensus.committed
    newest = max((entry.index for entry in committed if isinstance(entry.command, Roster)), default=0)
    if newest:
        command = committed[newest - 1].command
        assert isinstance(command, Roster)
        yield command
    for host in world.hosts.values():
        logs = [host.disk.entries]
        if host.process is not None:
            log = host.process.core.replica.log
            logs.append(log.after(max(newest, log.base.index)))
        for entries in logs:
            yield from (e.command for e in entries if isinstance(e.command, Roster) and e.index > newest)


def _is_quorate(roster: Roster, stores: dict[str, str]) -> bool:
    intact = [member.name for member in roster.members if stores.get(member.name) == member.store_id]
    return quorum.is_quorum(intact, electorate_of(roster))


def _founders_bear(world: World, stores: dict[str, str]) -> bool:
    """Before the first Roster: the first store that was recorded under a name is the voter."""
    intact = [name for name in world.founders if stores[name] == "store-1"]
    recorded = world.invariants.consensus.recorded >= set(world.founders)
    may_vote = all(world.hosts[name].disk.hard_state.votes for name in intact)
    return recorded and may_vote and len(intact) > len(world.founders) // 2
