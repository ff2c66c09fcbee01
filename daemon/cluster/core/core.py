"""The cluster core: membership, elections, the replicated log and leases behind a handful of calls, without I/O.

Usage, as with aioquic: feed it (`receive`, `tick`, `propose`, `persisted`, …), then perform what `ready()` returns.
One timer, armed for `deadline_ns()`, is all that the shell needs.

Every `now_ns` is CLOCK_BOOTTIME of this host, never falling, and **read after** what it is given along with has
happened: a stamp from before a datagram was received would date a promise before the round that it answers, and a
SIGSTOP between the two would let the promise run out while the leader still leads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from daemon.cluster.core.compaction import Interval
from daemon.cluster.core.effects import (
    DiskRefused,
    PeerFenced,
    PeerSilent,
    Ready,
    Refused,
    Saved,
    WasDismissed,
    WasLate,
)
from daemon.cluster.core.elections import FAR_NS
from daemon.cluster.core.fencing import FencingRefusedError
from daemon.cluster.core.membership import Peer
from daemon.cluster.core.outlook import Outlook
from daemon.cluster.core.replica import Randomness, Replica
from daemon.cluster.messages import (
    Append,
    AppendAnswer,
    AskRestart,
    Dismissed,
    Grant,
    Heartbeat,
    Message,
    PreVote,
    PreVoteAnswer,
    Propose,
    Reject,
    SnapshotAnswer,
    SnapshotPiece,
    Transfer,
    Vote,
    VoteAnswer,
)
from daemon.cluster.timers import Timers


class Core(Outlook):
    def __init__(
        self,
        name: str,
        founders: Sequence[str],
        timers: Timers,
        incarnation: int,
        kernel_boot_id: str,
        saved: Saved,
        now_ns: int,
        random: Randomness,
        snapshot_interval: Interval = Interval(),  # noqa: B008 - immutable
        witness: bool = False,
    ) -> None:
        """`founders`, the same list on every node that has one: who founds the cluster, in the order of rank.

        Empty: this node joins a cluster, or its log knows one already.  Once the log has a Roster that counts.

        `incarnation` rises with every start of the process; `snapshot_interval` is the same on every node, or a
        snapshot that one of them has begun to send is not finished by another.  Raises ValueError for a name that
        is not among the founders, founders that repeat, unsound timers or a damaged log.
        """
        if founders and (name not in founders or len(set(founders)) != len(founders)):
            raise ValueError(f"{name!r} must occur in the list of nodes, and nobody twice: {', '.join(founders)}")
        if findings := timers.findings():
            raise ValueError("; ".join(findings))
        replica = Replica(
            name, founders, timers, incarnation, kernel_boot_id, saved, now_ns, random, snapshot_interval, witness
        )
        super().__init__(replica, now_ns)
        self._expected_ns = FAR_NS
        """when the shell was last told to call `tick`"""
        self._handlers: dict[type[Message], Callable[..., None]] = {
            Append: self._on_append,
            AppendAnswer: self._on_append_answer,
            Reject: self._on_reject,
            PreVote: self.elections.on_pre_vote,
            PreVoteAnswer: self.elections.on_pre_vote_answer,
            Vote: self._on_vote,
            VoteAnswer: self._on_vote_answer,
            Transfer: self.elections.on_transfer,
            Grant: self._on_grant,
            AskRestart: self._on_ask_restart,
            Propose: self._on_propose,
            Dismissed: self._on_dismissed,
            SnapshotPiece: self._on_snapshot_piece,
            SnapshotAnswer: self._on_snapshot_answer,
        }

    @property
    def wall_ms(self) -> int:
        """Wall clock, milliseconds since 1970, that entries are stamped with.  Set it before each call."""
        return self.replica.wall_ms

    @wall_ms.setter
    def wall_ms(self, wall_ms: int) -> None:
        self.replica.wall_ms = wall_ms

    @property
    def slack_ms(self) -> int:
        """How much longer this node asks its lease to be, for it is not scheduled in time.

        Leaders count it from the admission in the log, so set it before the first heartbeat.
        """
        return self.replica.membership.slack_ms

    @slack_ms.setter
    def slack_ms(self, slack_ms: int) -> None:
        self.replica.membership.slack_ms = slack_ms

    # --- what happens

    def receive(self, sender: str, message: Message, now_ns: int) -> None:
        """A message whose seal says that `sender` sent it; `now_ns` was read after it had arrived.

        Heartbeats are always looked at; anything else only from a peer that has heard this very process
        (`membership`), so that recordings of former processes change nothing.
        """
        self._now_ns = now_ns
        self._notice_lateness(now_ns)
        if sender == self.replica.name:
            self._on_namesake(message)
            return
        peer = self.replica.membership.peers.get(sender) or self._meet(sender, message)
        if peer is None:
            self.replica.report(Refused(type(message).__name__, sender, "it is not on this cluster's roster"))
            return
        if isinstance(message, Heartbeat):
            self._on_heartbeat(sender, message, now_ns)
        elif peer.fresh and (handler := self._handlers.get(type(message))) is not None:
            handler(sender, message, now_ns)  # what is none of the core's, executors say to each other
        self._settle(now_ns)

    def _meet(self, sender: str, message: Message) -> Peer | None:
        """Listen to one that is on no roster: it asks to join, or has to be told that it was removed.

        A node that does not know a cluster yet listens to everybody.
        """
        rosters = self.replica.rosters
        if isinstance(message, Heartbeat) and (
            message.joins or rosters.is_joining or rosters.is_dismissed(sender, message.store_id, joins=False)
        ):
            self.replica.membership.meet(sender)
        return self.replica.membership.peers.get(sender)

    def tick(self, now_ns: int) -> None:
        """Time has passed.  Call at `deadline_ns()`; earlier does no harm, later is noticed (`lateness`)."""
        self._now_ns = now_ns
        self._notice_lateness(now_ns)
        self.replica.disk.retry_if_due(now_ns)
        self.replica.changeover.look(now_ns)
        if now_ns >= self._next_heartbeat_ns:
            self._send_heartbeat(now_ns)
        if now_ns >= self.replica.doubt_until_ns:
            for peer in self.replica.membership.newly_silent(now_ns):
                self.replica.report(PeerSilent(peer.name, now_ns - (peer.heard_ns or 0)))
        if self.leader is not None:
            self._tick_leader(self.leader, now_ns)
        else:
            if not self.replica.promise.binds(now_ns):
                self.replica.suffrage.found()  # who founds alone hears nobody; by now it would have heard a cluster
            self.elections.tick(now_ns)
        self._tell_news(now_ns)
        self._settle(now_ns)

    def propose(self, body: bytes, now_ns: int) -> int:
        """Ask for `body` to be appended to the log; returns its ticket.

        It is repeated until it is seen committed (`ProposalCommitted`) or abandoned, and may be appended more than
        once.  Raises TooMuchProposedError.
        """
        self._now_ns = now_ns
        ticket = self.proposals.add(body, now_ns)
        self._settle(now_ns)
        return ticket

    def abandon(self, ticket: int) -> None:
        """Repeat a proposal no more; it may have been appended all the same."""
        self.proposals.drop(ticket)

    def persisted(self, receipt: int, now_ns: int) -> None:
        """The transaction `receipt` is on disk, fsync included."""
        self._now_ns = now_ns
        voted = self.replica.disk.may_vote
        if self.replica.disk.done(receipt):
            self._heartbeat_soon |= self.replica.disk.may_vote and not voted
            self.elections.on_stable()
            self._settle(now_ns)
            if self.leader is None:
                self.follower.on_stable()

    def persist_failed(self, receipt: int, reason: str, now_ns: int) -> None:
        """The disk refused (full, read-only): nothing of `receipt` was written.  It is tried again after a while.

        Rule 9: a leader abdicates.  Until the disk takes something, this node neither stands nor votes.
        """
        self._now_ns = now_ns
        if self.replica.disk.failed(receipt, now_ns):
            retry_at_ns = self.replica.disk.retry_at_ns or now_ns
            self.replica.report(DiskRefused(reason, retry_at_ns - now_ns))
            self._abdicate(f"its disk refused: {reason}", now_ns)

    def enforced(self, epoch: int, now_ns: int) -> None:
        """My kernel holds what the state said when my admission `epoch` was applied (rule 19).

        "Applied" is not enough: a process that comes back with slots of its former life still open in its kernel
        must not renew the lease under which they are open.
        """
        self._now_ns = now_ns
        if epoch > self.replica.enforced_epoch:
            self.replica.enforced_epoch = epoch
            self._heartbeat_soon = True
            self._settle(now_ns)

    def retire(self, names: AbstractSet[str], now_ns: int) -> None:
        """These nodes are to leave the cluster, and have given everything away: they are granted nothing any more.

        Once no lease of theirs can be running they are taken off the roster; this node itself by another leader.
        """
        self._now_ns = now_ns
        if names != self.replica.retiring:
            self.replica.retiring = frozenset(names)
            self._settle(now_ns)

    def wish_tie_breaker(self, name: str, now_ns: int) -> None:
        """`name` shall have the extra vote while the number of voters is even; "": nobody.  A roster says so then."""
        self._now_ns = now_ns
        self.replica.tie_breaker = name

    def wish_fencing(self, wished: bool, now_ns: int) -> None:
        """Of two voters, one shall count the vote of the other once that is fenced.  A roster says so then."""
        self._now_ns = now_ns
        self.replica.fencing.wished = wished

    def newest_incarnation(self, peer: str) -> int:
        """Of the processes of `peer` that this node knows of; to be read before it is fenced."""
        return self.replica.fencing.newest_incarnation(peer)

    def confirm_fenced(self, peer: str, incarnation: int, by: str, now_ns: int) -> None:
        """`peer` was without power at some time between `incarnation` being its newest process known here and now.

        `by` is the device or the person who says so.  From here on its vote counts as this node's own (`fencing`).
        Raises FencingRefusedError: nothing has changed, and the text says why; it may be tried again.
        """
        self._now_ns = now_ns
        self._notice_lateness(now_ns)
        replica = self.replica
        heard_ns = replica.membership.heard_at_ns(peer)
        if now_ns < replica.doubt_until_ns or (
            heard_ns is not None and now_ns - heard_ns <= replica.timers.loss_after_ns
        ):
            raise FencingRefusedError(f"{peer} was heard a moment ago: it counts as fenced once it is silent")
        replica.fencing.confirm(peer, incarnation, by, replica.wall_ms)
        replica.report(PeerFenced(peer, by))
        self._settle(now_ns)

    def name_cluster(self, cluster_id: str, now_ns: int) -> None:
        """Should this node lead, and the log have no id of the cluster, it is this one; "": another node knows it."""
        self._now_ns = now_ns
        self.replica.cluster_id = cluster_id

    def unenforced(self, now_ns: int) -> None:
        """My kernel holds something else than what the log says (no-quorum-policy=ignore).

        From here on no grant is taken and no own lease begins, until `enforced` says that the kernel is back at what
        was committed: rule 19 is what orders the two.
        """
        self._now_ns = now_ns
        self.replica.enforced_epoch = 0
        self._heartbeat_soon = True
        self._settle(now_ns)

    def lateness(self, late_ns: int, now_ns: int) -> None:
        """The loop was not scheduled for `late_ns`: what looks like others' silence may wait in our own sockets."""
        self._now_ns = now_ns
        timers = self.replica.timers
        if late_ns >= timers.heartbeat_ns:
            self.replica.report(WasLate(late_ns))
            doubt_until_ns = now_ns + timers.heartbeat_ns + timers.election_step_ns
            self.replica.doubt_until_ns = max(self.replica.doubt_until_ns, doubt_until_ns)

    def _notice_lateness(self, now_ns: int) -> None:
        """Before anything is concluded from what comes next: the first to come after a pause may be a datagram."""
        late_ns = now_ns - self._expected_ns
        self._expected_ns = FAR_NS
        if late_ns > self.replica.timers.heartbeat_ns:
            self.lateness(late_ns, now_ns)

    def restart(self, duration_ms: int, now_ns: int) -> None:
        """Ask for a restart lease: this process is about to end, and the next one to take over (`restarts`).

        It is asked for again until it is committed (`RestartGranted`).  The shell then writes that deadline into
        the kernel, no other any more, and ends the process; a new lease would move the deadline back.
        """
        self._now_ns = now_ns
        self._want_restart(duration_ms, now_ns)
        self._settle(now_ns)

    # --- what is to be done

    def deadline_ns(self) -> int:
        """When `tick` wants to be called, at the latest."""
        deadlines = [self._next_heartbeat_ns]
        if self.leader is not None:
            deadlines.append(self.leader.deadline_ns())
        else:
            deadlines.append(self.elections.deadline_ns(self._now_ns))
        if self._proposals_can_go and (due_ns := self.proposals.deadline_ns()) is not None:
            deadlines.append(due_ns)
        if self.replica.disk.retry_at_ns is not None:
            deadlines.append(self.replica.disk.retry_at_ns)
        self._expected_ns = max(min(deadlines), self._now_ns)  # what is overdue is not late before it was asked for
        return self._expected_ns

    def ready(self) -> Ready:
        """Everything to be done now; call it after each of the above.  What must wait for an fsync is held back."""
        replica = self.replica
        if self.leader is not None:
            self.leader.replication.flush(self._now_ns)
        ready, replica.ready = replica.ready, Ready()
        ready.sends.extend(replica.disk.released())
        ready.persist = replica.disk.next_transaction()
        ready.lease_until_ns = replica.own_lease.news()
        return ready

    # --- the log

    def _on_propose(self, sender: str, propose: Propose, now_ns: int) -> None:
        if self.leader is not None:
            for proposal in propose.proposals:
                self.leader.append_request(sender, propose.incarnation, proposal.ticket, proposal.body, now_ns)

    # --- snapshots

    @property
    def _proposals_can_go(self) -> bool:
        return len(self.proposals) > 0 and self.replica.leader is not None

    # --- after every call

    def _settle(self, now_ns: int) -> None:
        """Draw the conclusions that several causes can have."""
        if self.elections.is_won:
            self._become_leader(now_ns)
        if self._proposals_can_go:
            self._send_proposals(now_ns)
        if self.leader is not None:
            self._commit_to(self.leader.committable(), now_ns)
            self.leader.extend_own_lease(now_ns)
        if self._heartbeat_soon:
            self._send_heartbeat(now_ns)

    def _send_proposals(self, now_ns: int) -> None:
        replica = self.replica
        while proposals := self.proposals.due(now_ns):
            if self.leader is not None:
                for proposal in proposals:
                    self.leader.append_request(
                        replica.name, replica.incarnation, proposal.ticket, proposal.body, now_ns
                    )
            else:
                replica.send(replica.leader, Propose(replica.incarnation, proposals))

    def _on_dismissed(self, sender: str, dismissed: Dismissed, _now_ns: int) -> None:
        if dismissed.store_id == self.replica.suffrage.store_id:
            self.replica.report(WasDismissed(sender))
