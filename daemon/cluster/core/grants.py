"""What a leader remembers of the leases that it has granted, and when it may declare a node lost.

It never asks whether a node is alive: it asks whether a lease could still be running.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemon.cluster.core.membership import Peer
from daemon.cluster.timers import Timers

ADMISSION_PAUSE_NS_MAX = 10_000_000_000


class Grants:
    def __init__(self, peers: Iterable[str], elected_ns: int, expired: str | None, timers: Timers) -> None:
        """`expired`: the former leader, where all that it can hold is a leadership lease that is over (rule 18)."""
        # Rule 17: leaders before this one may have granted up to now; nobody can ask them.
        self._granted_ns = dict.fromkeys(peers, elected_ns)
        self._granted: dict[str, tuple[int, int]] = {}
        """peer → newest (incarnation, sequence) that was granted"""
        self.expired = expired
        self._timers = timers
        self._ungranted_admissions: dict[str, int] = {}
        self._admit_after_ns: dict[str, int] = {}

    def is_new(self, peer: Peer) -> bool:
        """Whether its newest heartbeat was not granted yet."""
        return (peer.incarnation, peer.sequence) > self._granted.get(peer.name, (-1, 0))

    def granted(self, peer: Peer, now_ns: int) -> None:
        """To be called before the grant is sent; the node's own stamp is older still, so its lease ends earlier."""
        assert peer.name != self.expired
        self._granted_ns[peer.name] = now_ns
        self._granted[peer.name] = (peer.incarnation, peer.sequence)
        self._ungranted_admissions.pop(peer.name, None)
        self._admit_after_ns.pop(peer.name, None)

    def heard(self, name: str) -> None:
        if name == self.expired:
            self.expired = None  # it is there: the ordinary way

    def loss_due_ns(self, name: str) -> int:
        """From when on `Lost(name)` may be appended, unless it is granted again (rules 16 to 18)."""
        if name == self.expired:
            return 0
        return self._granted_ns[name] + self._timers.loss_after_ns

    # --- admissions

    def admitted(self, name: str, now_ns: int) -> None:
        """An admission was appended: its lease may be granted by a later leader, so count from here (rule 17).

        A host that is admitted again and again and never carries it out (its kernel refuses) fills the log; each
        time it waits twice as long.
        """
        self._granted_ns[name] = now_ns
        before = self._ungranted_admissions.get(name, 0)
        self._ungranted_admissions[name] = before + 1
        pause_ns = min(self._timers.lease_ns << min(before, 10), ADMISSION_PAUSE_NS_MAX) if before else 0
        self._admit_after_ns[name] = now_ns + pause_ns

    def may_admit(self, name: str, now_ns: int) -> bool:
        return now_ns >= self._admit_after_ns.get(name, now_ns)
