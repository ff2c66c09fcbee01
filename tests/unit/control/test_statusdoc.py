"""The status document, put together from what the parts say."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from daemon.cli.layout.cluster import cluster_status
from daemon.cluster.core.effects import CoreStatus, PeerStatus, Role
from daemon.cluster.records import Lost
from daemon.cluster.statistics import Statistics
from daemon.control import statusdoc
from daemon.control.schema import StatusDocument
from daemon.linksettings import Link
from daemon.model.configuration import Configuration, NodeEntry
from daemon.model.edits.clones import clone_resource
from daemon.model.edits.nodes import standby
from daemon.model.edits.resources import create_resource
from daemon.state.commands import Edit, Result
from datapath.engine import Address, Counter, HashKind, Wish
from tests.unit.control.living import HOSTS, StateBackend

NOW_NS = 60_000_000_000
MS = 1_000_000


def peer(name: str, **changes: Any) -> PeerStatus:
    told: dict[str, Any] = {
        "name": name,
        "rank": HOSTS.index(name),
        "last_heard_ns": NOW_NS - 30 * MS,
        "live": True,
        "fresh": True,
        "incarnation": 1,
        "admitted": True,
        "admitted_incarnation": 1,
        "epoch": 1,
        "enforced_epoch": 1,
    }
    return PeerStatus(**{**told, **changes})


def core(*peers: PeerStatus, **changes: Any) -> CoreStatus:
    told: dict[str, Any] = {
        "name": "a2",
        "incarnation": 1,
        "role": Role.FOLLOWER,
        "leader": "a1",
        "term": 5,
        "last_index": 9,
        "commit": 9,
        "applied": 9,
        "quorate": True,
        "lease_until_ns": NOW_NS + 123 * MS,
        "outstanding_proposals": 0,
        "peers": peers or tuple(peer(name) for name in HOSTS),
    }
    return CoreStatus(**{**told, **changes})


def built(backend: StateBackend, status: CoreStatus | None = None, **changes: Any) -> StatusDocument:
    told: dict[str, Any] = {
        "settings": backend.settings,
        "state": backend.state,
        "core": status or core(),
        "engine": "raw",
        "serving": (),
        "counters": (),
        "transport": None,
        "as_of_ns": NOW_NS,
        "now_ns": NOW_NS,
    }
    return statusdoc.build(**{**told, **changes})


def shared(backend: StateBackend, **options: str) -> None:
    """Make the cluster share an address, and let it come to rest."""
    plain = create_resource(
        Configuration(),
        resource="VIP",
        agent="ocf:heartbeat:IPaddr2",
        options={"ip": "192.168.110.120", **options},
    )
    meta = {"globally-unique": "true", "clone-max": "4", "clone-node-max": "4"}
    edited = clone_resource(plain, resource="VIP", meta=meta)
    assert backend.request(Edit(None, edited.model_dump_json().encode(), "root", "share")).accepted
    backend.play()


def test_nodes_are_told_as_state_and_core_know_them() -> None:
    backend = StateBackend()
    backend.append(Lost("a4"))
    peers = (
        peer("a1"),
        peer("a2", last_heard_ns=None),
        peer("a3", last_heard_ns=None, live=False),
        peer("a4", live=True),
    )
    a1, a2, a3, a4 = built(backend, core(*peers)).nodes
    assert (a1.role, a1.online, a1.last_heard_ms, a1.lease_left_ms) == ("leader", True, 30, None)
    assert (a2.role, a2.last_heard_ms, a2.lease_left_ms) == ("follower", None, 123)
    assert (a3.role, a3.last_heard_ms) == ("unknown", None)
    assert (a4.online, a4.pending) == (False, True)


def test_a_node_whose_store_was_lost_is_a_learner_and_the_document_says_what_that_means() -> None:
    peers = (peer("a1"), peer("a2"), peer("a3", store_lost=True), peer("a4"))
    document = built(StateBackend(), core(*peers))
    assert [node.role for node in document.nodes] == ["leader", "follower", "learner", "follower"]
    (finding,) = document.findings
    assert finding == "a3 is a learner: its store was lost; it votes again once its new one has caught up"


def test_a_node_that_joins_says_what_it_waits_for() -> None:
    alone = (peer("a2", role="joining"), peer("a1", live=False))
    heard = (peer("a2", role="joining"), peer("a1"))
    (finding,) = built(StateBackend(), core(*alone, leader=None)).findings
    assert finding.startswith("a2 is joining: it waits to be heard by a member of the cluster.")
    document = built(StateBackend(), core(*heard, leader=None))
    assert document.findings == ("a2 is joining: it hears a1, and waits for their leader to take it in",)
    assert {node.name: node.role for node in document.nodes}["a2"] == "joining"


def test_whom_a_new_cluster_waits_for_is_in_the_document() -> None:
    (finding,) = built(StateBackend(), core(leader=None, waits_for=("a3", "a4"))).findings
    assert finding.endswith("a2 has not heard a3, a4")


def test_a_lease_that_has_ended_is_no_negative_number() -> None:
    document = built(StateBackend(), core(lease_until_ns=NOW_NS - 5 * MS))
    assert document.nodes[1].lease_left_ms == 0
    assert built(StateBackend(), core(lease_until_ns=None)).nodes[1].lease_left_ms == 0


def test_standby_is_read_from_the_configuration_and_nodes_of_it_alone_are_listed_too() -> None:
    backend = StateBackend()
    entries = tuple(NodeEntry(id=str(number), name=name) for number, name in enumerate((*HOSTS, "b1"), 1))
    edited = standby(Configuration(nodes=entries), nodes=["a3"])
    backend.request(Edit(None, edited.model_dump_json().encode(), "root", ""))
    nodes = {node.name: node for node in built(backend).nodes}
    assert [name for name, node in nodes.items() if node.standby] == ["a3"]
    assert (nodes["b1"].online, nodes["b1"].role) == (False, "unknown")


def test_a_shared_address_has_its_mac_and_seed_also_where_this_host_does_not_serve_it() -> None:
    backend = StateBackend()
    shared(backend, cidr_netmask="24", clusterip_hash="sourceip")
    (address,) = built(backend).addresses
    assert (address.mac, address.hash, address.prefixlen) == ("21:37:6f:88:c2:a0", "sourceip", 24)
    assert address.ready == HOSTS
    assert sorted(slot.holder or "" for slot in address.slots) == list(HOSTS)
    assert all(slot.phase == "open" and slot.opened for slot in address.slots)


def test_what_hangs_on_the_interface_is_unknown_until_this_host_serves_it() -> None:
    backend = StateBackend()
    shared(backend)
    (address,) = built(backend).addresses
    assert (address.prefixlen, address.mac, address.interface) == (None, "", "")
    served = Address("VIP", ip_address("192.168.110.120"), 24, "eth7", "21:37:6f:88:c2:a0", HashKind.SOURCEIP, 0, 4)
    (address,) = built(backend, serving=(Wish(served),)).addresses
    assert (address.prefixlen, address.mac, address.interface) == (24, "21:37:6f:88:c2:a0", "eth7")


def test_an_address_that_is_shared_no_more_is_none() -> None:
    backend = StateBackend()
    shared(backend, cidr_netmask="24")
    backend.request(Edit(None, Configuration().model_dump_json().encode(), "root", "all gone"))
    document = built(backend)
    assert document.addresses == ()
    backend.play()
    assert built(backend).resources == ()


def test_links_tell_their_troubles_and_the_datapath_its_counters() -> None:
    statistics = Statistics(
        links={"eth0": {"sent": 3}},
        troubles={"eth0": "network is down"},
        refusals={"bad-seal": 2},
        messages_received=0,
        messages_sent=0,
        incomplete=0,
    )
    counter = Counter("VIP", 2, "accepted", 10, 600)
    document = built(StateBackend(), transport=statistics, counters=(counter,))
    (link,) = document.links
    assert (link.interface, link.group, link.trouble) == ("eth0", "239.255.42.1:5405", "network is down")
    assert document.refusals == {"bad-seal": 2}
    assert document.datapath.engine == "raw"
    assert (document.datapath.counters[0].slot, document.datapath.counters[0].packets) == (2, 10)
    assert built(StateBackend()).links[0].trouble == "not open yet"


def test_two_links_on_one_interface_have_names_and_counts_of_their_own() -> None:
    backend = StateBackend()
    links = (*backend.settings.links, Link(interface="eth0", group="239.255.42.1", port=5406))
    statistics = Statistics(
        links={"eth0:5405": {"sent": 3}, "eth0:5406": {"sent": 4}},
        troubles={"eth0:5406": "network is down"},
        refusals={},
        messages_received=0,
        messages_sent=0,
        incomplete=0,
    )
    settings = replace(backend.settings, links=links)
    document = built(backend, settings=settings, transport=statistics)
    assert [(link.interface, link.name, link.counts["sent"], link.trouble) for link in document.links] == [
        ("eth0", "eth0:5405", 3, ""),
        ("eth0", "eth0:5406", 4, "network is down"),
    ]
    shown = "\n".join(cluster_status(document))
    assert " eth0:5406 (239.255.42.1:5406): network is down: 4 sent" in shown


def web(backend: StateBackend) -> None:
    edited = create_resource(Configuration(), resource="web", agent="systemd:nginx")
    backend.request(Edit(None, edited.model_dump_json().encode(), "root", ""))


def test_planned_actions_are_told_with_what_runs_and_what_waits() -> None:
    backend = StateBackend()
    web(backend)
    pending = built(backend).pending_actions
    assert {(action.operation, action.running) for action in pending} >= {("monitor", True)}
    assert all(not action.running for action in pending if action.operation == "start")
    backend.play()
    assert built(backend).pending_actions == ()


@pytest.mark.parametrize(
    ("operation", "interval_ms", "code", "status", "failed"),
    [
        ("start", 0, 1, "done", True),
        ("start", 0, 0, "done", False),
        ("start", 0, 1, "timeout", True),
        ("monitor", 0, 7, "done", False),
        ("monitor", 0, 0, "done", False),
        ("monitor", 0, 1, "done", True),
        ("monitor", 10_000, 7, "done", True),
        ("monitor", 10_000, 0, "done", False),
    ],
)
def test_what_counts_as_a_failed_action(
    operation: str, interval_ms: int, code: int, status: str, failed: bool
) -> None:
    backend = StateBackend()
    web(backend)
    backend.request(Result("a1", 1, "web", operation, interval_ms, code, status, "because", 5, ""))
    found = [action for action in built(backend).failed_actions if action.instance == "web"]
    assert bool(found) is failed
    assert all(action.reason == "because" for action in found)


@pytest.mark.parametrize(
    ("as_of_ns", "age_ms"), [(NOW_NS, 0), (NOW_NS - 1, 1), (NOW_NS - 41 * MS, 41), (None, None)]
)
def test_the_answer_says_how_old_it_can_be_at_most(as_of_ns: int | None, age_ms: int | None) -> None:
    assert built(StateBackend(), as_of_ns=as_of_ns).age_ms_max == age_ms
