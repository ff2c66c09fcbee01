"""Nodes that come and go: what they are given, what they give away, and what is forgotten of them."""

from __future__ import annotations

from daemon.cluster.records import Member, Roster
from daemon.state import tiebreaker
from daemon.state.commands import RemoveNode
from daemon.state.state import State
from tests.unit.state.cluster import NODES, VIP, WEB_CLONE, Cluster, clone, serving

ALL = clone("VIP-clone", VIP, clone_node_max="8", globally_unique="true")
"""as many slots as there are nodes"""


def roster(*names: str, witnesses: tuple[str, ...] = ()) -> Roster:
    members = (*(Member(n, "", True) for n in names), *(Member(n, "", True, witness=True) for n in witnesses))
    return Roster(members, why="somebody wishes")


def remove(cluster: Cluster, node: str) -> str:
    outcome = cluster.request(RemoveNode(node, "root"))
    assert outcome.accepted, outcome.sentence
    return outcome.sentence


def test_a_new_member_is_given_slots_once_it_is_admitted() -> None:
    cluster = Cluster(State(NODES[:3]))
    cluster.admit(*NODES[:3])
    cluster.edit(clone("VIP-clone", VIP, clone_max="4", clone_node_max="4", globally_unique="true"))
    cluster.mute.add("a4")
    cluster.settle()
    cluster.entry(roster(*NODES))
    assert cluster.state.members == NODES
    cluster.mute.clear()
    cluster.admit("a4")
    cluster.settle()
    assert sorted(cluster.holders().values()) == list(NODES)


def test_the_number_of_members_without_witnesses_is_the_number_of_slots_by_default() -> None:
    cluster = Cluster()
    cluster.admit()
    cluster.edit(ALL)
    assert cluster.state.slot_driven()["VIP"].slots == 4
    cluster.entry(roster("a1", "a2", "a3", witnesses=("a4",)))
    assert cluster.state.slot_driven()["VIP"].slots == 3
    assert cluster.state.witnesses == {"a4"}


def test_a_witness_is_given_nothing_and_asked_nothing() -> None:
    cluster = Cluster()
    cluster.entry(roster("a1", "a2", "a3", witnesses=("a4",)))
    cluster.admit()
    cluster.edit(ALL, WEB_CLONE)
    cluster.settle()
    assert set(cluster.holders().values()) == {"a1", "a2", "a3"}
    assert cluster.places("webserver") == ["a1", "a2", "a3"]
    assert "a4" not in cluster.state.view().nodes
    assert not any(operation.node == "a4" for operation in cluster.state.results.operations.values())


def test_a_member_that_becomes_a_witness_gives_everything_away() -> None:
    cluster = serving()
    cluster.entry(roster("a1", "a2", "a3", witnesses=("a4",)))
    assert "a4" in cluster.holders().values()
    cluster.settle()
    assert "a4" not in cluster.holders().values()
    assert "a4" not in cluster.places("webserver")


def test_a_node_that_is_removed_gives_everything_away_before_it_counts_as_retired() -> None:
    cluster = serving()
    remove(cluster, "a3")
    assert cluster.state.retired == frozenset()
    cluster.settle()
    assert "a3" not in cluster.holders().values()
    assert len(cluster.holders()) == 4
    assert "a3" not in cluster.places("webserver")
    assert cluster.state.retired == {"a3"}
    cluster.admit("a3", incarnation=2)
    cluster.settle()
    assert "a3" not in cluster.holders().values(), "its daemon was started again meanwhile"
    assert cluster.state.retired == {"a3"}


def test_a_node_that_is_off_has_nothing_to_give_away() -> None:
    cluster = serving()
    cluster.lose("a3")
    remove(cluster, "a3")
    assert cluster.state.retired == {"a3"}


def test_the_roster_without_it_ends_a_removal_and_forgets_the_node() -> None:
    cluster = serving()
    cluster.slots("a3", "failed", {})
    remove(cluster, "a3")
    cluster.settle()
    cluster.lose("a3")
    cluster.entry(roster("a1", "a2", "a4"))
    state = cluster.state
    assert state.retired == frozenset()
    assert "a3" not in state.nodes
    assert "a3" not in state.view().nodes
    assert not any("a3" in key for key in (*state.results.operations, *state.failures, *state.refusals))
    assert not any(key[0] == "a3" for key in state.started.origins)
    assert not any(key[0] == "a3" for key in state.tickets.seen)


def test_what_the_configuration_says_of_a_removed_node_stays_and_is_nothing_to_go_by() -> None:
    cluster = serving()
    cluster.edit(ALL, standby=("a3",))
    cluster.settle()
    epoch = cluster.state.configuration_epoch
    cluster.lose("a3")
    cluster.entry(roster("a1", "a2", "a4"))
    assert [entry.name for entry in cluster.state.configuration.nodes] == ["a3"]
    assert cluster.state.configuration_epoch == epoch
    assert cluster.state.slot_driven()["VIP"].slots == 3
    assert "a3" not in cluster.state.view().nodes


def test_a_node_that_leaves_or_has_left_is_wished_to_break_ties_no_more() -> None:
    cluster = serving()
    assert tiebreaker.of("a3", cluster.state) == "a3"
    remove(cluster, "a3")
    assert tiebreaker.of("a3", cluster.state) == ""
    cluster.lose("a3")
    cluster.entry(roster("a1", "a2", witnesses=("a4",)))
    assert [tiebreaker.of(name, cluster.state) for name in ("a3", "a1", "a4", "")] == ["", "a1", "a4", ""]


def test_a_removal_that_is_repeated_is_harmless() -> None:
    cluster = serving()
    remove(cluster, "a3")
    assert "already" in remove(cluster, "a3")


def test_an_unknown_node_is_refused_with_those_that_there_are() -> None:
    outcome = serving().request(RemoveNode("a9", "root"))
    assert not outcome.accepted
    assert outcome.sentence == "there is no node 'a9' in the cluster; there are: a1, a2, a3, a4"


def test_the_last_node_that_serves_is_not_removed_though_a_witness_is_there() -> None:
    cluster = Cluster()
    cluster.entry(roster("a1", "a2", witnesses=("a4",)))
    remove(cluster, "a2")
    outcome = cluster.request(RemoveNode("a1", "root"))
    assert not outcome.accepted
    assert "last node" in outcome.sentence
    assert remove(cluster, "a4")


def test_a_roster_with_a_node_that_is_to_leave_leaves_the_removal_as_it_is() -> None:
    cluster = serving()
    remove(cluster, "a3")
    cluster.entry(roster(*NODES, "a5"))
    cluster.settle()
    assert cluster.state.retired == {"a3"}
    assert State.thaw(cluster.state.freeze()).retired == {"a3"}
