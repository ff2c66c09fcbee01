"""Who votes (LEASES.md, rule 21): a voter is a name together with the store that holds its memory.

A store whose disk was lost has forgotten votes, and entries that it has confirmed.  Were it to vote again under its
name, it could vote twice in a term, or elect a log that lacks what was committed by its own word.

**With a Roster in the log** this is simple: it names each voter's store.  Everybody answers who asks for a vote, as
in Raft, also who does not find himself or the candidate on his own roster: that may be an old one.  Whoever *counts*
takes the answers of those (name, store) that vote by his own roster.  A node that comes with another store than the
roster has is made a learner with that one, and promoted once it has caught up: another voter, that has promised nothing
yet.  Nobody takes an answer of the one for an answer of the other: they talk only with those who have heard their own
heartbeat (`membership`), and that says which store it is.

**Before the first Roster** nobody has said which stores vote.  A store earns its vote, once, and writes that down in
its hard state before it uses it:

* as a **founder**: it is blank (no term, no log) and has heard every other voter of the list say, in answer to this
  very process, that it is blank, too.  A cluster is founded by all its voters; a majority would not do: where a3 was
  never up and a2 has lost its disk, the two cannot be told from two of three new hosts, while a1 holds the log.
* or **by the log**: it knows committed that the first admission of its name records this very store.

Why a wiped store (W', that was W) never speaks for what W has forgotten, as long as there is no Roster:

1. W' as a founder.  What W has voted for or confirmed had a candidate or leader C with a term on its disk before W
   heard of it.  W' hears "blank" only from peers that have heard W', hence after W was gone.  C is not blank then,
   unless it was wiped as well, and so must have been everybody who elected C: a majority of disks, the log itself.
   Until it has a term a founder goes on saying that it is blank, so that all of them can become founders; nobody gets
   a term before a majority has its right to vote on disk, so that the founding cannot strand half-way.
2. W' by the log.  If W was ever admitted, the record is W's, and W' is not counted.  If it was not, the record of W'
   was committed by a majority without W' (it says itself that it does not vote yet).  Leaders up to there were
   elected without W', so the log before the record has all that W helped to commit, and W' votes only for logs that
   have the record.
3. A candidate or leader that knows nothing of a record asks W': it is W' that refuses, by its own hard state.
4. Answers of W that arrive after its end were true when they were given, and W' never contradicts them; at worst an
   entry counts as on a disk that is gone: it is harder to elect somebody then, never wrong.
5. All founders wiped, where others have joined since: their founding would make a second cluster.  They refuse as soon
   as they hear one who is not blank; but who hears nobody cannot know.  So many disks must not be lost at once without
   an administrator: he lets those hosts join (`vipcast cluster join`) instead of founding.
6. Two wiped nodes: neither votes, whatever they say to each other.  If no majority of voters is left, there is no
   leader: that is what was lost, and no silence may hide it.

The first Roster is written when all voters of the founding list are recorded (`steward`), so that it names the store of
each.  A lost disk that is found again and put back bears votes and entries that are still true; it is another store
than the roster's by then, and learns first like any other.
"""

from __future__ import annotations

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import Event, StoreLost, WaitsForFounders
from daemon.cluster.core.log import Log
from daemon.cluster.core.membership import Membership, Peer
from daemon.cluster.core.rosters import Rosters, member_of
from daemon.cluster.records import Roster


class Suffrage:
    def __init__(
        self,
        name: str,
        store_id: str,
        log: Log,
        disk: Disk,
        admissions: Admissions,
        membership: Membership,
        rosters: Rosters,
    ) -> None:
        self.name = name
        self.store_id = store_id
        self._log = log
        self._disk = disk
        self._admissions = admissions
        self._membership = membership
        self._rosters = rosters
        self._told_lost: set[tuple[str, str]] = set()
        self._told_missing: tuple[str, ...] = ()

    # --- of this process

    @property
    def is_blank(self) -> bool:
        """It has never voted nor confirmed anything; while that is so, it says so."""
        return self._disk.hard_state.term == 0 and self._log.last_index == 0

    @property
    def votes(self) -> bool:
        """Whether this process answers those who ask for votes: on the founding list its right must be on its disk."""
        if self._rosters.is_explicit:
            return True
        return self._disk.may_vote and self._is_on_list(self.name) and self._is_recorded(self.name, self.store_id)

    @property
    def stands(self) -> bool:
        """Whether this process may be elected.

        Also while the roster that takes its vote is not known to be committed (Raft, 4.2.2): of those who are left,
        perhaps it alone has that roster.  It would then refuse the others for their shorter logs, and they could do
        nothing without it.  It is elected by those whom that roster names, without a vote of its own.
        """
        return self.counts(self.name) or self._votes_by(self._rosters.fallback)

    def _votes_by(self, roster: Roster | None) -> bool:
        member = None if roster is None else member_of(roster, self.name)
        if member is None or not member.votes:
            return False
        if member.store_id:
            return self.store_id == member.store_id
        return self._disk.may_vote and self._is_recorded(self.name, self.store_id)

    @property
    def store_is_lost(self) -> bool:
        """Whether the log says that another store belongs to this node's name."""
        return not self._is_known(self.name, self.store_id)

    def found(self) -> None:
        """Become a founder, where all voters of the founding list are blank."""
        if not self.is_blank or self._disk.hard_state.votes is not False or not self._is_on_list(self.name):
            return
        if any(peer.ever_heard and not peer.blank for peer in self._membership.peers.values()):
            return  # there is a cluster, which may have outgrown its founders long ago
        if all(peer.fresh and peer.blank for peer in self._other_founders()):
            self._disk.give_vote()

    def _other_founders(self) -> list[Peer]:
        voters = self._rosters.electorate.voters - {self.name}
        return [peer for name, peer in self._membership.peers.items() if name in voters]

    def recorded(self) -> None:
        """Entries were committed: perhaps the record of this store."""
        if self._disk.hard_state.votes is False and self._admissions.recorded.get(self.name) == self.store_id:
            self._disk.give_vote()

    def missing_founders(self) -> tuple[str, ...]:
        """Whom a new cluster waits for; nobody where this process votes or there is a cluster already."""
        founded = not self.is_blank or any(
            peer.fresh and not peer.blank for peer in self._membership.peers.values()
        )
        if self._disk.hard_state.votes or founded:
            return ()
        return tuple(peer.name for peer in self._other_founders() if not peer.fresh)

    def news(self, bound: bool) -> list[Event]:
        """What people should know, once each; `bound`: this process has only just started, peers may still come."""
        stores = {peer.name: peer.store_id for peer in self._membership.peers.values() if peer.ever_heard}
        stores[self.name] = self.store_id
        lost = {(name, store) for name, store in stores.items() if not self._is_known(name, store)}
        events: list[Event] = [StoreLost(name) for name, _ in sorted(lost - self._told_lost)]
        self._told_lost |= lost
        missing = () if bound else self.missing_founders()
        if missing and missing != self._told_missing:
            events.append(WaitsForFounders(missing))
            self._told_missing = missing
        return events

    # --- of anybody

    def counts(self, name: str) -> bool:
        """Whether what `name` answers counts for elections, leadership leases and commits."""
        member = self._rosters.member(name)
        if member is None or not member.votes:
            return False
        if name == self.name:
            return self.store_id == member.store_id if member.store_id else self.votes
        peer = self._membership.peers.get(name)
        if peer is None:
            return False
        if member.store_id:
            return peer.store_id == member.store_id
        return peer.votes and self._is_recorded(name, peer.store_id)

    def has_lost_its_store(self, peer: Peer) -> bool:
        return peer.ever_heard and not self._is_known(peer.name, peer.store_id)

    def _is_on_list(self, name: str) -> bool:
        return name in self._rosters.electorate.voters

    def _is_known(self, name: str, store_id: str) -> bool:
        """Whether this is the store that belongs to the name, as far as the log says."""
        member = self._rosters.member(name)
        if member is not None and member.store_id:
            return not store_id or store_id == member.store_id
        return member is None or self._is_recorded(name, store_id)

    def _is_recorded(self, name: str, store_id: str) -> bool:
        """Nobody else is; "" is a store of a version that did not tell."""
        return not store_id or self._admissions.recorded_in_tail.get(name, store_id) == store_id
