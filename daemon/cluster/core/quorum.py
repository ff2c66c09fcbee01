"""Set arithmetic of majorities.  Knows nothing of Raft, messages or time.

Every voter has one vote.  Where the number of voters is even, one of them may be the *tie-breaker*, which has one
more: of two halves, the one with it goes on.  Whether one electorate may follow another is enumerated and not argued
about (`intersects`): two quorums without a common voter could decide two different things (LEASES.md, rule 22).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations

VOTERS_MAX = 7
"""more of them make no cluster safer, and every commit slower"""


@dataclass(frozen=True, slots=True)
class Electorate:
    voters: frozenset[str]
    tie_breaker: str = ""
    """its extra vote counts only while the number of voters is even; "": nobody"""

    def votes_of(self, name: str) -> int:
        if name not in self.voters:
            return 0
        return 2 if name == self.tie_breaker and len(self.voters) % 2 == 0 else 1

    @property
    def total(self) -> int:
        return sum(self.votes_of(name) for name in self.voters)

    @property
    def needed(self) -> int:
        """How many votes make a quorum."""
        return self.total // 2 + 1


def is_quorum(names: Iterable[str], electorate: Electorate) -> bool:
    return sum(electorate.votes_of(name) for name in set(names)) >= electorate.needed


def reached(values: Mapping[str, int], electorate: Electorate) -> int | None:
    """The highest value that a quorum has reached; None when no quorum has any value.

    With match indexes it is what may be committed; with the stamps of answered rounds, where the leadership lease
    starts.
    """
    votes, needed = 0, electorate.needed
    known = sorted(((values[name], name) for name in electorate.voters if name in values), reverse=True)
    for value, name in known:
        votes += electorate.votes_of(name)
        if votes >= needed:
            return value
    return None


def soonest(waits: Mapping[str, int], electorate: Electorate) -> int | None:
    """The shortest wait after which a quorum has nothing left to wait for; None when it never comes to that."""
    negated = reached({name: -wait for name, wait in waits.items()}, electorate)
    return None if negated is None else -negated


def intersects(old: Electorate, new: Electorate) -> bool:
    """Whether every quorum of the one has a voter in common with every quorum of the other.

    Enumerates the subsets of all voters: some hundreds where there are at most VOTERS_MAX and one change.
    """
    everyone: AbstractSet[str] = old.voters | new.voters
    for size in range(len(everyone) + 1):
        for some in combinations(sorted(everyone), size):
            if is_quorum(some, old) and is_quorum(everyone - set(some), new):
                return False
    return True
