"""How this node keeps its lease: heartbeats, the grants that answer them, a lease over a restart (rules 13, 19, 20).

A base of `core.Core`, which is what others drive.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.core.commits import Commits
from daemon.cluster.core.consensus import Consensus
from daemon.cluster.core.echoes import NAMED_MAX
from daemon.cluster.core.effects import (
    FencingWasWrong,
    PeerDisagrees,
    PeerHeard,
    Refused,
    RestartGranted,
)
from daemon.cluster.core.membership import Peer
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.restarts import inherited_deadline_ns
from daemon.cluster.messages import (
    AskRestart,
    Grant,
    Heartbeat,
    Message,
)
from daemon.cluster.timers import NS_PER_MS

ECHOES_PER_HEARTBEAT = 10
"""so many heartbeats more, at most, for processes that are new"""


@dataclass(slots=True)
class _Restart:
    """This process wants to end, and its kernel to go on serving."""

    asked_ns: int
    """stamp from before asking"""
    duration_ms: int
    is_granted: bool = False


class Leasing(Consensus):
    def __init__(self, replica: Replica, now_ns: int) -> None:
        super().__init__(replica, now_ns)
        self.commits = self._new_commits()
        self._heartbeat_ns = 0
        """when the newest was sent"""
        self._next_heartbeat_ns = now_ns
        self._heartbeat_soon = False
        self._namesakes: set[int] = set()
        self._restart: _Restart | None = None

    def _new_commits(self) -> Commits:
        return Commits(self.replica, self.proposals, self._restart_is_granted)

    # --- heartbeats

    def _on_heartbeat(self, sender: str, heartbeat: Heartbeat, now_ns: int) -> None:
        membership = self.replica.membership
        known = membership.peers[sender]
        before, was_silent, store_before = known.incarnation, known.silent, known.store_id
        peer = membership.heard(sender, heartbeat, now_ns)
        if peer is None:
            return
        self._notice_a_wrong_word(peer, now_ns)
        if was_silent or peer.incarnation != before:
            peer.silent = False
            self.replica.report(PeerHeard(sender, peer.incarnation))
            if not membership.agrees(peer):
                self.replica.report(PeerDisagrees(sender, peer.terms, self.replica.timers.terms))
        if peer.incarnation != before:
            self._echo_soon(now_ns)
            self._tell_news(now_ns)
        if self.leader is not None and peer.store_id != store_before:
            self.leader.replication.store_replaced(sender)
        self.replica.suffrage.found()
        if self.leader is not None and peer.fresh:
            self.leader.heard(peer, now_ns)
            self.leader.stewardship.dismiss(peer, now_ns)
            self.leader.grant(peer, now_ns)
            standing = self.replica.admissions.tail.get(sender)
            if standing is None or not standing.admitted or standing.incarnation != peer.incarnation:
                self.leader.declare(now_ns)

    def _notice_a_wrong_word(self, peer: Peer, now_ns: int) -> None:
        confirmation = self.replica.fencing.confirmation
        if confirmation is not None and self.replica.fencing.heard(peer):
            self.replica.report(FencingWasWrong(peer.name, confirmation.by))
            self._step_down(f"{peer.name} is not without power", now_ns)

    def _echo_soon(self, now_ns: int) -> None:
        """A process that is new needs our echo before it trusts us.

        Where many start at the same time, after a power cut, one heartbeat for each of them from everybody would be a
        flood: then several of them share one.
        """
        many = len(self.replica.membership.peers) > NAMED_MAX
        due_ns = self._heartbeat_ns + self.replica.timers.heartbeat_ns // ECHOES_PER_HEARTBEAT if many else now_ns
        if now_ns >= due_ns:
            self._heartbeat_soon = True
        else:
            self._next_heartbeat_ns = min(self._next_heartbeat_ns, due_ns)

    def _send_heartbeat(self, now_ns: int) -> None:
        replica = self.replica
        suffrage = replica.suffrage
        heartbeat = replica.membership.next_heartbeat(
            replica.term,
            self._epoch_to_tell(),
            now_ns,
            suffrage.store_id,
            suffrage.is_blank,
            replica.disk.may_vote,
            self._whom_to_name(),
        )
        replica.send(None, heartbeat)
        self._ask_restart(now_ns)
        self._heartbeat_soon = False
        self._heartbeat_ns = now_ns
        self._next_heartbeat_ns = now_ns + replica.timers.heartbeat_ns

    def _whom_to_name(self) -> frozenset[str] | None:
        """Whoever leads, or may lead next; a node that knows no cluster yet cannot know who that is."""
        rosters, leader = self.replica.rosters, self.replica.leader
        if rosters.is_joining:
            return None
        return rosters.electors if leader is None else rosters.electors | {leader}

    def _epoch_to_tell(self) -> int:
        """Rule 19: what the kernel holds, not what the log says."""
        return self.replica.enforced_epoch

    def _on_namesake(self, message: Message) -> None:
        """Our own multicast comes back, or another host bears our name."""
        if not isinstance(message, Heartbeat) or message.incarnation == self.replica.incarnation:
            return
        if message.incarnation not in self._namesakes:
            self._namesakes = {message.incarnation}
            reason = (
                f"another process bears this node's name (incarnation {message.incarnation}); rename one of them"
            )
            self.replica.report(Refused("heartbeat", self.replica.name, reason))

    # --- grants

    def _on_grant(self, _sender: str, grant: Grant, _now_ns: int) -> None:
        replica = self.replica
        if grant.incarnation != replica.incarnation or grant.epoch != replica.enforced_epoch:
            return
        stamp_ns = replica.membership.stamp_of(grant.sequence)
        if stamp_ns is not None:
            replica.own_lease.extend(self._lease_end_ns(stamp_ns))
            replica.freshness.granted(stamp_ns, grant.commit)

    def _lease_end_ns(self, stamp_ns: int) -> int:
        """Rule 13: from the own stamp before sending; so late, repeated and queued grants are harmless."""
        return stamp_ns + self.replica.timers.lease_ns + self._slack_ns()

    def _slack_ns(self) -> int:
        """How much longer the lease of this admission is: what the log says, for that is what leaders count by."""
        standing = self.replica.admissions.committed.get(self.replica.name)
        if standing is None or standing.epoch != self.replica.enforced_epoch:
            return 0
        return standing.slack_ms * NS_PER_MS

    # --- a restart by intention

    def _want_restart(self, duration_ms: int, now_ns: int) -> None:
        if self._restart is None:
            self._restart = _Restart(now_ns, duration_ms)
            self._ask_restart(now_ns)

    def inherited_deadline_ns(self, kernel_until_ns: int, now_ns: int) -> int:
        """What this process writes into its kernel in place of the deadline that it finds there.

        To be written with the first slots that it holds, before `enforced`: from then on others count no restart
        lease any more (`restarts`).  `kernel_until_ns`: what the former process left; 0: not known, so it closes.
        """
        return inherited_deadline_ns(kernel_until_ns, now_ns, self.replica.timers.lease_ns)

    def _ask_restart(self, now_ns: int) -> None:
        replica, restart = self.replica, self._restart
        if restart is None or restart.is_granted:
            return
        if self.leader is not None:
            epoch = replica.enforced_epoch
            self.leader.ask_restart(replica.name, replica.incarnation, epoch, restart.duration_ms, now_ns)
        elif replica.leader is not None:
            replica.send(replica.leader, AskRestart(replica.incarnation, restart.duration_ms))

    def _on_ask_restart(self, sender: str, ask: AskRestart, now_ns: int) -> None:
        epoch = self.replica.membership.peers[sender].epoch
        if self.leader is not None:
            self.leader.ask_restart(sender, ask.incarnation, epoch, ask.duration_ms, now_ns)

    def _restart_is_granted(self) -> None:
        restart, own = self._restart, self.replica.incarnation
        standing = self.replica.admissions.committed.get(self.replica.name)
        if restart is None or restart.is_granted or standing is None or standing.incarnation != own:
            return
        if standing.restarts:
            restart.is_granted = True
            self.replica.report(RestartGranted(self._restart_end_ns(restart)))

    def _restart_end_ns(self, restart: _Restart) -> int:
        """From the stamp before asking: every leader counts from later."""
        return restart.asked_ns + restart.duration_ms * NS_PER_MS
