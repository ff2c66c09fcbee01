"""Who is here: the nodes that this one hears, and whether they could make a quorum.

What a partition without quorum goes by (`daemon.executor.quorumless`); the cluster itself goes by leases and rounds
alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.core import quorum
from daemon.cluster.core.replica import Replica


@dataclass(frozen=True, slots=True)
class Present:
    """A node that is heard, by heartbeats that answer this very process; or this node itself."""

    name: str
    incarnation: int
    kernel_boot_id: str


@dataclass(frozen=True, slots=True)
class Presence:
    nodes: tuple[Present, ...]
    """by name, this node among them"""
    missing: tuple[str, ...]
    """nodes of the cluster that are not heard now"""
    quorate: bool
    """a quorum of the voters is among `nodes`, or a leader proves that there is one"""


def presence_of(replica: Replica, led: bool, now_ns: int) -> Presence:
    """`led`: a leader is heard that has a quorum behind it."""
    membership = replica.membership
    nodes = [Present(replica.name, replica.incarnation, replica.kernel_boot_id)]
    members = {name for name in membership.peers if replica.rosters.member(name) is not None}
    live = (peer for peer in membership.live_peers(now_ns) if peer.name in members)
    nodes += [Present(peer.name, peer.incarnation, peer.kernel_boot_id) for peer in live]
    nodes.sort(key=lambda present: present.name)
    names = {present.name for present in nodes}
    voting = {name for name in names if replica.suffrage.counts(name)}
    return Presence(
        nodes=tuple(nodes),
        missing=tuple(sorted(members - names)),
        quorate=led or quorum.is_quorum(voting, replica.electorate),
    )
