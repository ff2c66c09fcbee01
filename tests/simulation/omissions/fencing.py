"""Confirmed fencing counted as the peer's vote (LEASES.md, Policies; `daemon.cluster.core.fencing`)."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core, steward
from daemon.cluster.core.elections import Elections
from daemon.cluster.core.fencing import Fencing
from daemon.cluster.records import Admit, LogEntry
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.fencing import (
    a_peer_that_is_admitted_and_not_heard,
    a_peer_that_is_not_admitted_yet_stands,
    a_third_voter_that_the_second_has_not_heard_of,
    a_word_that_comes_late,
)


class _Refitted(Core):
    """A core whose `Fencing` is another one."""

    fencing = Fencing

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.fencing.__class__ = self.fencing


class CountsAfterABoot(_Refitted):
    """A host that was without power itself counts the vote of the other one."""

    class fencing(Fencing):  # noqa: N801 - an attribute
        def _was_full_member(self) -> bool:
            return True


class CountsOn(_Refitted):
    """The count ends when the peer's admission is committed, not when it is appended."""

    class fencing(Fencing):  # noqa: N801 - an attribute
        def appended(self, entry: LogEntry) -> None:
            if not isinstance(entry.command, Admit):
                super().appended(entry)


class ElectsWhomItCounts(_Refitted):
    """It votes for the one whose vote it counts, follows it, and goes on counting."""

    class fencing(Fencing):  # noqa: N801 - an attribute
        def follows(self, leader: str) -> None:
            pass

    class _Elections(Elections):
        def _may_elect(self, candidate: str) -> bool:
            return self.replica.suffrage.votes

    def _new_elections(self) -> Elections:
        return self._Elections(self.replica)


class BelievesALateWord(_Refitted):
    """The word counts although the peer has started again meanwhile, and perhaps takes part."""

    class fencing(Fencing):  # noqa: N801 - an attribute
        def confirm(self, peer: str, incarnation: int, by: str, stamp_ms: int) -> None:
            super().confirm(peer, self.newest_incarnation(peer), by, stamp_ms)


OMISSIONS = (
    Omission(
        "fencing-mark",
        "Policies",
        "a host that has booted counts its peer's vote before it was admitted",
        Cast(CountsAfterABoot),
        first_seed=0,
        fences=True,
    ),
    Omission(
        "fencing-ends",
        "Policies",
        "the peer's vote counts on after its admission was appended",
        Cast(CountsOn),
        scene=a_peer_that_is_admitted_and_not_heard,
    ),
    Omission(
        "fencing-votes",
        "Policies",
        "a host votes for the one whose vote it counts",
        Cast(ElectsWhomItCounts),
        scene=a_peer_that_is_not_admitted_yet_stands,
    ),
    Omission(
        "fencing-late-word",
        "Policies",
        "the word counts although the peer has started again meanwhile",
        Cast(BelievesALateWord),
        scene=a_word_that_comes_late,
    ),
    Omission(
        "fencing-electorate",
        "Policies",
        "the electorate changes while a fenced node's vote may be counted by the old one",
        Cast(plants=((steward, "_is_counted_by", lambda roster, wish: False),)),
        scene=a_third_voter_that_the_second_has_not_heard_of,
    ),
)
