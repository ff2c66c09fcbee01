"""Who votes (LEASES.md, rule 21): a voter is a name together with the store that holds its memory.

A store whose disk was lost has forgotten votes, and entries that it has confirmed.  Were it to vote again under its
name, it could vote twice in a term, or elect a log that lacks what was committed by its own word.  So a store earns
its vote, once, and writes that down in its hard state before it uses it:

* as a **founder**: it is blank (no term, no log) and has heard every other node of the list say, in answer to this
  very process, that it is blank, too.  A cluster is founded by all its nodes; a majority would not do: where a3 was
  never up and a2 has lost its disk, the two cannot be told from two of three new hosts, while a1 holds the log.
* or **by the log**: it knows committed that the first admission of its name records this very store.

Everybody else is a learner: it gets the log, answers rounds, is admitted, holds slots and forwards proposals, but it
neither stands nor votes, and no answer of it is counted.

Why a wiped store (W', that was W) never speaks for what W has forgotten:

1. W' as a founder.  What W has voted for or confirmed had a candidate or leader C with a term on its disk before W
   heard of it.  W' hears "blank" only from peers that have heard W', hence after W was gone.  C is not blank then,
   unless it was wiped as well, and so must have been everybody who elected C: a majority of disks, the log itself.
   Until it has a term a founder goes on saying that it is blank, so that all of them can become founders; nobody gets
   a term before a majority has its right to vote on disk, so that the founding cannot strand half-way.
2. W' by the log.  If W was ever admitted, the record is W's, and W' remains a learner for good.  If it was not,
   the record of W' was committed by a majority without W' (it says itself that it does not vote yet).  Leaders up to
   there were elected without W', so the log before the record has all that W helped to commit, and W' votes only
   for logs that have the record.  A candidate of a higher term for which W has voted cannot win: its log, older than
   the record, is refused by some voter of every majority, or that voter refuses the record's commit.
3. A candidate or leader that knows nothing of a record asks W': it is W' that refuses, by its own hard state.  And
   nobody can take an answer of W' for one of W: W' talks only with those who have heard its own heartbeat
   (`membership`), and that says which store it is and whether it votes.
4. Answers of W that arrive after its end were true when they were given, and W' never contradicts them; at worst an
   entry counts as on a disk that is gone: it is harder to elect somebody then, never wrong.
5. Two wiped nodes: neither votes, whatever they say to each other.  If no majority of voters is left, there is no
   leader: that is what was lost, and no silence may hide it.

What was lost stays lost in this version: removing the voter and adding it again is membership change, of a later one.
A lost disk that is found again and put back is the recorded store, and votes.
"""

from __future__ import annotations

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.disk import Disk
from daemon.cluster.core.effects import Event, StoreLost, WaitsForFounders
from daemon.cluster.core.log import Log
from daemon.cluster.core.membership import Membership, Peer


class Suffrage:
    def __init__(
        self, name: str, store_id: str, log: Log, disk: Disk, admissions: Admissions, membership: Membership
    ) -> None:
        self.name = name
        self.store_id = store_id
        self._log = log
        self._disk = disk
        self._admissions = admissions
        self._membership = membership
        self._told_lost: set[tuple[str, str]] = set()
        self._told_missing: tuple[str, ...] = ()

    # --- of this process

    @property
    def is_blank(self) -> bool:
        """It has never voted nor confirmed anything; while that is so, it says so."""
        return self._disk.hard_state.term == 0 and self._log.last_index == 0

    @property
    def votes(self) -> bool:
        """Whether this process votes and stands: the right is on its disk, and its log gives it to no other store."""
        return self._disk.may_vote and self._is_recorded(self.name, self.store_id)

    @property
    def store_is_lost(self) -> bool:
        """Whether the log says that another store votes under this node's name."""
        return not self._is_recorded(self.name, self.store_id)

    def found(self) -> None:
        """Become a founder, where everybody is blank."""
        blank = self.is_blank and all(peer.fresh and peer.blank for peer in self._membership.peers.values())
        if blank and self._disk.hard_state.votes is False:
            self._disk.give_vote()

    def recorded(self) -> None:
        """Entries were committed: perhaps the record of this store."""
        if self._disk.hard_state.votes is False and self._admissions.recorded.get(self.name) == self.store_id:
            self._disk.give_vote()

    def missing_founders(self) -> tuple[str, ...]:
        """Whom a new cluster waits for; nobody where this process votes or there is a cluster already."""
        peers = self._membership.peers.values()
        founded = not self.is_blank or any(peer.fresh and not peer.blank for peer in peers)
        if self._disk.hard_state.votes or founded:
            return ()
        return tuple(peer.name for peer in peers if not peer.fresh)

    def news(self, bound: bool) -> list[Event]:
        """What people should know, once each; `bound`: this process has only just started, peers may still come."""
        stores = {peer.name: peer.store_id for peer in self._membership.peers.values() if peer.ever_heard}
        stores[self.name] = self.store_id
        lost = {(name, store) for name, store in stores.items() if not self._is_recorded(name, store)}
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
        if name == self.name:
            return self.votes
        peer = self._membership.peers.get(name)
        return peer is not None and peer.votes and self._is_recorded(name, peer.store_id)

    def has_lost_its_store(self, peer: Peer) -> bool:
        return peer.ever_heard and not self._is_recorded(peer.name, peer.store_id)

    def _is_recorded(self, name: str, store_id: str) -> bool:
        """Nobody else is; "" is a store of a version that did not tell."""
        return not store_id or self._admissions.recorded_in_tail.get(name, store_id) == store_id
