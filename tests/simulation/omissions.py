"""Rules left out on purpose, one at a time: a checker that finds none of these would prove nothing.

Each omission is a subclass of the shipped core in which one method does what somebody might have written who had
not read LEASES.md.  The shipped code knows nothing of them.
"""

from __future__ import annotations

from typing import Any

from daemon.cluster.core import Core
from daemon.cluster.core.admissions import Standing
from daemon.cluster.core.elections import Elections
from daemon.cluster.core.follower import Follower
from daemon.cluster.core.leader import Leader
from daemon.cluster.core.membership import Peer
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.suffrage import Suffrage
from daemon.cluster.messages import AppendAnswer
from daemon.cluster.records import LogEntry
from tests.simulation.world import World


class NoPromise(Core):
    """Rule 2: a voter forgets at once that it has just heard a leader."""

    class _Follower(Follower):
        def _promise(self, now_ns: int) -> None:
            self.replica.promise.until_ns = now_ns

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class PromiseWithoutDrift(Core):
    """Rule 2: P = LL, as if all clocks ran alike."""

    class _Follower(Follower):
        def _promise(self, now_ns: int) -> None:
            promise = self.replica.promise
            promise.until_ns = max(promise.until_ns, now_ns + self.replica.timers.leadership_lease_ns)

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class PromiseToATerm(Core):
    """Rule 3: a new term ends the promise."""

    def _adopt(self, term: int, why: str, now_ns: int) -> None:
        super()._adopt(term, why, now_ns)
        self.replica.promise.until_ns = now_ns


class UnboundLeader(Core):
    """Rule 4: a leader does not promise itself anything."""

    class _Leader(Leader):
        def _bind_itself(self, now_ns: int) -> None:
            pass

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class NoBootWait(Core):
    """Rule 5: a process votes as soon as it has started."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.promise.until_ns = self._now_ns


class LeadershipFromAnswer(Core):
    """Rule 6: the leadership lease counts from the answers, not from the sending."""

    class _Leader(Leader):
        def answered(self, sender: str, answer: AppendAnswer, now_ns: int) -> None:
            super().answered(sender, answer, now_ns)
            self.rounds.count_from(sender, now_ns)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return self._Leader(self.replica, expired, now_ns)


class VoteBeforeFsync(Core):
    """Rule 7: votes leave before they are on disk."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.send_when_stable = self.replica.send  # type: ignore[method-assign]


class AnswerBeforeFsync(Core):
    """Rule 7: entries are confirmed before they are on disk."""

    class _Follower(Follower):
        def _confirmed(self) -> int:
            return self._verified

    def _new_follower(self) -> Follower:
        return self._Follower(self.replica)


class DoubleVote(Core):
    """Raft: a voter gives everybody its vote who asks."""

    class _Elections(Elections):
        def _is_free_for(self, candidate: str) -> bool:
            return True

    def _new_elections(self) -> Elections:
        return self._Elections(self.replica)


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

    def _note_committed(self, entry: LogEntry) -> None:
        super()._note_committed(entry)
        standing = self.replica.admissions.committed.get(self.replica.name)
        if standing is not None and standing.admitted and standing.incarnation == self.replica.incarnation:
            self.replica.enforced_epoch = standing.epoch


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


def with_suffrage(kind: type[Suffrage], replica: Replica) -> Suffrage:
    store_id = replica.suffrage.store_id
    return kind(replica.name, store_id, replica.log, replica.disk, replica.admissions, replica.membership)


OMISSIONS: dict[str, type[Core]] = {
    "promise": NoPromise,
    "promise-drift": PromiseWithoutDrift,
    "sticky-promise": PromiseToATerm,
    "own-promise": UnboundLeader,
    "boot-wait": NoBootWait,
    "ll-from-send": LeadershipFromAnswer,
    "vote-fsync": VoteBeforeFsync,
    "answer-fsync": AnswerBeforeFsync,
    "double-vote": DoubleVote,
    "grant-in-lease": GrantsWithoutLeading,
    "own-commit-first": GrantsBeforeOwnCommit,
    "tail-check": GrantsByCommitted,
    "send-anchor": LeaseFromGrant,
    "drift-loss": LossWithoutDrift,
    "new-leader-wait": NewLeaderKnowsBetter,
    "guarded-skip": AnyFormerLeaderIsExpired,
    "epoch": AppliedIsEnforced,
    "reboot-wait": NewProcessProvesLoss,
    "store-id": WipedStoreVotes,
    "two-stores": WipedStoreVotes,
    "founders": FoundedByMajority,
    "absolute-deadline": Core,
}


def omitting(rule: str, seed: int, **options: Any) -> World:
    """A world in which every core lacks that rule."""
    return World(seed, core=OMISSIONS[rule], relative_deadlines=rule == "absolute-deadline", **options)
