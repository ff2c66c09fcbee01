"""`vipcast quorum status`: the votes, and what would follow if each node were the next to be lost.

Pure.  Votes are counted by the code that counts them in elections (`quorum.Electorate`), places are found by the
scheduler that would find them (`rehearse`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.cluster.core.effects import CoreStatus, PeerStatus
from daemon.cluster.core.quorum import Electorate, is_quorum
from daemon.control.schema import IfLost, QuorumDocument, QuorumNode
from daemon.executor.fencing import devices_against
from daemon.executor.policy import NoQuorum, QuorumProperties
from daemon.scheduler.rehearsal import rehearse
from daemon.scheduler.view import View
from daemon.scheduler.whatif import NodeFails, suppose

VOTING = frozenset({"voter", "witness"})
"""roles in the roster"""

THEN = {
    NoQuorum.STOP: "nothing is served, and what runs is stopped",
    NoQuorum.FREEZE: "no shared address is served; what else runs goes on, and nothing starts",
    NoQuorum.IGNORE: "the others serve without quorum, and so may the lost one",
    NoQuorum.SUICIDE: "nothing is served, what runs is stopped, and the daemons end themselves",
}


@dataclass(frozen=True, slots=True)
class QuorumFacts:
    """What the daemon knows; to be turned into a document beside its loop, for planning takes time."""

    cluster: str
    core: CoreStatus
    properties: QuorumProperties
    heard_all: bool
    is_overlaid: bool
    view: View
    fencing_trouble: str = ""


def electorate_of(core: CoreStatus) -> Electorate:
    return Electorate(frozenset(p.name for p in core.peers if p.role in VOTING), core.tie_breaker)


def votes_heard(core: CoreStatus) -> int:
    """What counts now: of those who are heard, and of the one that is confirmed to be without power."""
    electorate = electorate_of(core)
    return sum(electorate.votes_of(name) for name in _voting(core) | {core.fenced})


def _voting(core: CoreStatus) -> set[str]:
    return {peer.name for peer in core.peers if peer.live and not peer.store_lost}


def build(facts: QuorumFacts) -> QuorumDocument:
    core = facts.core
    electorate = electorate_of(core)
    heard = {peer.name for peer in core.peers if peer.live}
    voting = _voting(core)
    wished = facts.properties.tie_breaker
    return QuorumDocument(
        cluster=facts.cluster,
        node=core.name,
        quorate=core.quorate,
        leader=core.leader,
        votes_expected=electorate.total,
        votes_needed=electorate.needed,
        votes_heard=votes_heard(core),
        tie_breaker=core.tie_breaker,
        tie_breaker_counts=electorate.votes_of(core.tie_breaker) == 2,
        tie_breaker_wished=wished if wished in {peer.name for peer in core.peers} else "",
        policy=facts.properties.policy.value,
        wait_for_all=facts.properties.wait_for_all,
        heard_all=facts.heard_all,
        without_quorum=facts.is_overlaid,
        fencing=core.fencing,
        fenced=core.fenced,
        fenced_by=core.fenced_by,
        fenced_ms=core.fenced_ms,
        fencing_trouble=facts.fencing_trouble,
        nodes=tuple(
            QuorumNode(
                name=peer.name,
                role=peer.role,
                votes=0 if peer.store_lost else electorate.votes_of(peer.name),
                heard=peer.name in heard,
                leads=peer.name == core.leader,
                if_lost=_if_lost(peer, facts, electorate, voting) if peer.name in heard else None,
            )
            for peer in core.peers
        ),
    )


def _if_lost(peer: PeerStatus, facts: QuorumFacts, electorate: Electorate, voting: Iterable[str]) -> IfLost:
    left = set(voting) - {peer.name}
    quorate = is_quorum(left, electorate)
    policy = facts.properties.policy
    if not quorate and policy is not NoQuorum.IGNORE:
        return IfLost(False, None, THEN[policy] + _once_fenced(peer.name, facts))
    return IfLost(
        quorate=quorate,
        leader=_next_leader(peer.name, facts.core, left) if quorate else None,
        then="" if quorate else THEN[policy],
        nowhere=_nowhere(peer.name, facts.view),
    )


def _once_fenced(lost: str, facts: QuorumFacts) -> str:
    """Of two voters that have agreed, the other one goes on then."""
    if not facts.core.fencing or not any(peer.name == lost and peer.role in VOTING for peer in facts.core.peers):
        return ""
    found = [device.resource for device in devices_against(lost, facts.view.configuration)]
    who = f"{found[0]} has fenced it" if found else f"somebody says 'vipcast stonith confirm {lost}'"
    return f", until {who}: then the other one serves and takes changes"


def _next_leader(lost: str, core: CoreStatus, left: Iterable[str]) -> str | None:
    """The leader goes on; without it the live voter of the lowest rank stands first."""
    if core.leader is not None and core.leader != lost:
        return core.leader
    ranks = {peer.name: peer.rank for peer in core.peers if peer.role in VOTING}
    return min((name for name in left if name in ranks), key=lambda name: ranks[name], default=None)


def _nowhere(lost: str, view: View) -> tuple[str, ...]:
    """Instances and slots that have a place now and would have none."""
    if lost not in view.nodes:
        return ()
    supposed = rehearse(suppose(view, NodeFails(lost)), view)
    return tuple(
        name for name, nodes in sorted(supposed.before.items()) if nodes and not supposed.after.get(name, ())
    )
