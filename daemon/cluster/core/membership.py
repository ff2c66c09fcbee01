"""Who is heard: incarnations, sequences, freshness, silence.

A peer is *fresh* once one of its heartbeats echoes this process's own incarnation: it has heard this very process.
Only then do its other messages count.  A recording of an earlier life of the cluster can never echo an incarnation
that did not exist yet, so replaying it changes nothing, though the seal on it is genuine.  A peer with other timers is
never fresh: what it promises, and what it waits for, is not what this node counts on.  A process that has heard
this one goes on having heard it: heartbeats of a large cluster do not echo everybody (`echoes`).

Peers are the others on the roster, and a bounded number of *strangers*: nodes with the cluster's key that ask to
join, and for a node that joins itself everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from daemon.cluster.core.echoes import Echoes
from daemon.cluster.messages import Heartbeat
from daemon.cluster.timers import Timers

SENT_MAX = 256
"""stamps of own heartbeats that are kept at most"""
MEMBERS_MAX = 128
"""of a cluster"""
STRANGERS_MAX = MEMBERS_MAX
"""to a node that joins, all members are; with room for fewer, each is forgotten before it speaks again"""
LAST_RANK = 1 << 16
"""of who is on no roster"""


@dataclass(slots=True)
class Peer:
    name: str
    rank: int
    on_roster: bool = True
    incarnation: int = -1
    """-1: never heard"""
    sequence: int = 0
    """newest of this incarnation"""
    kernel_boot_id: str = ""
    epoch: int = 0
    """that its kernel enforces"""
    store_id: str = ""
    blank: bool = False
    votes: bool = False
    joins: bool = False
    witness: bool = False
    slack_ms: int = 0
    reads_partial: bool = False
    terms: tuple[int, ...] = ()
    """by which it holds and counts leases; (): it did not tell"""
    heard_ns: int | None = None
    fresh: bool = False
    echoed_sequence: int = 0
    """newest heartbeat of this process that the peer has heard"""
    silent: bool = True
    """as last reported"""

    @property
    def ever_heard(self) -> bool:
        return self.heard_ns is not None


class Membership:
    def __init__(
        self,
        name: str,
        roster: Sequence[str],
        incarnation: int,
        boot_id: str,
        timers: Timers,
        *,
        joins: bool,
        witness: bool,
    ) -> None:
        """`roster`: names in the order of rank, as for `sync`; `joins`, `witness`: as heartbeats tell the others."""
        self.name = name
        self.incarnation = incarnation
        self.kernel_boot_id = boot_id
        self.rank = LAST_RANK
        self.peers: dict[str, Peer] = {}
        self._joins = joins
        self._witness = witness
        self.sync(roster)
        self._timers = timers
        self.slack_ms = 0
        """how much longer this node asks its lease to be"""
        self.echoes = Echoes()
        self._sequence = 0
        self._sent: dict[int, int] = {}
        """own sequence → stamp taken before it was sent; only those that can still carry a lease"""

    # --- who is a peer

    def sync(self, roster: Sequence[str]) -> None:
        """These are on the roster now, in the order of rank; who is not any more is a stranger."""
        ranks = {name: rank for rank, name in enumerate(roster)}
        self.rank = ranks.get(self.name, LAST_RANK)
        for name, rank in ranks.items():
            if name != self.name and name not in self.peers:
                self.peers[name] = Peer(name, rank)
        for peer in self.peers.values():
            peer.on_roster = peer.name in ranks
            peer.rank = ranks.get(peer.name, LAST_RANK)

    def meet(self, name: str) -> None:
        """Listen to a stranger; where there are too many, the one that was silent for longest is forgotten."""
        strangers = [peer for peer in self.peers.values() if not peer.on_roster]
        if len(strangers) >= STRANGERS_MAX:
            del self.peers[min(strangers, key=lambda peer: peer.heard_ns or 0).name]
        self.peers[name] = Peer(name, LAST_RANK, on_roster=False)

    # --- heard from others

    def heard(self, sender: str, heartbeat: Heartbeat, now_ns: int) -> Peer | None:
        """Note a heartbeat; the peer, or None where it says nothing new (an old, late or repeated one)."""
        peer = self.peers[sender]
        if (heartbeat.incarnation, heartbeat.sequence) <= (peer.incarnation, peer.sequence):
            return None
        echo = heartbeat.heard.get(self.name)
        if heartbeat.incarnation != peer.incarnation:
            peer.fresh, peer.echoed_sequence = False, 0
        peer.incarnation = heartbeat.incarnation
        peer.sequence = heartbeat.sequence
        peer.kernel_boot_id = heartbeat.kernel_boot_id
        peer.epoch = heartbeat.epoch
        peer.store_id, peer.blank, peer.votes = heartbeat.store_id, heartbeat.blank, heartbeat.votes
        peer.joins, peer.witness = heartbeat.joins, heartbeat.witness
        peer.slack_ms, peer.reads_partial = heartbeat.slack_ms, heartbeat.reads_partial
        peer.heard_ns, peer.terms = now_ns, heartbeat.terms
        if not self.agrees(peer):
            peer.fresh = False  # none of its other messages count, and it is never live
        elif echo is not None:
            self._echoed(peer, *echo)
        elif not heartbeat.reads_partial:
            peer.fresh = False  # of a version that names everybody whom it hears
        return peer

    def _echoed(self, peer: Peer, incarnation: int, sequence: int) -> None:
        peer.fresh = incarnation == self.incarnation
        if peer.fresh and sequence <= self._sequence:
            peer.echoed_sequence = max(peer.echoed_sequence, sequence)

    def agrees(self, peer: Peer) -> bool:
        """Whether it holds and counts leases as this node does, as far as it tells."""
        return not peer.terms or peer.terms == self._timers.terms

    def heard_at_ns(self, name: str) -> int | None:
        peer = self.peers.get(name)
        return None if peer is None else peer.heard_ns

    def live(self, peer: Peer, now_ns: int) -> bool:
        """Heard lately, by heartbeats that echo this process."""
        return peer.fresh and peer.heard_ns is not None and now_ns - peer.heard_ns <= self._timers.silent_after_ns

    def connected(self, peer: Peer, now_ns: int) -> bool:
        """Live, and it hears us: a host that sends but does not receive must not be granted for ever."""
        stamp = self._sent.get(peer.echoed_sequence)
        if stamp is None or not self.live(peer, now_ns):
            return False
        return now_ns - stamp <= self._timers.silent_after_ns + self._timers.heartbeat_ns

    def live_peers(self, now_ns: int) -> Iterator[Peer]:
        return (peer for peer in self.peers.values() if self.live(peer, now_ns))

    def newly_silent(self, now_ns: int) -> Iterator[Peer]:
        """Peers that have fallen silent since the last call."""
        for peer in self.peers.values():
            if not peer.silent and now_ns - (peer.heard_ns or 0) > self._timers.silent_after_ns:
                peer.silent = True
                yield peer

    # --- sent to others

    def next_heartbeat(
        self,
        term: int,
        epoch: int,
        now_ns: int,
        store_id: str,
        blank: bool,
        votes: bool,
        needed: Collection[str] | None = None,
    ) -> Heartbeat:
        """Its stamp, from before it leaves, is what a grant to it will be counted from (rule 13).

        `needed`: whom it has to name (`Echoes.choose`).
        """
        self._sequence += 1
        self._sent[self._sequence] = now_ns
        self._forget_useless(now_ns)
        return Heartbeat(
            incarnation=self.incarnation,
            kernel_boot_id=self.kernel_boot_id,
            sequence=self._sequence,
            term=term,
            epoch=epoch,
            heard=self.echoes.choose(self.peers, needed, self._sequence, now_ns),
            store_id=store_id,
            blank=blank,
            votes=votes,
            joins=self._joins,
            witness=self._witness,
            slack_ms=self.slack_ms,
            reads_partial=True,
            terms=self._timers.terms,
        )

    @property
    def sequence(self) -> int:
        """Of the newest own heartbeat; 0 before the first."""
        return self._sequence

    def stamp_of(self, sequence: int) -> int | None:
        """When heartbeat `sequence` of this process was about to be sent; None once no lease can hang on it."""
        return self._sent.get(sequence)

    def _forget_useless(self, now_ns: int) -> None:
        while self._sent:
            oldest = next(iter(self._sent))
            if len(self._sent) <= SENT_MAX and now_ns - self._sent[oldest] < self._timers.lease_ns:
                return
            del self._sent[oldest]
