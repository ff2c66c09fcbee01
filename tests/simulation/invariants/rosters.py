"""Who belongs to the cluster: one change at a time, and in the end as it was wished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from daemon.cluster.core.quorum import VOTERS_MAX
from daemon.cluster.records import Roster

if TYPE_CHECKING:
    from tests.simulation.application import Application
    from tests.simulation.host import Host


def unfinished(
    roster: Roster, is_explicit: bool, hosts: Mapping[str, Host], application: Application
) -> str | None:
    """What the steward should still do while everybody is there; None where nothing is left to do."""
    names = {member.name for member in roster.members}
    for host in hosts.values():
        if not host.is_away and host.name not in names:
            return f"{host.name} is not on the roster"
    if left := application.leaving():
        return f"{sorted(left)} are on the roster still"
    if not is_explicit:
        return None
    voters = {member.name for member in roster.members if member.votes}
    if len(voters) != min(len(names), VOTERS_MAX):
        return f"of {sorted(names)} only {sorted(voters)} vote"
    for member in roster.members:
        if member.votes and hosts[member.name].disk.store_id != member.store_id:
            return f"{member.name} votes with another store than it has"
    wished = application.tie_breaker()
    if roster.tie_breaker != (wished if wished in voters else ""):
        return f"{roster.tie_breaker or 'nobody'} breaks ties, and not {wished or 'nobody'}"
    return None
