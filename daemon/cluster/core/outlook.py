"""What a core tells of itself and of the cluster, for people and for the shell; nothing here changes anything.

A base of `core.Core`, which is what others drive.
"""

from __future__ import annotations

from daemon.cluster.core.effects import CoreStatus
from daemon.cluster.core.leasing import Leasing
from daemon.cluster.core.presence import Presence, presence_of
from daemon.cluster.core.status import status_of
from daemon.cluster.records import LogEntry, Roster


class Outlook(Leasing):
    @property
    def roster(self) -> Roster:
        """Who belongs to the cluster, by the newest roster in the log, or the founding list."""
        return self.replica.rosters.now

    @property
    def cluster_id(self) -> str:
        """By the newest roster that is committed; "": it has none, or this node does not know it yet."""
        committed = self.replica.rosters.committed
        return "" if committed is None else committed.cluster_id

    def known_names(self) -> list[str]:
        """Everybody on the roster, in the order of rank: whom the transport should expect."""
        return self.replica.rosters.names

    @property
    def first_index(self) -> int:
        """Of the oldest entry that is not forgotten yet."""
        return self.replica.log.first_index

    def committed_entries(self, first: int, limit: int) -> list[LogEntry]:
        """Committed entries from index `first` on, or from where the log begins, at most `limit`."""
        first = max(first, self.first_index)
        return self.replica.log.entries(first, min(self.replica.commit, first + limit - 1))

    def status(self, now_ns: int) -> CoreStatus:
        """What the control socket shows; costs microseconds and changes nothing."""
        return status_of(self.replica, self.elections.role, self._is_quorate(now_ns), len(self.proposals), now_ns)

    def as_of_ns(self, applied: int, now_ns: int) -> int | None:
        """A state with the first `applied` entries lacks nothing that was acknowledged anywhere before this time.

        On this host's boot clock, never after `now_ns`; None where nobody can say.
        """
        known_ns = self.replica.freshness.as_of_ns(applied)
        if self.leader is not None and applied >= self.replica.commit:
            leading_ns = self.leader.as_of_ns(now_ns)
            if leading_ns is not None:
                return max(leading_ns, known_ns or leading_ns)
        return known_ns

    def presence(self, now_ns: int) -> Presence:
        """Who is heard, and whether they could make a quorum; changes nothing."""
        return presence_of(self.replica, self._is_quorate(now_ns), now_ns)

    def _is_quorate(self, now_ns: int) -> bool:
        if self.leader is not None:
            return self.leader.rounds.lead(now_ns)
        return self.replica.leader is not None and self.follower.is_quorate(now_ns)
