"""Golden layouts of `vipcast status`, `vipcast cluster status` and `vipcast status slots`."""

from __future__ import annotations

import time

import msgspec
import pytest

from daemon.cli.layout.cluster import cluster_status, failed_action, nodes, slots, status
from daemon.control.schema import DatapathStatus, FailedAction, LinkStatus, SlotStatus
from tests.unit.control import documents


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


FAILURE = FailedAction(
    "webserver", "start", 0, "a2", 5, "done", "no apache2 here", stamp_ms=1_700_000_000_000, fail_count=1_000_000
)


def test_the_status_of_a_cluster_that_is_well() -> None:
    document = documents.status(datapath=DatapathStatus(engine="nft"))
    assert list(status(document)) == [
        "Cluster name: demo",
        "Leader: a1 (term 7, version 0.1.0) - partition with quorum",
        "Seen from: a1 (entry 42, configuration 40)",
        "4 nodes configured",
        "4 resource instances configured",
        "",
        "Online: [ a1 a2 a3 a4 ]",
        "",
        "Full list of resources:",
        "",
        " Clone Set: VIP-clone [VIP] (unique)",
        "     VIP:0  (ocf::heartbeat:IPaddr2):  Started a1",
        "     VIP:1  (ocf::heartbeat:IPaddr2):  Started a2",
        "     VIP:2  (ocf::heartbeat:IPaddr2):  Started a3",
        "     VIP:3  (ocf::heartbeat:IPaddr2):  Started a4",
        "",
        "Address VIP (192.168.110.120/24, 21:37:6f:88:c2:a0, 4 slots by sourceip-sourceport):",
        "  up on a1, a2, a3, a4",
        "  a1: 1 slot: 0",
        "  a2: 1 slot: 1",
        "  a3: 1 slot: 2",
        "  a4: 1 slot: 3",
        "",
        "Daemon Status:",
        "  vipcastd on a1: active",
        "  datapath: nft",
    ]


def test_a_node_without_quorum_and_behind_says_so() -> None:
    lines = list(status(documents.status(quorate=False, leader=None, applied_index=40)))
    assert lines[1] == "Leader: NONE (term 7, version 0.1.0) - partition WITHOUT quorum"
    assert lines[2] == "Seen from: a1 (entry 42, 2 not applied yet, configuration 40)"


def test_failures_are_told_with_their_reasons() -> None:
    lines = list(status(documents.status(failed_actions=(FAILURE,), findings=("web: no node can run it",))))
    at = lines.index("Failed Resource Actions:")
    assert lines[at + 1] == (
        "* webserver_start_0 on a2 'not installed' (5): status='done', exitreason='no apache2 here', "
        "last-rc-change='Tue Nov 14 22:13:20 2023', fail-count=1000000"
    )
    assert lines[lines.index("The scheduler says:") + 1] == "* web: no node can run it"


def test_a_failure_without_a_reason_has_no_empty_one() -> None:
    assert "exitreason" not in failed_action(msgspec.structs.replace(FAILURE, reason=""))


def test_nodes_are_listed_by_what_they_are() -> None:
    a1, a2, a3, a4 = documents.status().nodes
    replace = msgspec.structs.replace
    told = (replace(a1, standby=True), replace(a2, maintenance=True, online=False), replace(a3, online=False), a4)
    assert list(nodes(documents.status(nodes=told))) == [
        "Node a1: standby",
        "Node a2: OFFLINE (maintenance)",
        "Online: [ a4 ]",
        "OFFLINE: [ a3 ]",
    ]


def test_slots_are_told_by_host_and_those_that_nobody_serves_are_not_hidden() -> None:
    held = ["a1"] * 3 + ["a2"] * 2 + [None, "a1", "a2"]
    told = tuple(SlotStatus(number, host, "open" if host else "free") for number, host in enumerate(held))
    moving = (*told[:7], SlotStatus(7, "a2", "draining", "a3"))
    document = documents.status(addresses=(documents.address(slots=moving, slots_total=8),))
    assert list(slots(document))[2:] == [
        "  a1: 4 slots: 0-2 6",
        "  a2: 3 slots: 3-4 7",
        "  nobody: 1 slot: 5",
        "  slot 7 moves from a2 to a3 (draining)",
    ]


def test_the_cluster_status_tells_each_node_and_link() -> None:
    link = LinkStatus("eth0", "239.255.42.1:5405", counts={"sent": 10, "received": 30})
    broken = LinkStatus("eth1", "239.255.42.1:5405", trouble="no such interface")
    document = documents.status(links=(link, broken), refusals={"not sealed": 2})
    a4 = msgspec.structs.replace(
        document.nodes[3], online=False, role="unknown", last_heard_ms=61_000, lease_left_ms=0
    )
    lines = list(cluster_status(msgspec.structs.replace(document, nodes=(*document.nodes[:3], a4))))
    assert lines[lines.index("Nodes:") + 1 :] == [
        " a1  online, leader, this node, lease 310 ms",
        " a2  online, follower, heard 12 ms ago, lease 310 ms",
        " a3  online, follower, heard 12 ms ago, lease 310 ms",
        " a4  OFFLINE, unknown, heard 61 s ago, NO LEASE",
        "",
        "Links:",
        " eth0 (239.255.42.1:5405): 30 received, 10 sent",
        " eth1 (239.255.42.1:5405): no such interface",
        "Refused datagrams: 2 not sealed",
    ]


def test_refusals_that_a_healthy_cluster_has_as_well_are_not_shown_to_people() -> None:
    link = LinkStatus("eth0", "239.255.42.1:5405", counts={"sent": 10, "received": 30})
    expected = {"unproven": 3, "own": 2, "replayed": 40}
    both = documents.status(links=(link, link), refusals=expected)
    assert not [line for line in cluster_status(both) if line.startswith("Refused")]
    one = documents.status(links=(link,), refusals={**expected, "not sealed": 1})
    assert "Refused datagrams: 1 not sealed, 40 replayed" in list(cluster_status(one))
