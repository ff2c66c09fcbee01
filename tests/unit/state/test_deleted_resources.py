"""What runs is stopped as it was started, though the configuration knows it no more."""

from __future__ import annotations

from daemon.cluster.records import Admit, Lost
from daemon.definition import define
from daemon.model.configuration import AnyResource, AttributeSet
from tests.unit.state.cluster import VIP, VIP_CLONE, WEB, Cluster, primitive


def running(resource: AnyResource) -> tuple[Cluster, str]:
    """(cluster, the node on which the resource runs)"""
    cluster = Cluster()
    cluster.admit()
    assert cluster.edit(resource).accepted
    cluster.settle()
    (place,) = cluster.places(resource.id)
    return cluster, place


def stops(cluster: Cluster, node: str) -> list[str]:
    return [a.instance for a in cluster.state.plan.runnable(node) if a.operation == "stop"]


def test_a_deleted_resource_is_stopped_on_its_node_by_the_definition_it_was_started_with() -> None:
    cluster, node = running(WEB)
    assert cluster.edit().accepted
    assert stops(cluster, node) == ["webserver"]
    known = cluster.state.definable(node, "webserver", "stop")
    stop = define(known, "webserver", "stop", 0)
    assert stop is not None
    assert (stop.agent, stop.parameters) == (WEB.agent, dict(WEB.instance[0].values))
    cluster.settle()
    assert cluster.places("webserver") == []
    assert not [key for key in cluster.state.operations if key[:2] == (node, "webserver")]
    assert not cluster.state.failures


def test_an_address_that_is_given_another_ip_is_taken_off_with_the_old_one() -> None:
    cluster, node = running(VIP)
    other = VIP.model_copy(update={"instance": (AttributeSet(id="i", values={"ip": "192.168.110.131"}),)})
    assert cluster.edit(other).accepted
    stop = define(cluster.state.definable(node, "VIP", "stop"), "VIP", "stop", 0)
    start = define(cluster.state.definable(node, "VIP", "start"), "VIP", "start", 0)
    assert stop is not None
    assert start is not None
    assert (stop.parameters["ip"], start.parameters["ip"]) == ("192.168.110.120", "192.168.110.131")


def test_a_start_whose_result_comes_after_the_deletion_is_stopped_too() -> None:
    cluster = Cluster()
    cluster.admit()
    cluster.edit(WEB)
    for node in cluster.state.members:
        cluster.result(node, "webserver", "monitor", 7)
    (start,) = [a for a in cluster.state.plan.actions if a.operation == "start"]
    cluster.edit()
    cluster.result(start.node, "webserver", "start", 0)
    assert stops(cluster, start.node) == ["webserver"]
    assert define(cluster.state.definable(start.node, "webserver", "stop"), "webserver", "stop", 0) is not None


def test_what_was_deleted_while_its_daemon_was_away_is_stopped_when_it_is_back() -> None:
    cluster, node = running(WEB)
    cluster.entry(Lost(node))
    cluster.edit()
    cluster.admit(node, incarnation=2)
    assert stops(cluster, node) == ["webserver"]


def test_a_host_that_has_started_anew_runs_nothing_that_would_have_to_be_stopped() -> None:
    cluster, node = running(WEB)
    cluster.edit()
    cluster.entry(Admit(node, 2, "another boot"))
    assert stops(cluster, node) == []


def test_a_plain_address_under_a_new_name_starts_after_the_old_one_has_stopped() -> None:
    cluster, node = running(VIP)
    renamed = primitive("NEW", "IPaddr2", ip="192.168.110.120")
    cluster.edit(renamed)
    for name in cluster.state.members:
        cluster.result(name, "NEW", "monitor", 7)
    runnable = {(n, a.operation) for n in cluster.state.members for a in cluster.state.plan.runnable(n)}
    assert runnable == {(node, "stop")}
    cluster.settle()
    assert cluster.places("VIP") == []
    assert len(cluster.places("NEW")) == 1


def test_slots_of_an_address_wait_for_a_plain_one_with_its_ip_under_another_name() -> None:
    cluster, node = running(primitive("OLD", "IPaddr2", ip="192.168.110.120"))
    cluster.edit(VIP_CLONE)
    for name in cluster.state.members:
        cluster.result(name, "VIP", "monitor", 7)
    assert cluster.holders() == {}
    cluster.result(node, "OLD", "stop", 0)
    assert len(cluster.holders()) == 4
