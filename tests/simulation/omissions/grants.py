"""Grants, rules 11 to 15."""

from __future__ import annotations

from daemon.cluster.core import Core
from daemon.cluster.core.leader import Leader
from daemon.cluster.core.membership import Peer
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.grants import (
    a_host_that_is_stopped_with_a_grant_in_its_queue,
    a_leader_cut_off_with_one_follower,
    a_leader_that_is_cut_off,
    a_loss_that_a_minority_has,
    a_node_that_is_heard_again_before_its_loss_is_committed,
)


class GrantsWithoutLeading(Core):
    """Rule 11: a leader grants although no majority has answered for long."""

    class _Leader(Leader):
        def may_grant(self, now_ns: int) -> bool:
            return self.has_committed_in_own_term()

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class GrantsBeforeOwnCommit(Core):
    """Rule 11: a new leader grants before it knows what earlier terms have committed."""

    class _Leader(Leader):
        def has_committed_in_own_term(self) -> bool:
            return True

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class GrantsByCommitted(Core):
    """Rule 12: an appended loss ends grants only once it is committed."""

    class _Leader(Leader):
        def _is_entitled(self, peer: Peer) -> bool:
            admissions = self.replica.admissions
            return admissions.admitted(admissions.committed, peer.name, peer.incarnation, peer.epoch)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class LeaseFromGrant(Core):
    """Rule 13: a lease counts from the arrival of the grant."""

    def _lease_end_ns(self, stamp_ns: int) -> int:
        return self._now_ns + self.replica.timers.lease_ns


class LeaderGrantsItself(Core):
    """Rule 14: the leader's own lease is as long as everybody's."""

    class _Leader(Leader):
        def extend_own_lease(self, now_ns: int) -> None:
            lease_end_ns = self.rounds.lease_end_ns
            if lease_end_ns is not None and self.may_grant(now_ns) and self.replica.is_admitted():
                timers = self.replica.timers
                self.replica.own_lease.extend(lease_end_ns - timers.leadership_lease_ns + timers.lease_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


OMISSIONS = (
    Omission(
        "grant-in-lease",
        "11",
        "a leader grants although no majority has answered for long",
        Cast(GrantsWithoutLeading),
        scene=a_leader_cut_off_with_one_follower,
    ),
    Omission(
        "own-commit-first",
        "11",
        "a new leader grants before it knows what earlier terms have committed",
        Cast(GrantsBeforeOwnCommit),
        scene=a_loss_that_a_minority_has,
    ),
    Omission(
        "tail-check",
        "12",
        "an appended loss ends grants only once it is committed",
        Cast(GrantsByCommitted),
        scene=a_node_that_is_heard_again_before_its_loss_is_committed,
    ),
    Omission(
        "send-anchor",
        "13",
        "a lease counts from the arrival of the grant",
        Cast(LeaseFromGrant),
        scene=a_host_that_is_stopped_with_a_grant_in_its_queue,
    ),
    Omission(
        "own-lease",
        "14",
        "the leader's own lease is as long as everybody's",
        Cast(LeaderGrantsItself),
        scene=a_leader_that_is_cut_off,
    ),
    Omission(
        "absolute-deadline",
        "15",
        "the kernel is told how long a lease lasts, not when it ends",
        Cast(relative_deadlines=True),
        first_seed=0,
    ),
)
