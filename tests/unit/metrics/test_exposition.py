"""`GET /metrics`: real documents of a living state, read back by Prometheus' own parser."""

from __future__ import annotations

import http.client
import json
import math
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.cluster.statistics import Statistics
from daemon.control.metrics import METRICS, exposition
from daemon.control.metrics.reference import reference
from daemon.control.schema import CounterStatus, DatapathStatus, LatenessStatus, LinkPeerStatus, LinkStatus
from daemon.measures import Histogram
from daemon.model.configuration import AttributeSet, Configuration, Location, NodeEntry
from daemon.model.edits.clones import clone_resource
from daemon.model.edits.resources import create_resource
from daemon.state.commands import Edit, Result
from daemon.state.state import State
from tests.unit.control.living import STAMP_MS, StateBackend, living
from tests.unit.executor.cluster import shared

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
Labels = frozenset[tuple[str, str]]


def told(text: bytes) -> dict[str, dict[Labels, float]]:
    """name → labels → value, by Prometheus' own reading."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in series, f"{sample.name} {sample.labels} twice: Prometheus refuses the whole scrape"
            series[labels] = sample.value
    return found


def value(series: dict[Labels, float], **labels: str) -> float:
    """Of the one sample that has these labels."""
    (found,) = [number for known, number in series.items() if known >= labels.items()]
    return found


def backend_with(configuration: Configuration) -> StateBackend:
    backend = StateBackend()
    backend.request(Edit(None, configuration.model_dump_json().encode(), "test", ""))
    backend.play()
    return backend


@pytest.fixture
def serving() -> StateBackend:
    """A shared address, a cloned web server, one that has failed, a constraint and an attribute."""
    configuration = shared(slots=8)
    configuration = create_resource(
        configuration, resource="lone", agent="ocf:pacemaker:Dummy", meta={"migration-threshold": "3"}
    )
    configuration = create_resource(configuration, resource="web", agent="ocf:heartbeat:apache")
    configuration = clone_resource(configuration, resource="web")
    location = Location(id="far", resource="lone", node="a4", score="-INFINITY")
    rack = NodeEntry(id="1", name="a1", attributes=(AttributeSet(id="n", values={"rack": 'x"7\n'}),))
    configuration = configuration.model_copy(update={"constraints": (location,), "nodes": (rack,)})
    return backend_with(configuration)


def test_every_name_of_the_table_is_told_with_its_help_and_kind(serving: StateBackend) -> None:
    text = exposition(serving.metrics()).decode()
    for metric in METRICS:
        assert f"# HELP {metric.name} {metric.help}\n" in text
        assert f"# TYPE {metric.name} {metric.kind}\n" in text


def test_names_are_told_once_and_follow_prometheus_customs() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert tuple(sorted(metric.labels)) == metric.labels or metric.name.startswith("vipcast_"), metric.name


def test_nodes_have_the_states_that_ha_cluster_exporter_tells(serving: StateBackend) -> None:
    nodes = told(exposition(serving.metrics()))["ha_cluster_pacemaker_nodes"]
    told_of_a1 = {dict(labels)["status"]: number for labels, number in nodes.items() if ("node", "a1") in labels}
    assert told_of_a1 == {
        "dc": 1,
        "expected_up": 1,
        "maintenance": 0,
        "online": 1,
        "pending": 0,
        "shutdown": 0,
        "standby": 0,
        "standby_onfail": 0,
        "unclean": 0,
    }


def test_a_resource_says_where_it_is_and_in_which_clone(serving: StateBackend) -> None:
    resources = told(exposition(serving.metrics()))["ha_cluster_pacemaker_resources"]
    assert value(resources, resource="web", clone="web-clone", node="a2", status="active", role="started") == 1
    assert value(resources, resource="lone", clone="", status="active", agent="ocf:pacemaker:Dummy") == 1
    slots = [dict(labels) for labels, number in resources.items() if number and ("clone", "VIP-clone") in labels]
    assert sorted(labels["resource"] for labels in slots) == [f"VIP:{number}" for number in range(8)]


def test_a_failure_is_counted_and_marks_the_resource_as_failed(serving: StateBackend) -> None:
    (node,) = serving.plan().placement["lone"]
    serving.request(Result(node, 1, "lone", "monitor", 10_000, 7, "done", "gone", 5, ""))
    found = told(exposition(serving.metrics()))
    assert value(found["ha_cluster_pacemaker_fail_count"], node=node, resource="lone") == 1
    assert value(found["ha_cluster_pacemaker_migration_threshold"], node=node, resource="lone") == 3
    assert value(found["ha_cluster_pacemaker_resources"], resource="lone", node=node, status="failed") == 1
    assert found["vipcast_failed_actions"] == {frozenset(): 1}


def test_a_score_of_infinity_and_a_value_with_a_quote_come_through(serving: StateBackend) -> None:
    found = told(exposition(serving.metrics()))
    constraint = value(
        found["ha_cluster_pacemaker_location_constraints"], constraint="far", node="a4", resource="lone"
    )
    assert constraint == -math.inf
    assert value(found["ha_cluster_pacemaker_node_attributes"], node="a1", name="rack", value='x"7\n') == 1


def test_votes_are_counted_as_quorum_status_counts_them(serving: StateBackend) -> None:
    found = told(exposition(serving.metrics()))
    votes = found["ha_cluster_corosync_quorum_votes"]
    assert {dict(labels)["type"]: number for labels, number in votes.items()} == {
        "expected_votes": 4,
        "highest_expected": 4,
        "quorum": 3,
        "total_votes": 4,
    }
    assert value(found["ha_cluster_corosync_member_votes"], node="a1", local="true", node_id="1") == 1
    assert found["ha_cluster_corosync_quorate"] == {frozenset(): 1}


def test_a_host_without_slots_has_a_zero_and_unserved_slots_are_seen(serving: StateBackend) -> None:
    found = told(exposition(serving.metrics()))["vipcast_slots"]
    assert sum(number for labels, number in found.items() if ("phase", "open") in labels) == 8
    assert value(found, node="", phase="open", address="VIP") == 0


def test_what_a_host_measures_is_told() -> None:
    backend = StateBackend()
    facts = backend.metrics()
    facts.measures.operation_ended("ocf:heartbeat:apache", "start", "done", 1500)
    facts.measures.operation_ended("ocf:heartbeat:apache", "start", "done", 500)
    facts.measures.commits.note(3_000_000)
    status = facts.status.__class__(
        **{
            **{name: getattr(facts.status, name) for name in facts.status.__struct_fields__},
            "datapath": DatapathStatus("bpf", (CounterStatus("VIP", 3, "foreign", 17, 1700),)),
            "lateness": LatenessStatus("SCHED_RR", "", 1, 0.5, 2.0, {"0.25": 3, "+Inf": 4}, 12.0),
            "links": (LinkStatus("eth0", "g", "gone", {"sent": 5}, (LinkPeerStatus("a2", 30),), "eth0"),),
            "refusals": {"not sealed with our key": 2},
        }
    )
    transport = Statistics({}, {}, {}, messages_received=7, messages_sent=8, incomplete=1)
    found = told(exposition(replace(facts, status=status, transport=transport)))
    done = {"agent": "ocf:heartbeat:apache", "operation": "start", "status": "done"}
    assert value(found["vipcast_operations_total"], **done) == 2
    assert value(found["vipcast_operation_seconds_total"], **done) == 2.0
    assert value(found["vipcast_packets_total"], address="VIP", slot="3", verdict="foreign") == 17
    assert value(found["vipcast_lateness_seconds_bucket"], le="0.00025") == 3
    assert found["vipcast_lateness_seconds_count"] == {frozenset(): 4}
    assert found["ha_cluster_corosync_ring_errors"] == {frozenset(): 1}
    assert value(found["ha_cluster_corosync_rings"], address="eth0", number="0") == 0
    assert value(found["vipcast_messages_total"], what="sent") == 8
    assert value(found["vipcast_commit_seconds_bucket"], le="0.005") == 1
    assert value(found["vipcast_commit_seconds_bucket"], le="0.0025") == 0


def test_a_time_exactly_at_a_bound_is_in_its_bucket() -> None:
    histogram = Histogram((0.001, 0.01))
    for took_ns in (0, 1_000_000, 1_000_001, 10_000_000, 10_000_001):
        histogram.note(took_ns)
    assert list(histogram.cumulative()) == [("0.001", 2), ("0.01", 4), ("+Inf", 5)]


def test_the_socket_answers_in_prometheus_own_type(serving: StateBackend) -> None:
    with living(serving) as alive:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(alive.path))
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        described = json.loads(alive.client.openapi())["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert told(text)["ha_cluster_pacemaker_config_last_change"] == {frozenset(): STAMP_MS / 1000}
    assert list(described) == ["text/plain"]


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "python -m daemon.control.metrics.reference > docs/reference/metrics.md"


OF_HA_CLUSTER_EXPORTER = {
    "ha_cluster_corosync_member_votes": {"local", "node", "node_id"},
    "ha_cluster_corosync_quorate": set(),
    "ha_cluster_corosync_quorum_votes": {"type"},
    "ha_cluster_corosync_ring_errors": set(),
    "ha_cluster_corosync_rings": {"address", "node_id", "number", "ring_id"},
    "ha_cluster_pacemaker_config_last_change": set(),
    "ha_cluster_pacemaker_fail_count": {"node", "resource"},
    "ha_cluster_pacemaker_location_constraints": {"constraint", "node", "resource", "role"},
    "ha_cluster_pacemaker_maintenance_mode_enabled": set(),
    "ha_cluster_pacemaker_migration_threshold": {"node", "resource"},
    "ha_cluster_pacemaker_node_attributes": {"name", "node", "value"},
    "ha_cluster_pacemaker_nodes": {"node", "status", "type"},
    "ha_cluster_pacemaker_resources": {
        *("agent", "clone", "group", "managed", "node", "resource", "role", "status"),
    },
    "ha_cluster_pacemaker_stonith_enabled": set(),
}
"""every name that its collectors for Pacemaker and Corosync make (ClusterLabs/ha_cluster_exporter, collector/)"""


def test_every_name_of_ha_cluster_exporter_is_told_with_its_labels() -> None:
    ours = {metric.name: set(metric.labels) for metric in METRICS if metric.name.startswith("ha_cluster_")}
    assert ours == OF_HA_CLUSTER_EXPORTER


def test_a_resource_that_has_not_failed_has_a_count_of_failures_to_rise_from(serving: StateBackend) -> None:
    (node,) = serving.plan().placement["lone"]
    counts = told(exposition(serving.metrics()))["ha_cluster_pacemaker_fail_count"]
    assert value(counts, node=node, resource="lone") == 0
    assert counts.keys() == told(exposition(serving.metrics()))["ha_cluster_pacemaker_migration_threshold"].keys()


def test_maintenance_of_the_whole_cluster_is_told(serving: StateBackend) -> None:
    name = "ha_cluster_pacemaker_maintenance_mode_enabled"
    assert told(exposition(serving.metrics()))[name] == {frozenset(): 0}
    configuration = serving.state.configuration
    option = AttributeSet(id="m", values={"maintenance-mode": "true"})
    changed = configuration.model_copy(update={"properties": (option,)})
    serving.request(Edit(None, changed.model_dump_json().encode(), "test", ""))
    assert told(exposition(serving.metrics()))[name] == {frozenset(): 1}


def test_when_the_configuration_changed_last_is_known_without_the_entry_of_the_log(serving: StateBackend) -> None:
    restored = State.thaw(serving.state.freeze())
    assert restored.edits[-1].stamp_ms == serving.entries[restored.configuration_epoch - 1].stamp_ms
