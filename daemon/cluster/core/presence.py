"""Who is here: the nodes that this one hears, and whether they could make a quorum.

What a partition without quorum goes by (`daemon.executor.quorumless`); the cluster itself goes by leases and rounds
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daemon.cluster.core import quorum
from daemon.cluster.core.replica import Replica


@dataclass(frozen=True, slots=True)
class Present:
    """A node that is heard, by heartbeats that answer this very process; or this node itself."""

    name: str
    incarnation: int
    kernel_boot_id: str


class Presence:
    """As of one moment, and of use in that moment alone: the names are looked up when somebody asks for them.

    Whether there is a quorum is asked for with every message that comes, who is here only where there is none.
    """

    def __init__(
        self,
        quorate: bool,
        nodes: Callable[[], tuple[Present, ...]],
        missing: Callable[[], tuple[str, ...]],
        to_fence: str = "",
    ) -> None:
        self.quorate = quorate
        """a quorum of the voters is among `nodes`, or a leader proves that there is one"""
        self.to_fence = to_fence
        """a node that is not heard, whose vote would count once it is fenced, and does not yet; "": none"""
        self._nodes = nodes
        self._missing = missing

    @property
    def nodes(self) -> tuple[Present, ...]:
        """By name, this node among them."""
        return self._nodes()

    @property
    def missing(self) -> tuple[str, ...]:
        """Nodes of the cluster that are not heard now, by name."""
        return self._missing()


def presence_of(replica: Replica, led: bool, now_ns: int) -> Presence:
    """`led`: a leader is heard that has a quorum behind it."""
    membership, rosters = replica.membership, replica.rosters

    def nodes() -> tuple[Present, ...]:
        live = (peer for peer in membership.live_peers(now_ns) if rosters.member(peer.name) is not None)
        found = [Present(peer.name, peer.incarnation, peer.kernel_boot_id) for peer in live]
        found.append(Present(replica.name, replica.incarnation, replica.kernel_boot_id))
        return tuple(sorted(found, key=lambda present: present.name))

    def missing() -> tuple[str, ...]:
        silent = (peer.name for peer in membership.peers.values() if not membership.live(peer, now_ns))
        return tuple(sorted(name for name in silent if rosters.member(name) is not None))

    quorate = led or quorum.is_quorum(_voting(replica, now_ns), replica.electorate)
    return Presence(quorate, nodes, missing, _to_fence(replica, now_ns))


def _to_fence(replica: Replica, now_ns: int) -> str:
    name = replica.fencing.candidate
    peer = replica.membership.peers.get(name)
    is_here = peer is not None and replica.membership.live(peer, now_ns)
    return "" if is_here or name in replica.fencing.counted else name


def _voting(replica: Replica, now_ns: int) -> Iterator[str]:
    """Voters that are here and whose word counts, and one that is fenced."""
    for name in replica.electorate.voters:
        peer = replica.membership.peers.get(name)
        is_here = name == replica.name or (peer is not None and replica.membership.live(peer, now_ns))
        if (is_here and replica.suffrage.counts(name)) or name in replica.fencing.counted:
            yield name
