"""What a leader remembers of the leases that it has granted, and when it may declare a node lost.

It never asks whether a node is alive: it asks whether a lease could still be running.
"""

from __future__ import annotations

from daemon.cluster.core.membership import Peer
from daemon.cluster.timers import Timers


class Grants:
    def __init__(self, elected_ns: int, expired: str | None, timers: Timers) -> None:
        """`expired`: the former leader, where all that it can hold is a leadership lease that is over (rule 18)."""
        self._elected_ns = elected_ns
        self._granted_ns: dict[str, int] = {}
        self._granted: dict[str, tuple[int, int]] = {}
        """peer → newest (incarnation, sequence) that was granted"""
        self.expired = expired
        self._timers = timers

    def is_new(self, peer: Peer) -> bool:
        """Whether its newest heartbeat was not granted yet."""
        return (peer.incarnation, peer.sequence) > self._granted.get(peer.name, (-1, 0))

    def granted(self, peer: Peer, now_ns: int) -> None:
        """To be called before the grant is sent; the node's own stamp is older still, so its lease ends earlier."""
        assert peer.name != self.expired
        self._granted_ns[peer.name] = now_ns
        self._granted[peer.name] = (peer.incarnation, peer.sequence)

    def heard(self, name: str) -> None:
        if name == self.expired:
            self.expired = None  # it is there: the ordinary way

    def loss_due_ns(self, name: str) -> int:
        """From when on `Lost(name)` may be appended, unless it is granted again (rules 16 to 18)."""
        if name == self.expired:
            return 0
        # Rule 17: leaders before this one may have granted up to its election; nobody can ask them.
        return self._granted_ns.get(name, self._elected_ns) + self._timers.loss_after_ns

    def count_from(self, name: str, now_ns: int) -> None:
        """A lease of `name` may run from now on that this leader has not granted.

        An admission was appended, which a later leader may have granted (rule 17); or the node has said that its
        kernel holds it (`restarts`).
        """
        self._granted_ns[name] = now_ns
