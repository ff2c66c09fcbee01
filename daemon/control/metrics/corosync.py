"""The names that ha_cluster_exporter has for Corosync: votes, quorum, and the links as its rings."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.control import quorumdoc
from daemon.control.metrics.facts import MetricsFacts
from daemon.control.metrics.metric import Metric, Sample, yes


def _member_votes(facts: MetricsFacts) -> Iterator[Sample]:
    electorate = quorumdoc.electorate_of(facts.quorum.core)
    for peer in facts.quorum.core.peers:
        local = "true" if peer.name == facts.status.node else "false"
        votes = 0 if peer.store_lost or not peer.live else electorate.votes_of(peer.name)
        yield (local, peer.name, _number(peer.rank)), votes


def _quorate(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), yes(facts.status.quorate)


def _quorum_votes(facts: MetricsFacts) -> Iterator[Sample]:
    electorate = quorumdoc.electorate_of(facts.quorum.core)
    yield ("expected_votes",), electorate.total
    yield ("highest_expected",), electorate.total
    yield ("quorum",), electorate.needed
    yield ("total_votes",), quorumdoc.votes_heard(facts.quorum.core)


def _ring_errors(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), sum(bool(link.trouble) for link in facts.status.links)


def _rings(facts: MetricsFacts) -> Iterator[Sample]:
    """A ring's number is the link's place in the settings; what tells one membership from the next is the term."""
    ranks = {peer.name: peer.rank for peer in facts.quorum.core.peers}
    own = _number(ranks.get(facts.status.node, 0))
    ring = f"{_number(ranks.get(facts.status.leader or '', -1))}/{facts.status.term}"
    for number, link in enumerate(facts.status.links):
        yield (link.interface, own, str(number), ring), yes(not link.trouble)


def _number(rank: int) -> str:
    """Ranks begin with 0, and no node of Corosync has that number."""
    return str(rank + 1)


COROSYNC: tuple[Metric, ...] = (
    Metric(
        "ha_cluster_corosync_member_votes",
        "gauge",
        "Votes that each member has now; 0 for one that is not heard",
        _member_votes,
        ("local", "node", "node_id"),
    ),
    Metric("ha_cluster_corosync_quorate", "gauge", "1 where there is a quorum", _quorate),
    Metric("ha_cluster_corosync_quorum_votes", "gauge", "Votes: all, heard, and needed", _quorum_votes, ("type",)),
    Metric("ha_cluster_corosync_ring_errors", "gauge", "Links of this node that do not work", _ring_errors),
    Metric(
        "ha_cluster_corosync_rings",
        "gauge",
        "1 for each link of this node that works, 0 for one that does not; address is its interface",
        _rings,
        ("address", "node_id", "number", "ring_id"),
    ),
)
