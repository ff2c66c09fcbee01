"""Loss and return, rules 16 to 20."""

from __future__ import annotations

from daemon.cluster.core import Core
from daemon.cluster.core.commits import Commits
from daemon.cluster.core.follower import Follower
from daemon.cluster.core.leader import Leader
from daemon.cluster.core.standing import Standing
from daemon.cluster.records import LogEntry
from tests.simulation.cast import Cast
from tests.simulation.omissions.omission import Omission
from tests.simulation.scenes.losses import (
    a_daemon_that_starts_again,
    a_leader_that_was_granted_a_moment_ago,
    a_node_that_only_the_former_leader_hears,
)


class LossWithoutDrift(Core):
    """Rule 16: lost after `lease` on the leader's clock, as if all clocks ran alike."""

    class _Leader(Leader):
        def _is_loss_due(self, name: str, now_ns: int) -> bool:
            timers = self.replica.timers
            return super()._is_loss_due(name, now_ns + timers.loss_after_ns - timers.lease_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class NewLeaderKnowsBetter(Core):
    """Rule 17: a new leader counts from when it has heard a node itself."""

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        leader = super()._new_leader(expired, now_ns)
        for peer in self.replica.membership.peers.values():
            leader.grants._granted_ns[peer.name] = peer.heard_ns or 0
        return leader


class AnyFormerLeaderIsExpired(Core):
    """Rule 18 without its guard: whoever led last is lost at once."""

    class _Follower(Follower):
        def expired_leader(self, now_ns: int) -> str | None:
            return self._leader

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class AppliedIsEnforced(Core):
    """Rule 19: the epoch is told as soon as the admission is applied, whatever the kernel holds."""

    class _Commits(Commits):
        def _note(self, entry: LogEntry) -> None:
            super()._note(entry)
            standing = self.replica.admissions.committed.get(self.replica.name)
            if standing is not None and standing.admitted and standing.incarnation == self.replica.incarnation:
                self.replica.enforced_epoch = standing.epoch

    def _new_commits(self) -> Commits:
        return self._Commits(self.replica, self.proposals, self._restart_is_granted)


class NewProcessProvesLoss(Core):
    """Rule 20: a new process proves the old one dead, so that what it held is free at once."""

    class _Leader(Leader):
        def _admit_or_lose(
            self, name: str, incarnation: int, boot_id: str, present: bool, standing: Standing | None, now_ns: int
        ) -> None:
            if present and standing is not None and standing.admitted:
                self._lose(name, now_ns)
            else:
                super()._admit_or_lose(name, incarnation, boot_id, present, standing, now_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


OMISSIONS = (
    Omission(
        "drift-loss",
        "16",
        "lost after `lease` on the leader's clock, as if all clocks ran alike",
        Cast(LossWithoutDrift),
        first_seed=125,
    ),
    Omission(
        "new-leader-wait",
        "17",
        "a new leader counts from when it has heard a node itself",
        Cast(NewLeaderKnowsBetter),
        scene=a_node_that_only_the_former_leader_hears,
    ),
    Omission(
        "guarded-skip",
        "18",
        "whoever led last is lost at once",
        Cast(AnyFormerLeaderIsExpired),
        scene=a_leader_that_was_granted_a_moment_ago,
    ),
    Omission(
        "epoch",
        "19",
        "the epoch is told as soon as the admission is applied, whatever the kernel holds",
        Cast(AppliedIsEnforced),
        first_seed=115,
    ),
    Omission(
        "reboot-wait",
        "20",
        "a new process proves the old one dead, so that what it held is free at once",
        Cast(NewProcessProvesLoss),
        scene=a_daemon_that_starts_again,
    ),
)
