"""Slots through the life of a cluster: given out, lost, moved, taken back (LEASES.md, rules 20 to 28)."""

from __future__ import annotations

from daemon.model.configuration import INFINITY, AttributeSet, Configuration
from daemon.state.slots import Phase
from daemon.state.state import State
from datapath.engine import SlotState
from tests.unit.state.cluster import (
    NODES,
    VIP,
    VIP_CLONE,
    WEB,
    WEB_CLONE,
    Cluster,
    clone,
    primitive,
    serving,
    together,
)


def test_four_hosts_get_a_slot_each_and_a_web_server() -> None:
    cluster = serving()
    assert sorted(cluster.holders().values()) == list(NODES)
    assert cluster.places("webserver") == list(NODES)
    assert all(slot.opened for slot in cluster.state.slots["VIP"].values())


def test_the_runbook_from_a_plain_address_to_a_shared_one() -> None:
    cluster = Cluster()
    cluster.admit()
    cluster.edit(VIP, WEB)
    cluster.settle()
    assert cluster.places("VIP") != cluster.places("webserver")
    cluster.edit(VIP, WEB, constraints=together("webserver", "VIP"))
    cluster.settle()
    assert cluster.places("VIP") == cluster.places("webserver") == ["a1"]
    cluster.edit(VIP_CLONE, WEB, constraints=together("webserver", "VIP-clone"))
    assert cluster.holders() == {}, "the plain address has to be stopped first"
    beside = [node for node in NODES if cluster.state.wishes(node)]
    assert beside == [], "nor is it up with closed slots anywhere: whoever asks the segment would find it taken"
    cluster.settle()
    assert cluster.places("VIP") == []
    assert sorted(cluster.holders().values()) == list(NODES)
    cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"))
    cluster.settle()
    assert cluster.places("webserver") == list(NODES)


def test_a_shared_address_becomes_plain_again_only_when_no_slot_is_held() -> None:
    cluster = serving()
    cluster.edit(VIP, WEB)
    starts = [a for node in NODES for a in cluster.state.plan.runnable(node) if a.instance == "VIP"]
    assert not starts
    cluster.settle()
    assert len(cluster.places("VIP")) == 1
    assert cluster.state.slots == {}


def test_all_slots_of_a_lost_node_are_given_away_within_its_entry() -> None:
    cluster = serving()
    before = cluster.holders()
    outcome = cluster.lose("a2")
    after = cluster.holders()
    assert set(after) == set(before)
    assert "a2" not in after.values()
    assert [slot for slot in before if before[slot] != after[slot]] == [s for s in before if before[s] == "a2"]
    moved = cluster.state.slots["VIP"][next(s for s in before if before[s] == "a2")]
    assert moved.phase is Phase.OPEN
    assert moved.generation == len(cluster.entries)
    assert outcome.slots_changed


def test_a_node_that_returns_gets_its_slot_only_when_its_web_server_runs() -> None:
    cluster = serving()
    cluster.lose("a2")
    cluster.stubborn = {"webserver"}
    cluster.admit("a2", incarnation=2)
    cluster.settle()
    assert "VIP" in cluster.state.wishes("a2"), "the address is up, closed, so that the web server can start"
    assert cluster.state.wishes("a2")["VIP"] == {}
    assert "a2" not in cluster.holders().values()
    cluster.stubborn = set()
    cluster.settle()
    assert sorted(cluster.holders().values()) == list(NODES)


def test_a_move_goes_through_draining_and_split_with_two_holders_at_most() -> None:
    cluster = serving()
    number = next(n for n, holder in cluster.holders().items() if holder == "a1")
    cluster.mute = {"a1"}
    cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"), standby=("a1",))
    cluster.settle()
    slot = cluster.state.slots["VIP"][number]
    assert (slot.holder, slot.phase) == ("a1", Phase.DRAINING)
    successor = slot.successor
    assert successor is not None
    assert cluster.state.wishes("a1")["VIP"][number] is SlotState.DRAINING
    assert cluster.state.wishes(successor)["VIP"][number] is SlotState.CLOSED
    assert cluster.slots("a1", "drained", {number: slot.generation}).accepted
    assert cluster.state.wishes("a1")["VIP"][number] is SlotState.DRAINING
    assert cluster.state.wishes(successor)["VIP"][number] is SlotState.OPENING
    assert cluster.slots("a1", "closed", {number: slot.generation}).accepted
    assert cluster.holders()[number] == successor
    assert cluster.state.wishes(successor)["VIP"][number] is SlotState.OPEN


def test_a_web_server_is_not_stopped_while_its_host_still_serves() -> None:
    cluster = serving()
    cluster.mute = {"a1"}
    cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"), standby=("a1",))
    cluster.settle()
    assert not [action for action in cluster.state.plan.runnable("a1") if action.operation == "stop"]
    cluster.mute = set()
    cluster.settle()
    assert cluster.places("webserver") == ["a2", "a3", "a4"]


def test_a_move_that_is_taken_back_before_it_drained_costs_nothing() -> None:
    cluster = serving()
    before = cluster.holders()
    cluster.mute = {"a1"}
    constraints = together("webserver-clone", "VIP-clone")
    cluster.edit(VIP_CLONE, WEB_CLONE, standby=("a1",), constraints=constraints)
    cluster.settle()
    cluster.edit(VIP_CLONE, WEB_CLONE, constraints=constraints)
    assert cluster.holders() == before
    assert all(slot.phase is Phase.OPEN for slot in cluster.state.slots["VIP"].values())


def test_losing_the_successor_leaves_the_slot_to_its_holder_under_a_new_generation() -> None:
    cluster = serving()
    number = next(n for n, holder in cluster.holders().items() if holder == "a1")
    cluster.mute = {"a1"}
    cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"), standby=("a1",))
    cluster.settle()
    moving = cluster.state.slots["VIP"][number]
    cluster.slots("a1", "drained", {number: moving.generation})
    assert moving.successor is not None
    cluster.lose(moving.successor)
    slot = cluster.state.slots["VIP"][number]
    assert slot.holder == "a1"
    assert slot.generation == len(cluster.entries)


def test_losing_the_holder_opens_the_slot_at_its_successor() -> None:
    cluster = serving()
    number = next(n for n, holder in cluster.holders().items() if holder == "a1")
    cluster.mute = {"a1"}
    cluster.edit(VIP_CLONE, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"), standby=("a1",))
    cluster.settle()
    moving = cluster.state.slots["VIP"][number]
    cluster.lose("a1")
    slot = cluster.state.slots["VIP"][number]
    assert (slot.holder, slot.phase) == (moving.successor, Phase.OPEN)


def test_reports_of_another_generation_or_incarnation_are_ignored() -> None:
    cluster = serving()
    number, generation = next((n, s.generation) for n, s in cluster.state.slots["VIP"].items() if s.holder == "a1")
    before = dict(cluster.state.slots["VIP"])
    assert not cluster.slots("a1", "closed", {number: generation}).accepted
    assert not cluster.slots("a1", "drained", {number: generation - 1}).accepted
    assert not cluster.slots("a2", "drained", {number: generation}).accepted
    assert not cluster.slots("a1", "opened", {number: generation}, incarnation=7).accepted
    assert cluster.state.slots["VIP"] == before


def test_a_new_incarnation_inherits_its_slots_and_is_probed_again() -> None:
    cluster = serving()
    before = cluster.holders()
    cluster.admit("a1", incarnation=2)
    assert cluster.holders() == before
    assert cluster.state.plan.runnable("a1"), "what runs there is looked up"
    assert not [a for a in cluster.state.plan.actions if a.operation == "stop"]
    cluster.settle()
    assert cluster.holders() == before
    assert cluster.places("webserver") == list(NODES)


def test_a_node_that_is_not_admitted_has_no_wishes() -> None:
    cluster = serving()
    cluster.lose("a3")
    assert cluster.state.wishes("a3") == {}
    assert cluster.state.wishes("nobody") == {}


def test_a_kernel_that_refuses_an_address_releases_nothing_by_that() -> None:
    cluster = serving()
    before = cluster.holders()
    assert cluster.slots("a1", "failed", {}).accepted
    assert cluster.state.failures["VIP", "a1"] == INFINITY, "like a failed start: not tried again before a cleanup"
    assert {n: s.holder for n, s in cluster.state.slots["VIP"].items()} == before


def test_a_host_whose_web_server_cannot_run_serves_no_slot() -> None:
    cluster = serving()
    cluster.result("a2", "webserver", "monitor", 7, interval_ms=10_000)
    stop = next(action for action in cluster.state.plan.runnable("a2") if action.operation == "stop")
    cluster.running.discard(("a2", "webserver"))
    cluster.result("a2", stop.instance, "stop", 0)
    cluster.result("a2", "webserver", "start", 1)
    cluster.settle()
    assert "a2" not in cluster.holders().values()
    assert len(cluster.holders()) == 4


def test_another_number_of_slots_closes_all_before_any_is_given_out() -> None:
    cluster = serving()
    wider = clone("VIP-clone", VIP, clone_max="8", clone_node_max="8", globally_unique="true")
    cluster.edit(wider, WEB_CLONE, constraints=together("webserver-clone", "VIP-clone"))
    assert all(slot.phase is Phase.CLOSING for slot in cluster.state.slots["VIP"].values())
    assert all(set(cluster.state.wishes(n)["VIP"].values()) == {SlotState.CLOSED} for n in NODES)
    cluster.mute = {"a4"}
    cluster.settle()
    assert list(cluster.holders().values()) == ["a4"], "one host still has to say that it is closed"
    cluster.mute = set()
    cluster.settle()
    assert sorted(cluster.holders().values()) == sorted([*NODES, *NODES])


def test_two_addresses_have_slots_of_their_own() -> None:
    cluster = serving()
    other = primitive("VIP6", "IPaddr2", ip="192.168.110.130", cidr_netmask="24")
    other_clone = clone("VIP6-clone", other, clone_max="2", clone_node_max="1", globally_unique="true")
    cluster.edit(VIP_CLONE, WEB_CLONE, other_clone, constraints=together("webserver-clone", "VIP-clone"))
    cluster.settle()
    holders = [slot.holder for slot in cluster.state.slots["VIP6"].values()]
    assert len(set(holders)) == 2
    assert len(cluster.holders()) == 4


def test_a_deleted_address_is_closed_before_it_is_forgotten() -> None:
    cluster = serving()
    cluster.mute = {"a1"}
    cluster.edit(WEB_CLONE)
    cluster.settle()
    assert list(cluster.holders().values()) == ["a1"]
    cluster.mute = set()
    cluster.settle()
    assert cluster.state.slots == {}


def test_a_configuration_that_asks_for_fencing_is_planned_without_it() -> None:
    state = State(NODES)
    properties = AttributeSet(id="cib-bootstrap-options", values={"stonith-enabled": "true", "batch-limit": "3"})
    state.configuration = Configuration(properties=(properties,))
    (planned,) = state.view().configuration.properties
    assert planned.values == {"batch-limit": "3"}
    assert state.configuration.properties == (properties,), "what the administrator wrote stays"
