"""Stores and who votes, rule 21."""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.suffrage import Suffrage
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.stores import (
    a_new_node_and_one_whose_disk_was_lost,
    a_voter_whose_disk_was_lost,
    two_voters_whose_disks_were_lost,
)


def with_suffrage(kind: type[Suffrage], replica: Replica) -> Suffrage:
    store_id = replica.suffrage.store_id
    return kind(
        replica.name,
        store_id,
        replica.log,
        replica.disk,
        replica.admissions,
        replica.membership,
        replica.rosters,
    )


class WipedStoreVotes(Core):
    """Rule 21: a voter is its name, whatever its store remembers."""

    class _Suffrage(Suffrage):
        @property
        def votes(self) -> bool:
            return True

        def counts(self, name: str) -> bool:
            return True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.suffrage = with_suffrage(self._Suffrage, self.replica)


class FoundedByMajority(Core):
    """Rule 21: a new cluster is founded by any majority of blank nodes."""

    class _Suffrage(Suffrage):
        def found(self) -> None:
            peers = self._membership.peers.values()
            blank = 1 + sum(peer.fresh and peer.blank for peer in peers)
            if self.is_blank and blank > (1 + len(peers)) // 2:
                self._disk.give_vote()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.suffrage = with_suffrage(self._Suffrage, self.replica)


OMISSIONS = (
    Omission(
        "store-id",
        "21",
        "a voter is its name, whatever its store remembers",
        Cast(WipedStoreVotes),
        scene=a_voter_whose_disk_was_lost,
    ),
    Omission(
        "two-stores",
        "21",
        "the same with two of five disks",
        Cast(WipedStoreVotes),
        scene=two_voters_whose_disks_were_lost,
    ),
    Omission(
        "founders",
        "21",
        "a new cluster is founded by any majority of blank nodes",
        Cast(FoundedByMajority),
        scene=a_new_node_and_one_whose_disk_was_lost,
    ),
)
