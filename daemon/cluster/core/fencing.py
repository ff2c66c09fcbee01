"""Confirmed fencing counted as the peer's vote (LEASES.md, Policies; docs/decisions/0015-confirmed-fencing.md).

Of two voters both must confirm what is committed.  Once one of them, P, is known to be without power, the other one,
F, may count P's vote for itself.  The danger is P coming back with an old log while F dies: were P to fence F and
count F's vote, it would lead without what F has committed alone.  What keeps that from happening:

* **Who may count.**  Only a host whose log says that this very kernel boot was admitted (`Admit` with its boot id).
  The log before that entry is what the other one had when it stopped counting, and whatever came later needed this
  host's own confirmation.  Who has been without power waits for the other one, as with wait-for-all.
* **Until when.**  From the append of an Admit of P on, committed or not, P's own word is needed again.  So both
  never count at the same time: P needs that entry, and F stops as it writes it.
* **No votes for P** from whoever counts P's vote: elected it could admit itself while F goes on counting.
* **Only two, and only by agreement.**  A roster says that fencing counts (`Roster.fencing`).  It follows one with the
  same electorate that was committed, and before the electorate changes another one takes it back, on both disks.  Else
  F could add a vote, or take P's, and commit with the new electorate what P has never heard of, while P counts by the
  old one.
* **Not beyond this process.**  An Admit of P may be on its way that this disk does not hold yet.  After a restart the
  peer is fenced, or confirmed to be off, once more.

A word that was wrong is found out when a process of P is heard that ran before it: by its incarnation, or by the boot
id of its kernel.  The count ends, and so does the leadership.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.core.admissions import Admissions
from daemon.cluster.core.membership import Membership, Peer
from daemon.cluster.core.quorum import Electorate
from daemon.cluster.core.rosters import Rosters
from daemon.cluster.records import Admit, LogEntry, Roster


class FencingRefusedError(Exception):
    """The vote of that node cannot be counted; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    peer: str
    by: str
    """the device or the person whose word it is"""
    stamp_ms: int
    """wall clock"""
    incarnation: int
    """every process of the peer up to this one is dead"""
    boot_ids: frozenset[str]
    """and these kernels do not run any more"""
    electorate: Electorate
    store_id: str

    def is_belied_by(self, incarnation: int, kernel_boot_id: str) -> bool:
        """Whether a process that is heard now must have been there before the power went."""
        return incarnation <= self.incarnation or kernel_boot_id in self.boot_ids


class Fencing:
    def __init__(
        self, name: str, kernel_boot_id: str, admissions: Admissions, membership: Membership, rosters: Rosters
    ) -> None:
        self._name = name
        self._kernel_boot_id = kernel_boot_id
        self._admissions = admissions
        self._membership = membership
        self._rosters = rosters
        self.confirmation: Confirmation | None = None
        self.wished = False
        """a roster of two voters shall say that fencing counts"""

    # --- who is counted

    @property
    def counted(self) -> frozenset[str]:
        """Whose vote counts for whatever this node decides; at most one."""
        known = self.confirmation
        if known is None or not self._was_full_member():
            return frozenset()
        return frozenset((known.peer,))

    def _was_full_member(self) -> bool:
        """Whether this log has all that the other one may have committed alone, in any life of either."""
        standing = self._admissions.tail.get(self._name)
        return standing is not None and standing.kernel_boot_id == self._kernel_boot_id

    @property
    def candidate(self) -> str:
        """The other one of two voters, whose vote would count if it were fenced now; "": nobody's would."""
        rosters = self._rosters
        others = rosters.electorate.voters - {self._name}
        return next(iter(others)) if rosters.now.fencing and len(others) == 1 and self._was_full_member() else ""

    def objection(self, peer: str) -> str:
        """Why the vote of `peer` would not count; empty where it would."""
        rosters = self._rosters
        member = rosters.member(peer)
        if member is None or not member.votes or peer == self._name:
            return f"{peer} is no other voter of this cluster: there is nothing to count"
        voters = len(rosters.electorate.voters)
        if voters != 2:
            return (
                f"the cluster has {voters} voters: the vote of a fenced node counts only where there are two;"
                f" with more, a majority of them goes on without it"
            )
        if rosters.electorate.tie_breaker:
            return f"{rosters.electorate.tie_breaker} breaks ties: with a tie-breaker no fenced node's vote counts"
        if not rosters.now.fencing:
            return (
                "the two nodes have not agreed that fencing counts: set stonith-enabled=true while both of them run"
            )
        if not self._was_full_member():
            return (
                f"this host has not taken part since it booted: {peer} may know more than it does; start {peer},"
                f" or confirm on a host that has served"
            )
        return ""

    # --- what happens

    def newest_incarnation(self, peer: str) -> int:
        """Of the processes of `peer` that this node knows of, heard or in the log; -1: of none."""
        known, standing = self._membership.peers.get(peer), self._admissions.tail.get(peer)
        return max(known.incarnation if known else -1, standing.incarnation if standing else -1)

    def confirm(self, peer: str, incarnation: int, by: str, stamp_ms: int) -> None:
        """`peer` was without power after its process `incarnation` was the newest one known, and before now.

        Raises FencingRefusedError, also where a newer one was heard meanwhile: that one may have had this node's
        vote, and the two are a quorum without any counting.
        """
        if objection := self.objection(peer):
            raise FencingRefusedError(objection)
        if self.newest_incarnation(peer) > incarnation:
            raise FencingRefusedError(f"{peer} has started again meanwhile: its own vote counts")
        known, standing = self._membership.peers[peer], self._admissions.tail.get(peer)
        boot_ids = {known.kernel_boot_id, standing.kernel_boot_id if standing is not None else ""}
        self.confirmation = Confirmation(
            peer=peer,
            by=by,
            stamp_ms=stamp_ms,
            incarnation=incarnation,
            boot_ids=frozenset(boot_ids - {""}),
            electorate=self._rosters.electorate,
            store_id=self._store_of(peer),
        )

    def _store_of(self, peer: str) -> str:
        member = self._rosters.member(peer)
        return "" if member is None else member.store_id

    def heard(self, peer: Peer) -> bool:
        """A heartbeat has come; True where it shows that the confirmation was wrong, which has ended by that."""
        known = self.confirmation
        if known is None or known.peer != peer.name:
            return False
        if not known.is_belied_by(peer.incarnation, peer.kernel_boot_id):
            return False
        self.confirmation = None
        return True

    def appended(self, entry: LogEntry) -> None:
        """To be called with the append, before anybody is sent the entry."""
        known, command = self.confirmation, entry.command
        if known is None:
            return
        if isinstance(command, Admit) and command.node == known.peer:
            self.confirmation = None
        elif isinstance(command, Roster):
            self.roster_changed()

    def roster_changed(self) -> None:
        known = self.confirmation
        if known is None:
            return
        if self._rosters.electorate != known.electorate or self._store_of(known.peer) != known.store_id:
            self.confirmation = None

    def follows(self, leader: str) -> None:
        """Whoever follows the node whose vote it counts was told something wrong."""
        if self.confirmation is not None and self.confirmation.peer == leader:
            self.confirmation = None
