"""Elections, up to the moment when one is won.

Theory of operation.  A follower whose promise has run out asks everyone whether it would be elected (pre-vote,
which changes nothing); with a majority of yeses it raises its term, votes for itself and asks for votes.
Succession needs no dice: everyone hears everyone's heartbeats, so the live follower of the lowest rank stands as
soon as its promise allows, the next one a step later, and so on.  Randomness is left for the case that candidates
collide.

    FOLLOWER --(promise over, my turn)--> PRECANDIDATE --(majority would)--> CANDIDATE --(majority did)--> leader
        ^            refused: the answer says how long to wait |                  | no majority in time
        +------------------------------------------------------+------------------+
"""

from __future__ import annotations

from daemon.cluster.core import quorum
from daemon.cluster.core.effects import Role
from daemon.cluster.core.replica import Replica
from daemon.cluster.messages import PreVote, PreVoteAnswer, Reject, Transfer, Vote, VoteAnswer

FAR_NS = 1 << 62
"""later than anything"""


class Elections:
    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.role = Role.FOLLOWER
        self.by_transfer = False
        """the election that is under way was asked for by the leader itself (rule 10)"""
        self._waits: dict[str, int] = {}
        """pre-vote: voter → from when on it would vote for us, on our clock; those who never would are missing"""
        self._votes: set[str] = set()
        self._give_up_ns = FAR_NS
        self._not_before_ns = 0
        """after a failed attempt, or to let another one try"""

    # --- standing

    def tick(self, now_ns: int) -> None:
        if self.role is not Role.FOLLOWER and now_ns >= self._give_up_ns:
            self._give_up(now_ns)
        if self.role is Role.FOLLOWER and now_ns >= self.stand_at_ns(now_ns):
            self._ask(now_ns)

    def stand_at_ns(self, now_ns: int) -> int:
        """When it is this follower's turn; FAR_NS while it could not win or not write its vote down."""
        membership, suffrage = self.replica.membership, self.replica.suffrage
        if not suffrage.stands or self.replica.disk.refusing:
            return FAR_NS
        voters = (membership.peers.get(name) for name in self.replica.electorate.voters)
        live = [p for p in voters if p is not None and membership.live(p, now_ns) and suffrage.counts(p.name)]
        present = {self.replica.name, *(peer.name for peer in live), *self.replica.fencing.counted}
        if not quorum.is_quorum(present, self.replica.electorate):
            return FAR_NS
        before_me = sum(peer.rank < membership.rank for peer in live if peer.name != self.replica.leader)
        if membership.slack_ms:
            # after all who are scheduled in time: a leader has less time to spare than anybody
            before_me += len(self.replica.electorate.voters)
        turn_ns = self._promise_end_ns() + before_me * self.replica.timers.election_step_ns
        return max(turn_ns, self._not_before_ns, self.replica.doubt_until_ns)

    def _promise_end_ns(self) -> int:
        return self.replica.promise.until_ns

    def deadline_ns(self, now_ns: int) -> int:
        return self.stand_at_ns(now_ns) if self.role is Role.FOLLOWER else self._give_up_ns

    def _ask(self, now_ns: int) -> None:
        replica = self.replica
        self.role = Role.PRECANDIDATE
        self._waits = {replica.name: now_ns}
        self._give_up_ns = now_ns + replica.timers.election_ns
        replica.send(None, PreVote(replica.term + 1, replica.log.last_index, replica.log.last_term))
        self._count_pre_votes(now_ns)

    def on_pre_vote_answer(self, sender: str, answer: PreVoteAnswer, now_ns: int) -> None:
        if self.role is not Role.PRECANDIDATE or answer.term != self.replica.term + 1:
            return
        if not self.replica.suffrage.counts(sender):
            return
        if answer.granted or answer.wait_ns >= 0:
            self._waits[sender] = now_ns + answer.wait_ns
        self._count_pre_votes(now_ns)

    def _count_pre_votes(self, now_ns: int) -> None:
        """Rule 8: a refusal says how long to wait, so that nobody waits longer than the last promise lasts."""
        soonest_ns = self._soonest_ns()
        if soonest_ns is None:
            return
        if soonest_ns <= now_ns:
            self._campaign(now_ns)
        else:
            self._give_up_ns = min(self._give_up_ns, soonest_ns)

    def _soonest_ns(self) -> int | None:
        """From when on a quorum would vote for us; of a fenced peer nothing stands in the way."""
        waits = self._waits | dict.fromkeys(self.replica.fencing.counted, 0)
        return quorum.soonest(waits, self.replica.electorate)

    def _give_up(self, now_ns: int) -> None:
        told_to_wait = self.role is Role.PRECANDIDATE and self._soonest_ns() is not None
        self.step_down()
        self._not_before_ns = now_ns if told_to_wait else now_ns + self._random_step_ns()

    def _campaign(self, now_ns: int, by_transfer: bool = False) -> None:
        replica = self.replica
        self.role = Role.CANDIDATE
        self.by_transfer = by_transfer
        replica.disk.set_hard_state(replica.term + 1, replica.name)
        replica.leader = None
        self._votes = set()
        self._give_up_ns = now_ns + replica.timers.election_ns + self._random_step_ns()
        # Rule 7, and more: were the question to leave before the fsync, a crash could make this node ask again in
        # the same term with a shorter log, and count the answers to its first question.
        vote = Vote(replica.term, replica.log.last_index, replica.log.last_term, by_transfer)
        replica.send_when_stable(None, vote)

    def on_stable(self) -> None:
        """Own votes count once they are on disk, like everybody's."""
        if self.role is Role.CANDIDATE and self.replica.disk.hard_state_is_stable:
            self._votes.add(self.replica.name)

    def on_vote_answer(self, sender: str, answer: VoteAnswer) -> None:
        if not self.replica.suffrage.counts(sender):
            return
        if self.role is Role.CANDIDATE and answer.term == self.replica.term and answer.granted:
            self._votes.add(sender)

    @property
    def votes(self) -> frozenset[str]:
        """Whose votes count for this candidate, in its term."""
        return frozenset(self._votes) if self.role is Role.CANDIDATE else frozenset()

    @property
    def is_won(self) -> bool:
        own = self.replica.name in self._votes
        votes = self._votes | self.replica.fencing.counted
        return self.role is Role.CANDIDATE and own and quorum.is_quorum(votes, self.replica.electorate)

    def on_transfer(self, sender: str, transfer: Transfer, now_ns: int) -> None:
        """Rule 10: the leader has stopped granting, so nobody's promise to it is needed any more."""
        if self.role is Role.LEADER or self.replica.disk.refusing or not self.replica.suffrage.stands:
            return
        if transfer.term == self.replica.term and sender == self.replica.leader:
            self._campaign(now_ns, by_transfer=True)

    # --- being asked

    def on_pre_vote(self, sender: str, question: PreVote, now_ns: int) -> None:
        replica = self.replica
        if question.term <= replica.term:
            replica.send(sender, Reject(replica.term))
            return
        if not self._may_elect(sender) or not replica.log.up_to_date(question.last_index, question.last_term):
            replica.send(sender, PreVoteAnswer(question.term, False, -1))
        elif (wait_ns := self._unwilling_for_ns(now_ns)) > 0:
            replica.send(sender, PreVoteAnswer(question.term, False, wait_ns))
        else:
            self._not_before_ns = max(self._not_before_ns, now_ns + replica.timers.election_step_ns)
            replica.send(sender, PreVoteAnswer(question.term, True, 0))

    def _unwilling_for_ns(self, now_ns: int) -> int:
        """How long this voter is bound by a promise (rules 2 to 5)."""
        return max(0, self.replica.promise.until_ns - now_ns)

    def on_vote(self, sender: str, question: Vote, now_ns: int) -> None:
        """The term has been looked at by the core; this one is at least ours."""
        replica = self.replica
        willing = question.transfer or self._unwilling_for_ns(now_ns) == 0
        if (
            self._is_free_for(sender)
            and willing
            and not replica.disk.refusing
            and self._may_elect(sender)
            and replica.log.up_to_date(question.last_index, question.last_term)
        ):
            self.step_down()
            replica.disk.set_hard_state(replica.term, sender)
            self._not_before_ns = max(self._not_before_ns, now_ns + replica.timers.election_ns)
            replica.send_when_stable(sender, VoteAnswer(question.term, True))
        else:
            replica.send(sender, VoteAnswer(question.term, False))

    def _may_elect(self, candidate: str) -> bool:
        """Whether this node votes, and not with the vote of that very candidate (`fencing`)."""
        return self.replica.suffrage.votes and candidate not in self.replica.fencing.counted

    def _is_free_for(self, candidate: str) -> bool:
        """One vote a term."""
        return self.replica.voted_for in (None, candidate)

    def would_hear(self, sender: str, question: Vote, now_ns: int) -> bool:
        """Whether a call for votes of a higher term may move this voter into that term (rule 2)."""
        if not self._may_elect(sender):
            return False
        return question.transfer or self._unwilling_for_ns(now_ns) == 0

    # --- back to being a follower

    def step_down(self) -> None:
        self.role = Role.FOLLOWER
        self._give_up_ns = FAR_NS

    def rest(self, until_ns: int) -> None:
        """Let others go first."""
        self._not_before_ns = max(self._not_before_ns, until_ns)

    def _random_step_ns(self) -> int:
        timers = self.replica.timers
        voters = len(self.replica.electorate.voters)
        return int(timers.election_step_ns * (0.5 + self.replica.random.random() * voters))
