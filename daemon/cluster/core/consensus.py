"""Terms, roles and the log: Raft as this node takes part in it, with its promises (rules 1 to 10).

A base of `core.Core`, which is what others drive.
"""

from __future__ import annotations

from daemon.cluster.core.commits import Commits
from daemon.cluster.core.effects import (
    BecameLeader,
    FollowsLeader,
    LostLeadership,
    Refused,
    Role,
    SnapshotRestored,
)
from daemon.cluster.core.elections import Elections
from daemon.cluster.core.follower import Follower
from daemon.cluster.core.leader import Leader
from daemon.cluster.core.proposals import Proposals
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.snapshot import Snapshot
from daemon.cluster.messages import (
    Append,
    AppendAnswer,
    Reject,
    SnapshotAnswer,
    SnapshotPiece,
    Transfer,
    Vote,
    VoteAnswer,
)


class Consensus:
    commits: Commits

    def __init__(self, replica: Replica, now_ns: int) -> None:
        self.replica = replica
        self.elections = self._new_elections()
        self.follower = self._new_follower()
        self.leader: Leader | None = None
        self.proposals = Proposals(repeat_ns=2 * replica.timers.heartbeat_ns)
        self._now_ns = now_ns

    # --- terms and roles

    def _adopt(self, term: int, why: str, now_ns: int) -> None:
        """A higher term exists: whatever this node was, it is a follower of it."""
        self._step_down(why, now_ns)
        self.replica.disk.set_hard_state(term, None)
        self.replica.leader = None

    def _step_down(self, why: str, now_ns: int) -> None:
        """The promise stays (rule 3), and so does what remains of the own lease."""
        self.elections.step_down()
        if self.leader is not None:
            self.replica.report(LostLeadership(self.leader.term, why))
            self.leader = None
            self.replica.leader = None
            self.proposals.repeat_now(now_ns)

    def _abdicate(self, why: str, now_ns: int) -> None:
        if self.leader is not None:
            self._step_down(why, now_ns)
            self.elections.rest(self.replica.promise.until_ns + self.replica.timers.lease_ns)

    def _become_leader(self, now_ns: int) -> None:
        replica = self.replica
        expired = None if self.elections.by_transfer else self.follower.expired_leader(now_ns)
        self.elections.role = Role.LEADER
        replica.leader = replica.name
        replica.report(BecameLeader(replica.term))
        self.leader = self._new_leader(expired, now_ns)
        self.proposals.repeat_now(now_ns)

    def _new_elections(self) -> Elections:
        return Elections(self.replica)

    def _new_follower(self) -> Follower:
        return Follower(self.replica)

    def _new_leader(self, expired: str | None, now_ns: int) -> Leader:
        return Leader(self.replica, expired, now_ns)

    def _tick_leader(self, leader: Leader, now_ns: int) -> None:
        if leader.is_deposed(now_ns):
            self._step_down("no majority answers", now_ns)
        elif leader.commit_is_overdue(now_ns):
            self._abdicate("its entries are not committed in time", now_ns)
        else:
            if now_ns >= leader.next_round_ns:
                leader.begin_round(now_ns)
            leader.sendings.tick(now_ns)
            leader.declare(now_ns)
            if (successor := leader.stewardship.successor(now_ns)) is not None:
                self.transfer(successor, now_ns)

    def transfer(self, to: str, now_ns: int) -> bool:
        """Hand leadership to `to`, for a planned stop; False where this node does not lead or `to` lacks entries.

        Rule 10: this node's leadership is over before the transfer is sent, so it grants nothing any more in its
        term; its own lease runs out by itself.
        """
        self._now_ns = now_ns
        leader = self.leader
        if leader is None or to not in leader.replication.progress or not self.replica.suffrage.counts(to):
            return False
        if to in self.replica.fencing.counted:
            return False  # it is elected by nobody before it is admitted again
        if leader.replication.progress[to].match < self.replica.log.last_index:
            return False
        self._abdicate(f"it hands over to {to}", now_ns)
        self.replica.send(to, Transfer(leader.term))
        return True

    def _on_reject(self, sender: str, reject: Reject, now_ns: int) -> None:
        if reject.term > self.replica.term:
            self._adopt(reject.term, f"{sender} is in term {reject.term}", now_ns)

    def _on_vote(self, sender: str, question: Vote, now_ns: int) -> None:
        replica = self.replica
        if question.term < replica.term:
            replica.send(sender, Reject(replica.term))
            return
        if question.term > replica.term:
            if not self.elections.would_hear(sender, question, now_ns):
                replica.send(sender, VoteAnswer(question.term, False))
                return
            self._adopt(question.term, f"{sender} stands in term {question.term}", now_ns)
        self.elections.on_vote(sender, question, now_ns)

    def _on_vote_answer(self, sender: str, answer: VoteAnswer, _now_ns: int) -> None:
        self.elections.on_vote_answer(sender, answer)

    # --- the log

    def _on_append(self, sender: str, append: Append, now_ns: int) -> None:
        if self._follows("Append", sender, append.term, now_ns):
            commit = self.follower.on_append(sender, append, now_ns)
            self._commit_to(commit, now_ns)

    def _follows(self, what: str, sender: str, term: int, now_ns: int) -> bool:
        """Whether this node follows the sender, now that the sender says that it leads that term."""
        replica = self.replica
        if term < replica.term:
            replica.send(sender, Reject(replica.term))
            return False
        if term > replica.term:
            self._adopt(term, f"{sender} leads term {term}", now_ns)
        if self.leader is not None:
            replica.report(Refused(what, sender, f"this node leads term {term} itself"))
            return False
        if replica.leader not in (None, sender):
            # A term has one leader.  Were there two by some mistake, whoever followed both would carry both leases; who
            # stays with the first lets one of them commit at most.
            replica.report(Refused(what, sender, f"{replica.leader} leads term {term}"))
            return False
        self.elections.step_down()
        replica.fencing.follows(sender)
        if replica.leader != sender:
            replica.leader = sender
            replica.report(FollowsLeader(sender, term))
            self.proposals.repeat_now(now_ns)
        return True

    def _on_append_answer(self, sender: str, answer: AppendAnswer, now_ns: int) -> None:
        if answer.term > self.replica.term:
            self._adopt(answer.term, f"{sender} is in term {answer.term}", now_ns)
        elif self.leader is not None and answer.term == self.replica.term:
            led = self.leader.rounds.lead(now_ns)
            self.leader.answered(sender, answer, now_ns)
            if not led:
                self.leader.grant_all(now_ns)

    def _commit_to(self, index: int, now_ns: int) -> None:
        if not self.commits.advance(index):
            return
        self._tell_news(now_ns)
        if self.leader is not None:
            self.leader.committed()
            self.leader.grant_all(now_ns)
            self.leader.declare(now_ns)

    def _tell_news(self, now_ns: int) -> None:
        """Of stores and founders: it goes through all peers, so not with every message."""
        self.replica.ready.events += self.replica.suffrage.news(self.replica.promise.binds(now_ns))

    # --- snapshots

    def snapshot_due(self, index: int) -> bool:
        """Whether the state is to be frozen as it is after the committed entry `index`, for `snapshot`."""
        return self.commits.snapshot_due(index)

    def snapshot(self, index: int, body: bytes, digest: bytes, now_ns: int) -> None:
        """`State.freeze()` as of entry `index`, and its `snapshot.digest_of`; it may come a while after that entry."""
        self._now_ns = now_ns
        self.commits.snapshot(index, body, digest)

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Those that are kept, by index; the log goes back to the first of them."""
        return self.replica.compaction.kept

    def _on_snapshot_piece(self, sender: str, piece: SnapshotPiece, now_ns: int) -> None:
        if not self._follows("SnapshotPiece", sender, piece.term, now_ns):
            return
        snapshot = self.follower.on_piece(sender, piece)
        if snapshot is None:
            return
        if self.replica.log.term_at(snapshot.index) == snapshot.head.term:
            self._commit_to(snapshot.index, now_ns)  # the entries have come some other way
        else:
            self.commits.restore(snapshot)
            self.replica.report(SnapshotRestored(sender, snapshot.index, snapshot.size_bytes))
        self.follower.has_restored(snapshot.index)

    def _on_snapshot_answer(self, sender: str, answer: SnapshotAnswer, now_ns: int) -> None:
        if self.leader is not None and answer.term == self.replica.term:
            self.leader.sendings.answered(sender, answer, now_ns)
