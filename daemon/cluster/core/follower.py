"""Following a leader: its rounds answered, its entries taken, conflicts cut away (Raft, 5.3)."""

from __future__ import annotations

from itertools import pairwise

from daemon.cluster.core.effects import Refused, SnapshotComes, TwoHistories
from daemon.cluster.core.reception import Reception, unsoundness
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.snapshot import Snapshot
from daemon.cluster.messages import Append, AppendAnswer, SnapshotPiece


class Follower:
    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._leader: str | None = None
        """whose Append was taken last, and in which term: kept after that leadership has ended (rule 18)"""
        self._term = 0
        self._since_ns = 0
        self._heard_ns = 0
        self._verified = 0
        """up to here the log in memory is this leader's log"""
        self._told = 0
        """highest match that this leader was told"""
        self._round = 0
        self._quorate = False
        self._owes_answer = False
        self.reception: Reception | None = None
        """a snapshot of which some pieces are here; it outlives the leader that has begun to send it"""
        self._snapshot_from: str | None = None
        self._told_two_histories = False

    def on_append(self, sender: str, append: Append, now_ns: int) -> int:
        """Take an Append of the current term; returns what may be committed after it."""
        replica = self.replica
        if (self._leader, self._term) != (sender, append.term):
            self._leader, self._term, self._since_ns = sender, append.term, now_ns
            self._verified = self._told = self._round = 0
        self._heard_ns = now_ns
        self._quorate = append.quorate
        self._promise(now_ns)
        if not self._is_sound(append):
            replica.report(Refused("Append", sender, "its entries have gaps or falling terms"))
            return replica.commit
        self._round = max(self._round, append.round)
        want = self._take(append)
        self._answer(append.round, want)
        commit = min(append.commit, self._verified)
        if self.reception is not None and self.reception.index <= commit:
            self.reception = None  # the entries were to be had after all
        return commit

    def _promise(self, now_ns: int) -> None:
        """Rule 2; and a log append counts: an answer to it may carry the leadership lease."""
        self.replica.promise.renew(now_ns)

    def _is_sound(self, append: Append) -> bool:
        numbers = [(append.prev_index, append.prev_term)]
        numbers += [(entry.index, entry.term) for entry in append.entries]
        steps = all(b[0] == a[0] + 1 and b[1] >= a[1] for a, b in pairwise(numbers))
        return append.prev_index >= 0 and steps and numbers[-1][1] <= append.term

    def _take(self, append: Append) -> int:
        """Make the log what the leader's is; returns the index that is missing, 0 where nothing is."""
        replica, log = self.replica, self.replica.log
        if append.prev_index > log.last_index:
            return log.last_index + 1
        # What a snapshot stands for is committed, hence the same in the log of whoever leads: nothing to compare.
        gone = append.prev_index < log.base.index
        if not gone and log.term_at(append.prev_index) != append.prev_term:
            if append.prev_index <= replica.commit:
                self._note_two_histories(append.prev_index)
            return max(replica.commit + 1, log.first_of_term_at(append.prev_index))
        for entry in append.entries:
            if entry.index <= log.base.index or log.term_at(entry.index) == entry.term:
                continue
            if entry.index <= replica.commit:
                self._note_two_histories(entry.index)
                return replica.commit + 1
            if entry.index <= log.last_index:
                replica.truncate_from(entry.index)  # an earlier leader's, never committed
            replica.append(entry)
        self._verified = max(self._verified, append.prev_index + len(append.entries))
        return 0

    def _note_two_histories(self, index: int) -> None:
        """No fault makes them, but a wrong word about a host's power (`fencing`): here nothing is deleted for it."""
        if not self._told_two_histories and self._leader is not None:
            self._told_two_histories = True
            self.replica.report(TwoHistories(self._leader, index))

    def _answer(self, number: int, want: int) -> None:
        """At once (rule 8); entries that the disk does not hold yet are confirmed by `on_stable`."""
        replica = self.replica
        if not replica.disk.hard_state_is_stable:
            self._owes_answer = True  # rule 7: it would reveal a term that a power cut could undo
            return
        self._owes_answer = False
        self._told = self._confirmed()
        replica.send(self._leader, AppendAnswer(self._term, number, self._told, want))

    # --- a snapshot, where the leader lacks the entries that this node lacks

    def on_piece(self, sender: str, piece: SnapshotPiece) -> Snapshot | None:
        """Take a piece from the leader of the current term; the snapshot, once it is whole and sound."""
        replica = self.replica
        if piece.index <= replica.commit:
            return None  # sent before our answer had arrived
        if (problem := unsoundness(piece)) is not None:
            replica.report(Refused("SnapshotPiece", sender, problem))
            return None
        reception = self.reception
        if reception is None or not reception.belongs(piece):
            if reception is not None and reception.mark == piece.also:
                if piece.asks:  # this leader has the one that we have a part of: rather that
                    replica.send(sender, reception.answer(piece.term))
                return None
            reception = self.reception = Reception(piece)
            self._snapshot_from = None
        if self._snapshot_from != sender:
            self._snapshot_from = sender
            replica.report(SnapshotComes(sender, reception.index, reception.size, reception.held_bytes))
        if reception.add(piece):
            replica.send(sender, reception.answer(piece.term))
        return self._whole(reception, sender) if reception.is_complete else None

    def _whole(self, reception: Reception, sender: str) -> Snapshot | None:
        self.reception = None
        try:
            return reception.snapshot()
        except ValueError as error:
            self.replica.report(Refused("snapshot", sender, str(error)))
            return None

    def has_restored(self, index: int) -> None:
        """The log up to `index` is this leader's: the snapshot says so.  Ask for what follows it at once."""
        self._verified = max(self._verified, index)
        self._answer(self._round, self.replica.log.last_index + 1)

    def _confirmed(self) -> int:
        """What a majority of disks is counted by: verified, and stable here (rule 7)."""
        return min(self._verified, self.replica.disk.stable_index)

    def on_stable(self) -> None:
        """An fsync is over: tell the leader what it could not be told before."""
        follows = self._leader is not None and (self._leader, self._term) == (
            self.replica.leader,
            self.replica.term,
        )
        if follows and (self._owes_answer or self._confirmed() > self._told):
            self._answer(self._round, 0)

    def is_quorate(self, now_ns: int) -> bool:
        """Whether the leader leads as far as this node can know: its newest word still holds."""
        return self._quorate and now_ns - self._heard_ns <= self.replica.timers.promise_ns

    def expired_leader(self, now_ns: int) -> str | None:
        """Rule 18: whom a node that has just won an election may declare lost at once, if it stays unheard.

        The leader of exactly the term before, followed for longer than any lease that an earlier leader can have
        granted it: all that it can hold is its leadership lease, and that is over, or there would be no election.
        """
        timers = self.replica.timers
        standing = self.replica.admissions.tail.get(self._leader or "")
        slack_ns = timers.slack_over_after_ns(standing.slack_ms if standing is not None else 0)
        long_enough = now_ns - self._since_ns > timers.loss_after_ns + slack_ns
        previous = self._term == self.replica.term - 1
        return self._leader if previous and long_enough and self._leader != self.replica.name else None
