"""A core's status for people: who leads, who is heard, who takes part."""

from __future__ import annotations

from typing import TypedDict

from daemon.cluster.core.admissions import COUNTING
from daemon.cluster.core.damping import damped
from daemon.cluster.core.effects import CoreStatus, PeerStatus, Role
from daemon.cluster.core.membership import Peer
from daemon.cluster.core.replica import Replica
from daemon.cluster.core.standing import Standing


class _Fenced(TypedDict, total=False):
    fenced: str
    fenced_by: str
    fenced_ms: int


_UNKNOWN = Standing(False, 0, "", 0)
"""of a node that was never admitted"""


def status_of(replica: Replica, role: Role, quorate: bool, outstanding: int, now_ns: int) -> CoreStatus:
    return CoreStatus(
        name=replica.name,
        incarnation=replica.incarnation,
        role=role,
        leader=replica.leader,
        term=replica.term,
        last_index=replica.log.last_index,
        commit=replica.commit,
        applied=replica.commit - len(replica.ready.committed),
        quorate=quorate,
        lease_until_ns=replica.own_lease.until_ns,
        outstanding_proposals=outstanding,
        peers=tuple(_peer_status(replica, name, now_ns) for name in _by_rank(replica, now_ns)),
        fencing=replica.rosters.now.fencing,
        **_fenced(replica),
        tie_breaker=replica.electorate.tie_breaker,
        waits_for=replica.suffrage.missing_founders(),
    )


def _fenced(replica: Replica) -> _Fenced:
    known = replica.fencing.confirmation
    if known is None or known.peer not in replica.fencing.counted:
        return {}
    return {"fenced": known.peer, "fenced_by": known.by, "fenced_ms": known.stamp_ms}


def _role(replica: Replica, name: str) -> str:
    member = replica.rosters.member(name)
    if member is None:
        return "joining"
    return "learner" if not member.votes else "witness" if member.witness else "voter"


def _by_rank(replica: Replica, now_ns: int) -> list[str]:
    """Everybody on the roster, this node wherever it stands, then those who ask to join."""
    membership = replica.membership
    ranks = {
        peer.name: peer.rank for peer in membership.peers.values() if peer.on_roster or _asks(replica, peer, now_ns)
    }
    ranks[membership.name] = membership.rank
    return sorted(ranks, key=lambda name: (ranks[name], name))


def _asks(replica: Replica, peer: Peer, now_ns: int) -> bool:
    dismissed = replica.rosters.is_dismissed(peer.name, peer.store_id, joins=peer.joins)
    return peer.joins and not dismissed and replica.membership.live(peer, now_ns)


def _peer_status(replica: Replica, name: str, now_ns: int) -> PeerStatus:
    standing = replica.admissions.committed.get(name, _UNKNOWN)
    peer = replica.membership.peers.get(name)
    stamp_ms = max(replica.wall_ms, replica.log.last_stamp_ms)
    incarnation = replica.incarnation if peer is None else peer.incarnation if peer.ever_heard else None
    return PeerStatus(
        name=name,
        rank=replica.membership.rank if peer is None else peer.rank,
        last_heard_ns=now_ns if peer is None else peer.heard_ns,
        live=peer is None or replica.membership.live(peer, now_ns),
        fresh=peer is None or peer.fresh,
        agrees=peer is None or replica.membership.agrees(peer),
        incarnation=incarnation,
        admitted=standing.admitted,
        admitted_incarnation=None if standing is _UNKNOWN else standing.incarnation,
        epoch=standing.epoch,
        enforced_epoch=replica.enforced_epoch if peer is None else peer.epoch,
        role=_role(replica, name),
        store_lost=replica.suffrage.store_is_lost if peer is None else replica.suffrage.has_lost_its_store(peer),
        restarts=standing.restarts,
        losses=COUNTING.counted(standing.flaps, stamp_ms),
        lost_within_ms=standing.flaps.last - standing.flaps.began,
        held_ms=0 if standing.admitted else damped(replica.timers.hold_down_ms).left(standing.flaps, stamp_ms),
    )
