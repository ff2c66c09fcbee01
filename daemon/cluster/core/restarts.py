"""Restart leases: a daemon that is about to start again has its kernel go on serving, for a bounded time.

Theory of operation.  A lease is some hundred milliseconds, a start takes longer.  So the leaving process asks for a
`Restart(node, incarnation, duration)` in the log, from a stamp that it takes *before* asking.  Once that is
committed, every leader to come knows of it, and the kernel's deadline may be stamp + duration.  The process writes
it and ends.  What is open goes on; nothing moves; the next process of the same kernel boot is admitted at once and
inherits (rule 20).

    leaving process      stamp ─ ask ──────────── committed ─ kernel until stamp + duration ─ ends
    leader                        └─ append ────────┘  not lost before duration·(1+δ) + margin from here
    leader elected later                                   not lost before … from its own election (rule 17)

The end of it is not the admission of the next process: in the kernel the long deadline stands until that process
has put its own in its place.  It does so before it says that its kernel holds the admission (`epoch` of its
heartbeats), and to no more than one lease from then; so the first heartbeat that says so ends the account, as if it
had been granted.  Who has heard that heartbeat, as a follower perhaps, knows; who has not waits for longer.

A former leader that restarts holds more than an expired leadership lease: rule 18 does not apply to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.cluster.core.membership import Peer
from daemon.cluster.core.standing import RestartLease, Standing
from daemon.cluster.timers import Timers


class Restarts:
    """Which restart leases may be running, by one leader's account."""

    def __init__(
        self, tail: Mapping[str, Standing], peers: Mapping[str, Peer], timers: Timers, elected_ns: int
    ) -> None:
        """`tail`: the standings of the newest log, uncommitted entries included, at the election."""
        self._timers = timers
        self._elected_ns = elected_ns
        self._appended_ns: dict[str, int] = {}
        self._over: set[tuple[str, int]] = set()
        """(node, incarnation that asked) whose lease is known to be over: the next process has put another deadline
        in its place.  Named after who asked, for that next process may ask for one of its own."""
        for name, standing in tail.items():
            peer = peers.get(name)
            if peer is not None and standing.restart is not None and _is_replaced(peer, standing):
                self._over.add((name, standing.restart.incarnation))

    def appended(self, name: str, now_ns: int) -> None:
        self._appended_ns[name] = now_ns

    def heard(self, peer: Peer, standing: Standing | None) -> bool:
        """A heartbeat has come; True when it says for the first time that the long deadline is gone."""
        if standing is None or standing.restart is None or not _is_replaced(peer, standing):
            return False
        key = (peer.name, standing.restart.incarnation)
        if key in self._over:
            return False
        self._over.add(key)
        return True

    def running(self, name: str, standing: Standing | None) -> RestartLease | None:
        """The restart lease under which the kernel of `name` may accept, as far as this leader knows."""
        if standing is None or standing.restart is None or (name, standing.restart.incarnation) in self._over:
            return None
        return standing.restart

    def over_ns(self, name: str, standing: Standing | None) -> int:
        """From when on no restart lease of `name` can be running any more; 0 where none is."""
        lease = self.running(name, standing)
        if lease is None:
            return 0
        return self._appended_ns.get(name, self._elected_ns) + self._timers.restart_over_after_ns(lease.duration_ms)


def _is_replaced(peer: Peer, standing: Standing) -> bool:
    """The next process is admitted, and says that its kernel holds that admission."""
    return (
        standing.restart is not None
        and standing.admitted
        and standing.incarnation != standing.restart.incarnation
        and (peer.incarnation, peer.epoch) == (standing.incarnation, standing.epoch)
    )


def inherited_deadline_ns(kernel_until_ns: int, now_ns: int, lease_ns: int) -> int:
    """The deadline that a new process puts into its kernel in place of the one that it finds there.

    No later than that one, and no later than one lease from now: so much is granted to whoever says that its kernel
    holds the admission.  `kernel_until_ns`: what the former process left there; 0: not known, then it closes.
    """
    return min(kernel_until_ns, now_ns + lease_ns)
