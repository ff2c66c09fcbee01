"""`vipcast_*` of consensus: who leads, how far the log is, leases, how the others are heard, how late this node is."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.control.metrics.facts import MetricsFacts
from daemon.control.metrics.metric import Buckets, Metric, Sample, yes

MS_PER_S = 1000


def _info(facts: MetricsFacts) -> Iterator[Sample]:
    status = facts.status
    yield (status.cluster, status.cluster_id, status.datapath.engine, status.node, status.versions["vipcast"]), 1.0


def _leads(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), yes(facts.status.leader == facts.status.node)


def _term(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), facts.status.term


def _indexes(facts: MetricsFacts) -> Iterator[Sample]:
    yield ("applied",), facts.status.applied_index
    yield ("committed",), facts.status.commit_index
    yield ("configuration",), facts.status.epoch


def _age(facts: MetricsFacts) -> Iterator[Sample]:
    if facts.status.age_ms_max is not None:
        yield (), facts.status.age_ms_max / MS_PER_S


def _alarms(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), len(facts.status.alarms)


def _lease(facts: MetricsFacts) -> Iterator[Sample]:
    for node in facts.status.nodes:
        if node.lease_left_ms is not None:
            yield (), node.lease_left_ms / MS_PER_S


def _heard(facts: MetricsFacts) -> Iterator[Sample]:
    for node in facts.status.nodes:
        if node.last_heard_ms is not None:
            yield (node.name,), node.last_heard_ms / MS_PER_S


def _losses(facts: MetricsFacts) -> Iterator[Sample]:
    for node in facts.status.nodes:
        yield (node.name,), node.losses


def _lateness(facts: MetricsFacts) -> Buckets | None:
    told = facts.status.lateness
    if not told.histogram:
        return None
    return [(_seconds(bound), count) for bound, count in told.histogram.items()], told.sum_ms / MS_PER_S


def _seconds(bound_ms: str) -> str:
    return bound_ms if bound_ms == "+Inf" else f"{float(bound_ms) / MS_PER_S:g}"


def _latest(facts: MetricsFacts) -> Iterator[Sample]:
    if facts.status.lateness.histogram:
        yield (), facts.status.lateness.max_ms / MS_PER_S


def _real_time(facts: MetricsFacts) -> Iterator[Sample]:
    if facts.status.lateness.scheduling:
        yield (facts.status.lateness.scheduling,), yes(not facts.status.lateness.trouble)


def _commits(facts: MetricsFacts) -> Buckets:
    return facts.measures.commits.cumulative(), facts.measures.commits.sum_s


def _outstanding(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), facts.quorum.core.outstanding_proposals


def _datagrams(facts: MetricsFacts) -> Iterator[Sample]:
    for link in facts.status.links:
        for what, count in sorted(link.counts.items()):
            yield (link.name, what), count


def _refusals(facts: MetricsFacts) -> Iterator[Sample]:
    for reason, count in sorted(facts.status.refusals.items()):
        yield (reason,), count


def _heard_on_link(facts: MetricsFacts) -> Iterator[Sample]:
    for link in facts.status.links:
        for peer in link.peers:
            if peer.heard_ms is not None:
                yield (link.name, peer.name), peer.heard_ms / MS_PER_S


def _messages(facts: MetricsFacts) -> Iterator[Sample]:
    if facts.transport is not None:
        yield ("incomplete",), facts.transport.incomplete
        yield ("received",), facts.transport.messages_received
        yield ("sent",), facts.transport.messages_sent


CLUSTER: tuple[Metric, ...] = (
    Metric(
        "vipcast_info",
        "gauge",
        "1; who answers is in the labels",
        _info,
        ("cluster", "cluster_id", "engine", "node", "version"),
    ),
    Metric("vipcast_leader", "gauge", "1 where this node leads", _leads),
    Metric("vipcast_term", "gauge", "The term of the log: it rises with each election", _term),
    Metric(
        "vipcast_log_index",
        "gauge",
        "Entries of the log that are committed and applied here, and the one that made the configuration",
        _indexes,
        ("what",),
    ),
    Metric(
        "vipcast_status_age_seconds",
        "gauge",
        "Nothing that was acknowledged anywhere longer ago than this is missing here; absent: nobody can say",
        _age,
    ),
    Metric("vipcast_alarms", "gauge", "What `vipcast status` says somebody has to know at once", _alarms),
    Metric(
        "vipcast_lease_seconds", "gauge", "How long this host's kernel may go on accepting as things stand", _lease
    ),
    Metric("vipcast_node_heard_seconds", "gauge", "Since the newest heartbeat of a node came", _heard, ("node",)),
    Metric("vipcast_node_losses", "gauge", "How often a node was lost lately; quiet forgives", _losses, ("node",)),
    Metric(
        "vipcast_lateness_seconds",
        "histogram",
        "How late the daemon's timers came; leases hang on its being in time",
        buckets=_lateness,
    ),
    Metric("vipcast_lateness_max_seconds", "gauge", "The latest timer of the last five minutes", _latest),
    Metric(
        "vipcast_real_time",
        "gauge",
        "1 where the daemon is scheduled as it should be, under which policy",
        _real_time,
        ("scheduling",),
    ),
    Metric(
        "vipcast_commit_seconds",
        "histogram",
        "From a proposal of this node until it was committed and applied here",
        buckets=_commits,
    ),
    Metric("vipcast_proposals", "gauge", "Proposals of this node whose outcome is open", _outstanding),
    Metric(
        "vipcast_link_datagrams_total",
        "counter",
        "Datagrams on a link, by what became of them",
        _datagrams,
        ("link", "what"),
    ),
    Metric(
        "vipcast_refused_datagrams_total",
        "counter",
        "Datagrams that changed nothing, by reason",
        _refusals,
        ("reason",),
    ),
    Metric(
        "vipcast_link_heard_seconds",
        "gauge",
        "Since anything of a node came over a link",
        _heard_on_link,
        ("link", "node"),
    ),
    Metric("vipcast_messages_total", "counter", "Messages of one or more datagrams", _messages, ("what",)),
)
