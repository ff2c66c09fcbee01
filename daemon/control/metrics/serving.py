"""`vipcast_*` of what is served: slots and their packets, the plan, agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from daemon.control.metrics.facts import MetricsFacts
from daemon.control.metrics.metric import Buckets, Metric, Sample, yes

MS_PER_S = 1000


def _slots(facts: MetricsFacts) -> Iterator[Sample]:
    """Also a 0 for each node, so that an alert can see that a host has none."""
    hosts = [node.name for node in facts.status.nodes]
    for address in facts.status.addresses:
        held = Counter((slot.holder or "", slot.phase) for slot in address.slots)
        for key in sorted({*held, *((host, "open") for host in hosts), ("", "open")}):
            yield (address.id, *key), held[key]


def _slots_wanted(facts: MetricsFacts) -> Iterator[Sample]:
    for address in facts.status.addresses:
        yield (address.id, address.ip), address.slots_total


def _ready(facts: MetricsFacts) -> Iterator[Sample]:
    for address in facts.status.addresses:
        for node in facts.status.nodes:
            yield (address.id, node.name), yes(node.name in address.ready)


def _packets(facts: MetricsFacts) -> Iterator[Sample]:
    for counter in facts.status.datapath.counters:
        slot = "" if counter.slot is None else str(counter.slot)
        yield (counter.address, slot, counter.verdict), counter.packets


def _bytes(facts: MetricsFacts) -> Iterator[Sample]:
    for counter in facts.status.datapath.counters:
        slot = "" if counter.slot is None else str(counter.slot)
        yield (counter.address, slot, counter.verdict), counter.bytes


def _plans(facts: MetricsFacts) -> Buckets:
    return facts.measures.applications.cumulative(), facts.measures.applications.sum_s


def _actions(facts: MetricsFacts) -> Iterator[Sample]:
    running = sum(action.running for action in facts.status.pending_actions)
    yield ("running",), running
    yield ("waiting",), len(facts.status.pending_actions) - running


def _findings(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), len(facts.status.findings)


def _failed(facts: MetricsFacts) -> Iterator[Sample]:
    yield (), len(facts.status.failed_actions)


def _operations(facts: MetricsFacts) -> Iterator[Sample]:
    for key, tally in sorted(facts.measures.operations.copy().items()):
        yield key, tally.count


def _operation_seconds(facts: MetricsFacts) -> Iterator[Sample]:
    for key, tally in sorted(facts.measures.operations.copy().items()):
        yield key, tally.sum_ms / MS_PER_S


SERVING: tuple[Metric, ...] = (
    Metric(
        "vipcast_slots",
        "gauge",
        'Slots of a shared address by holder and phase; node="": nobody serves them',
        _slots,
        ("address", "node", "phase"),
    ),
    Metric("vipcast_address_slots", "gauge", "Slots that a shared address has", _slots_wanted, ("address", "ip")),
    Metric(
        "vipcast_address_ready", "gauge", "1 where a shared address is up on a node", _ready, ("address", "node")
    ),
    Metric(
        "vipcast_packets_total",
        "counter",
        "Packets to a shared address on this host: accepted, or why dropped",
        _packets,
        ("address", "slot", "verdict"),
    ),
    Metric(
        "vipcast_bytes_total",
        "counter",
        "Bytes of these packets",
        _bytes,
        ("address", "slot", "verdict"),
    ),
    Metric(
        "vipcast_plan_seconds",
        "histogram",
        "What an entry of the log took: to apply it, and to plan anew",
        buckets=_plans,
    ),
    Metric("vipcast_actions", "gauge", "Actions of the plan that are not done yet", _actions, ("state",)),
    Metric("vipcast_findings", "gauge", "What the scheduler could not plan", _findings),
    Metric("vipcast_failed_actions", "gauge", "Operations that failed and were not cleaned up", _failed),
    Metric(
        "vipcast_operations_total",
        "counter",
        "Operations of agents on this host that have ended, by how",
        _operations,
        ("agent", "operation", "status"),
    ),
    Metric(
        "vipcast_operation_seconds_total",
        "counter",
        "What these operations took",
        _operation_seconds,
        ("agent", "operation", "status"),
    ),
)
