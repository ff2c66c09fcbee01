"""Drains by hand: what leaves, what comes back, what is refused, what is forgotten."""

from __future__ import annotations

import pytest

from daemon.cluster.core.presence import Present
from daemon.cluster.records import Member, Roster
from daemon.model.configuration import AttributeSet, Configuration
from daemon.scheduler.drained import Drained
from daemon.state import drains
from daemon.state.commands import Drain, Edit, RemoveNode
from daemon.state.overlay import Overlay
from daemon.state.slots import Phase
from daemon.state.state import State
from tests.unit.state.cluster import NODES, VIP, VIP_CLONE, WEB, WEB_CLONE, Cluster, clone, serving, together


def drain(cluster: Cluster, node: str | None = None, address: str | None = None, slot: int | None = None) -> str:
    outcome = cluster.request(Drain(node, address, slot, True, "root"))
    assert outcome.accepted, outcome.sentence
    return outcome.sentence


def undrain(cluster: Cluster, node: str | None = None, address: str | None = None, slot: int | None = None) -> str:
    outcome = cluster.request(Drain(node, address, slot, False, "root"))
    assert outcome.accepted, outcome.sentence
    return outcome.sentence


def refused(cluster: Cluster, node: str | None, address: str | None, slot: int | None, on: bool = True) -> str:
    before = dict(cluster.state.drains)
    outcome = cluster.request(Drain(node, address, slot, on, "root"))
    assert not outcome.accepted
    assert cluster.state.drains == before
    return outcome.sentence


def slot_of(cluster: Cluster, node: str) -> int:
    return next(n for n, holder in cluster.holders().items() if holder == node)


def test_a_drained_host_gives_its_slots_away_by_moves_that_break_nothing() -> None:
    cluster = serving()
    number = slot_of(cluster, "a2")
    drain(cluster, "a2")
    slot = cluster.state.slots["VIP"][number]
    assert (slot.holder, slot.phase) == ("a2", Phase.DRAINING)
    assert slot.successor not in (None, "a2")
    cluster.settle()
    assert "a2" not in cluster.holders().values()
    assert len(cluster.holders()) == 4


def test_nothing_else_is_stopped_on_a_drained_host_and_its_address_stays_up_closed() -> None:
    cluster = serving()
    running = set(cluster.running)
    drain(cluster, "a2")
    cluster.settle()
    assert cluster.running == running
    assert cluster.state.wishes("a2") == {"VIP": {}}
    assert not cluster.state.plan.actions


def test_a_drained_host_gets_nothing_until_undrain_not_even_after_it_was_lost() -> None:
    cluster = serving()
    drain(cluster, "a2")
    cluster.settle()
    cluster.lose("a1")
    cluster.settle()
    assert set(cluster.holders().values()) == {"a3", "a4"}
    cluster.lose("a2")
    cluster.admit("a1", "a2", incarnation=2)
    cluster.settle()
    assert set(cluster.holders().values()) == {"a1", "a3", "a4"}
    undrain(cluster, "a2")
    cluster.settle()
    assert sorted(cluster.holders().values()) == list(NODES)


def test_an_undrain_in_the_middle_takes_the_move_back() -> None:
    cluster = serving()
    number = slot_of(cluster, "a2")
    drain(cluster, "a2")
    undrain(cluster, "a2")
    slot = cluster.state.slots["VIP"][number]
    assert (slot.holder, slot.phase) == ("a2", Phase.OPEN)


def test_a_drained_address_is_served_nowhere_once_its_connections_have_ended_and_comes_back() -> None:
    cluster = serving()
    drain(cluster, None, "VIP")
    slots = cluster.state.slots["VIP"].values()
    assert {(s.phase, s.successor) for s in slots} == {(Phase.DRAINING, None)}
    cluster.settle()
    assert cluster.holders() == {}
    assert cluster.places("webserver") == list(NODES)
    assert not cluster.state.plan.findings
    undrain(cluster, None, "VIP")
    cluster.settle()
    assert sorted(cluster.holders().values()) == list(NODES)


@pytest.mark.parametrize("name", ["VIP", "VIP-clone", "192.168.110.120"])
def test_an_address_is_named_by_its_id_its_clone_or_its_ip(name: str) -> None:
    cluster = serving()
    drain(cluster, "a3", name)
    assert set(cluster.state.drains) == {Drained("a3", "VIP")}
    cluster.settle()
    assert "a3" not in cluster.holders().values()
    undrain(cluster, "a3", name)
    assert not cluster.state.drains


def test_a_drained_slot_leaves_its_owner_and_stays_away_from_it() -> None:
    cluster = serving()
    number = slot_of(cluster, "a2")
    assert f"slot VIP:{number} on a2" in drain(cluster, None, "VIP", number)
    cluster.settle()
    assert cluster.holders()[number] != "a2"
    assert len(cluster.holders()) == 4
    assert sorted(cluster.holders().values()) == list(NODES), "another slot has taken its place"
    cluster.lose("a4")
    cluster.settle()
    assert cluster.holders()[number] != "a2"
    undrain(cluster, None, "VIP", number)
    assert not cluster.state.drains


def test_the_last_host_that_can_hold_the_slots_is_not_drained() -> None:
    cluster = serving()
    for node in ("a1", "a2", "a3"):
        drain(cluster, node)
    cluster.settle()
    sentence = refused(cluster, "a4", None, None)
    assert sentence.startswith("a4 is the last host that can hold 4 of its 4 slots of VIP")
    assert "a4 is the last host that can hold slot 0 of VIP" in refused(cluster, None, "VIP", 0)
    drain(cluster, None, "VIP")
    cluster.settle()
    assert cluster.holders() == {}


def test_hosts_that_are_full_are_no_way_out() -> None:
    cluster = serving()
    one_each = clone("VIP-clone", VIP, clone_max="4", clone_node_max="1", globally_unique="true")
    cluster.edit(one_each, WEB_CLONE)
    cluster.settle()
    assert "full (clone-node-max)" in refused(cluster, "a2", None, None)


def test_when_only_drained_hosts_are_left_nobody_serves_and_that_is_told() -> None:
    cluster = serving()
    for node in ("a1", "a2", "a3"):
        drain(cluster, node)
    cluster.settle()
    cluster.lose("a4")
    cluster.settle()
    assert cluster.holders() == {}
    assert any("drained" in finding for finding in cluster.state.plan.findings)
    undrain(cluster, "a1")
    cluster.settle()
    assert set(cluster.holders().values()) == {"a1"}


def test_what_cannot_be_meant_is_refused_by_name() -> None:
    cluster = serving()
    assert "no node 'a9' in the cluster; there are: a1, a2, a3, a4" in refused(cluster, "a9", None, None)
    assert "no address 'X'" in refused(cluster, None, "X", None)
    assert "there is no slot 4" in refused(cluster, None, "VIP", 4)
    assert "there is no slot -1" in refused(cluster, None, "VIP", -1)
    assert "names a node" in refused(cluster, None, None, None)
    assert "names a node" in refused(cluster, "a1", None, 3)
    assert "a1 is not drained; what is: nothing" in refused(cluster, "a1", None, None, on=False)
    drain(cluster, "a1")
    assert "a1 is drained already" in refused(cluster, "a1", None, None)
    assert "VIP is not drained; what is: a1" in refused(cluster, None, "VIP", None, on=False)
    cluster.request(RemoveNode("a3", "root"))
    assert "on its way out" in refused(cluster, "a3", None, None)


def test_there_is_an_end_to_how_much_can_be_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drains, "DRAINS_MAX", 2)
    cluster = serving()
    drain(cluster, None, "VIP", 0)
    drain(cluster, None, "VIP", 1)
    assert "2 things are drained already" in refused(cluster, None, "VIP", 2)


def test_an_address_that_is_not_managed_is_not_drained() -> None:
    cluster = serving()
    unmanaged = VIP_CLONE.model_copy(
        update={"meta": (*VIP_CLONE.meta, AttributeSet(id="off", values={"is-managed": "false"}))}
    )
    configuration = Configuration(
        resources=(unmanaged, WEB_CLONE), constraints=together("webserver-clone", "VIP-clone")
    )
    cluster.request(Edit(None, configuration.model_dump_json().encode(), "root", ""))
    assert "not managed" in refused(cluster, "a2", None, None)


def test_drains_are_forgotten_with_what_they_name() -> None:
    cluster = serving()
    drain(cluster, "a1")
    drain(cluster, "a2", "VIP")
    drain(cluster, None, "VIP", 3)
    three = clone("VIP-clone", VIP, clone_max="3", clone_node_max="4", globally_unique="true")
    cluster.edit(three, WEB_CLONE)
    assert set(cluster.state.drains) == {Drained("a1"), Drained("a2", "VIP")}
    cluster.edit(VIP, WEB)
    assert set(cluster.state.drains) == {Drained("a1")}
    cluster.entry(Roster(tuple(Member(n, "", True) for n in NODES[1:]), why="a1 goes"))
    assert not cluster.state.drains


def test_drains_are_part_of_what_is_frozen() -> None:
    cluster = serving()
    drain(cluster, "a1")
    drain(cluster, "a2", "VIP")
    drain(cluster, None, "VIP", slot_of(cluster, "a4"))
    thawed = State.thaw(cluster.state.freeze())
    assert thawed.drains == cluster.state.drains
    assert thawed.digest() == cluster.state.digest()


def test_the_order_of_drains_does_not_matter() -> None:
    """Two clusters, drained in another order, come to serve by hosts that are not drained, and return to all."""
    for order in (("a1", "a2", "a3"), ("a3", "a1", "a2")):
        cluster = serving()
        for node in order:
            drain(cluster, node)
        cluster.settle()
        assert set(cluster.holders().values()) == {"a4"}
        for node in order:
            undrain(cluster, node)
        cluster.settle()
        assert sorted(cluster.holders().values()) == list(NODES)


def test_without_quorum_a_drained_host_gets_nothing_and_a_drained_address_stays_drained() -> None:
    cluster = serving()
    drain(cluster, "a2")
    cluster.settle()
    here = tuple(Present(name, 1, f"boot-of-{name}") for name in ("a1", "a2"))
    overlay = Overlay("a1", cluster.state.freeze(), here)
    assert {s.holder for s in overlay.state.slots["VIP"].values()} == {"a1"}
    drain(cluster, None, "VIP")
    overlay = Overlay("a1", cluster.state.freeze(), here)
    assert all(s.phase is Phase.DRAINING for s in overlay.state.slots["VIP"].values())
