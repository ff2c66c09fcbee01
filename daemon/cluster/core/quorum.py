"""Set arithmetic of majorities.  Knows nothing of Raft, messages or time.

Voters are a set of names, so that members may come and go; weights and tie-breakers will enter here and nowhere
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet


def majority(voters: AbstractSet[str]) -> int:
    """How many of `voters` make a quorum."""
    return len(voters) // 2 + 1


def is_quorum(names: AbstractSet[str], voters: AbstractSet[str]) -> bool:
    return len(names & voters) >= majority(voters)


def reached(values: Mapping[str, int], voters: AbstractSet[str]) -> int | None:
    """The highest value that a quorum has reached; None when no quorum has any value.

    With match indexes it is what may be committed; with the stamps of answered rounds, where the leadership lease
    starts.
    """
    known = sorted((values[voter] for voter in voters if voter in values), reverse=True)
    needed = majority(voters)
    return known[needed - 1] if len(known) >= needed else None


def soonest(waits: Mapping[str, int], voters: AbstractSet[str]) -> int | None:
    """The shortest wait after which a quorum has nothing left to wait for; None when it never comes to that."""
    negated = reached({name: -wait for name, wait in waits.items()}, voters)
    return None if negated is None else -negated
