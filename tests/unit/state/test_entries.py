"""Entries: what is accepted, what is refused, and that everything is the same on every node."""

from __future__ import annotations

import pytest

from daemon.cluster.records import LogEntry, Noop, Request
from daemon.model.configuration import Colocation, Configuration
from daemon.state.commands import Cleanup, Edit, Refresh, Result, Tick
from daemon.state.state import State
from tests.unit.state.cluster import NODES, VIP, VIP_CLONE, WEB, WEB_CLONE, Cluster, serving, together


def test_two_nodes_that_apply_the_same_entries_are_equal_at_each_step() -> None:
    cluster = serving()
    cluster.lose("a3")
    cluster.admit("a3", incarnation=2)
    cluster.settle()
    one, two = State(NODES), State(NODES)
    for entry in cluster.entries:
        assert one.apply(entry) == two.apply(entry)
        assert one.digest() == two.digest()
    assert one.digest() == cluster.state.digest()
    assert one.plan == cluster.state.plan


def test_an_edit_made_from_an_older_epoch_is_a_conflict_and_changes_nothing() -> None:
    cluster = Cluster()
    cluster.admit()
    cluster.edit(WEB)
    epoch = cluster.state.configuration_epoch
    assert cluster.edit(WEB, VIP, base=epoch).accepted
    outcome = cluster.edit(VIP, base=epoch)
    assert not outcome.accepted
    assert outcome.conflict
    assert cluster.state.configuration.find("webserver") is not None


def test_an_edit_with_errors_is_refused_with_findings() -> None:
    cluster = Cluster()
    outcome = cluster.edit(
        WEB, constraints=(Colocation(id="c", resource="webserver", with_resource="ghost", score="5"),)
    )
    assert not outcome.accepted
    assert any("ghost" in finding.message for finding in outcome.findings)
    assert cluster.state.configuration == Configuration()


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\xc1", b"\x92\xa4edit", b"\x91" * 5_000, b"\x93\xa5slots\x01\x02", bytes(range(256))]
)
def test_a_request_that_cannot_be_read_is_refused_and_applied_as_such(body: bytes) -> None:
    state = State(NODES)
    outcome = state.apply(LogEntry(1, 1, 0, Request("a1", 1, 1, body)))
    assert not outcome.accepted
    assert outcome.sentence
    assert state.index == 1


@pytest.mark.parametrize("text", [b"", b"{}[", b'{"resources": 7}', b"[" * 100_000, b'{"unknown": 1}', b"\xff"])
def test_a_configuration_that_is_none_is_refused(text: bytes) -> None:
    cluster = Cluster()
    outcome = cluster.request(Edit(None, text, "root", "nonsense"))
    assert not outcome.accepted
    assert outcome.findings


def test_a_proposal_that_is_appended_twice_counts_once() -> None:
    cluster = serving()
    cluster.result("a1", "webserver", "monitor", 7, interval_ms=10_000)
    failures = dict(cluster.state.failures)
    repeated = cluster.entries[-1].command
    assert not cluster.entry(repeated).accepted
    assert dict(cluster.state.failures) == failures


def test_results_of_another_incarnation_are_refused() -> None:
    cluster = serving()
    assert not cluster.result("a1", "webserver", "stop", 0, incarnation=9).accepted
    assert not cluster.request(Result("ghost", 1, "webserver", "stop", 0, 0, "done", "", 1, "")).accepted


def test_a_failed_start_counts_as_infinitely_many_failures() -> None:
    cluster = Cluster()
    cluster.admit()
    cluster.edit(WEB)
    cluster.stubborn = {"webserver"}
    cluster.settle()
    cluster.result("a1", "webserver", "start", 1)
    assert cluster.state.failures["webserver", "a1"] == 1_000_000
    cluster.stubborn = set()
    cluster.settle()
    assert cluster.places("webserver") == ["a2"]


def test_cleanup_forgets_failures_and_looks_again() -> None:
    cluster = serving()
    cluster.result("a1", "webserver", "monitor", 7, interval_ms=10_000)
    cluster.request(Cleanup("webserver", None, "root"))
    assert not cluster.state.failures
    assert [a.operation for a in cluster.state.plan.runnable("a1")] == ["monitor"]


def test_refresh_probes_a_resource_on_every_node() -> None:
    cluster = serving()
    cluster.request(Refresh("webserver-clone", None, "root"))
    probes = [a.node for node in NODES for a in cluster.state.plan.runnable(node) if a.operation == "monitor"]
    assert sorted(probes) == list(NODES)


def test_the_state_knows_no_clock_but_the_largest_stamp() -> None:
    state = State(NODES)
    state.apply(LogEntry(1, 1, 5_000, Noop()))
    state.apply(LogEntry(2, 2, 3_000, Noop()))
    assert state.now_ms == 5_000


def test_a_tick_changes_nothing_but_the_time() -> None:
    cluster = serving()
    before = cluster.state.plan
    assert cluster.request(Tick()).accepted
    assert cluster.state.plan == before


def test_an_address_and_its_web_server_come_and_go_many_times_without_a_trace() -> None:
    cluster = serving()
    for _ in range(3):
        cluster.edit(VIP, WEB, constraints=together("webserver", "VIP"))
        cluster.settle()
        cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"))
        cluster.settle()
    assert sorted(cluster.holders().values()) == list(NODES)
    assert cluster.places("VIP") == []
