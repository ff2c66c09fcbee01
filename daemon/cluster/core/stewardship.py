"""The leader's care for the roster: it looks at the nodes, asks the steward what is next, and appends that."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cluster.core.membership import Peer
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.replication import Replication
from daemon.cluster.core.steward import Applicant, Situation, next_change
from daemon.cluster.messages import Dismissed
from daemon.cluster.records import Roster

CATCH_UP_ENTRIES = 64
"""a node is admitted, and gets a vote, once it lacks no more than this: else it could not do its part in time"""
DISMISSAL_PAUSE_NS = 1_000_000_000


class Stewardship:
    """Of one leadership."""

    def __init__(self, replica: Replica, replication: Replication, elected_ns: int) -> None:
        self.replica = replica
        self._replication = replication
        self._elected_ns = elected_ns
        self._dismissed_ns: dict[str, int] = {}

    def next_change(self, now_ns: int) -> Roster | None:
        """The next Roster to append, if there is to be one.

        Only once the former is committed, and an entry of the own term: else two leaders in turn could each add a vote
        of their own, and end with electorates that have nothing in common (the error in Raft's first description of
        single-server changes).
        """
        replica = self.replica
        if not self._may_change():
            return None
        return next_change(replica.rosters.now, self._situation(now_ns))

    def _may_change(self) -> bool:
        replica = self.replica
        in_own_term = replica.log.term_at(replica.commit) == replica.term
        return in_own_term and replica.rosters.is_settled(replica.commit)

    def _situation(self, now_ns: int) -> Situation:
        replica = self.replica
        connected = [
            peer for peer in replica.membership.peers.values() if replica.membership.connected(peer, now_ns)
        ]
        return Situation(
            leader=replica.name,
            stores={
                replica.name: replica.suffrage.store_id,
                **{peer.name: peer.store_id for peer in connected if peer.store_id},
            },
            caught_up=frozenset(peer.name for peer in connected if self._may_vote_soon(peer.name)),
            nearly=frozenset(peer.name for peer in connected if self.has_caught_up(peer.name)),
            retired=frozenset(name for name in replica.retiring if self._holds_nothing(name)),
            absent=frozenset(self._absent(now_ns)),
            applicants=tuple(Applicant(p.name, p.store_id, p.witness) for p in connected if _applies(p)),
            tie_breaker=replica.tie_breaker,
            fencing=replica.fencing.wished,
            counted=replica.fencing.counted,
            cluster_id=replica.cluster_id,
            recorded=replica.admissions.recorded,
        )

    def has_caught_up(self, name: str) -> bool:
        """However few the entries behind a snapshot are: without the snapshot nobody can carry out an admission."""
        progress, log = self._replication.progress.get(name), self.replica.log
        if progress is None or progress.match < log.base.index:
            return False
        return progress.match + CATCH_UP_ENTRIES >= log.last_index

    def _may_vote_soon(self, name: str) -> bool:
        """It has caught up, and its disk has the roster that names its store: before that it would refuse to vote.

        (The log of a young cluster is shorter than CATCH_UP_ENTRIES.)
        """
        progress = self._replication.progress.get(name)
        return self.has_caught_up(name) and progress is not None and progress.match >= self.replica.rosters.index

    def _holds_nothing(self, name: str) -> bool:
        """No lease of it is running, and none will be granted: it is lost, or was never admitted."""
        admissions = self.replica.admissions
        standings = (admissions.committed.get(name), admissions.tail.get(name))
        return not any(standing is not None and standing.admitted for standing in standings)

    def _absent(self, now_ns: int) -> Iterator[str]:
        for name, peer in self.replica.membership.peers.items():
            since_ns = max(peer.heard_ns or 0, self._elected_ns)
            if now_ns - since_ns > self.replica.timers.absence_ns:
                yield name

    # --- others

    def successor(self, now_ns: int) -> str | None:
        """Who is to lead instead, where this node should not: it has no vote, will be removed, or is a witness."""
        replica = self.replica
        own = replica.rosters.member(replica.name)
        if own is not None and own.votes and not own.witness and replica.name not in replica.retiring:
            return None
        for name in replica.rosters.names:
            peer, member = replica.membership.peers.get(name), replica.rosters.member(name)
            if peer is None or member is None or member.witness or name in replica.retiring:
                continue
            progress = self._replication.progress.get(name)
            whole = progress is not None and progress.match == replica.log.last_index
            if whole and replica.suffrage.counts(name) and replica.membership.connected(peer, now_ns):
                return name
        return None

    def dismiss(self, peer: Peer, now_ns: int) -> None:
        """Tell a store that was removed, now and then: it may have been down when that happened."""
        rosters = self.replica.rosters
        if peer.on_roster or not rosters.is_dismissed(peer.name, peer.store_id, joins=peer.joins):
            return
        last_ns = self._dismissed_ns.get(peer.name)
        if last_ns is None or now_ns - last_ns >= DISMISSAL_PAUSE_NS:
            self._dismissed_ns[peer.name] = now_ns
            self.replica.send(peer.name, Dismissed(peer.store_id))


def _applies(peer: Peer) -> bool:
    return peer.joins and peer.fresh and not peer.on_roster and peer.store_id != ""
