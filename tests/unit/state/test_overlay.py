"""no-quorum-policy=ignore: what a partition serves, laid over the last committed state."""

from __future__ import annotations

import pytest

from daemon.cluster.core.presence import Present
from daemon.model.configuration import Location
from daemon.state.commands import Result, Slots
from daemon.state.overlay import Overlay
from daemon.state.slots import Phase, Slot
from tests.unit.executor.cluster import INCARNATION, NODES, Cluster, shared, webserver


def present(*names: str, incarnation: int = INCARNATION) -> tuple[Present, ...]:
    return tuple(Present(name, incarnation, "boot") for name in names)


def serving() -> Cluster:
    cluster = Cluster(shared())
    cluster.probed("VIP")
    cluster.ready()
    assert {slot.holder for slot in cluster.state.slots["VIP"].values()} == set(NODES)
    return cluster


def test_nodes_of_a_partition_compute_the_same_from_the_same_log() -> None:
    base = serving().state.freeze()
    states = [Overlay(name, base, present("a1", "a2")).state for name in ("a1", "a2")]
    assert states[0].digest() == states[1].digest()


def test_the_committed_state_is_not_touched() -> None:
    cluster = serving()
    before = cluster.state.digest()
    overlay = Overlay("a1", cluster.state.freeze(), present("a1"))
    overlay.report(Slots("a1", INCARNATION, "VIP", "ready", {}))
    assert cluster.state.digest() == before


def test_slots_of_nodes_that_are_heard_stay_and_the_others_are_given_out() -> None:
    cluster = serving()
    before = {n: slot.holder for n, slot in cluster.state.slots["VIP"].items()}
    after = {
        n: s.holder
        for n, s in Overlay("a1", cluster.state.freeze(), present("a1", "a2")).state.slots["VIP"].items()
    }
    assert {after[n] for n in before} == {"a1", "a2"}
    assert all(after[n] == holder for n, holder in before.items() if holder in {"a1", "a2"})


def test_no_slot_moves_between_two_nodes_that_are_heard() -> None:
    """a1 is banned by an edit; the move to a2 that had begun waits for a word that a2's overlay never hears."""
    cluster = serving()
    ban = Location(id="ban", resource="VIP-clone", node="a1", score="-INFINITY")
    cluster.edit(shared().model_copy(update={"constraints": (ban,)}))
    moving = [n for n, slot in cluster.state.slots["VIP"].items() if slot.phase is Phase.DRAINING]
    assert moving
    for name in ("a1", "a2"):
        slots = Overlay(name, cluster.state.freeze(), present("a1", "a2")).state.slots["VIP"]
        assert all(slots[n].phase is Phase.OPEN and slots[n].holder == "a1" for n in moving)


def test_a_slot_that_was_being_closed_is_given_out() -> None:
    cluster = serving()
    number, slot = next(iter(cluster.state.slots["VIP"].items()))
    cluster.state.slots["VIP"][number] = Slot(slot.holder, slot.generation, Phase.CLOSING)
    overlay = Overlay("a1", cluster.state.freeze(), present("a1", "a2"))
    assert overlay.state.slots["VIP"][number].phase is Phase.OPEN


def test_a_node_of_another_life_takes_part_anew_and_is_probed() -> None:
    cluster = Cluster(webserver())
    cluster.probed("web")
    overlay = Overlay("a1", cluster.state.freeze(), present("a1", incarnation=INCARNATION + 1))
    assert overlay.state.nodes["a1"].incarnation == INCARNATION + 1
    assert [action.operation for action in overlay.state.plan.runnable("a1")] == ["monitor"]


def test_own_results_survive_that_another_node_is_heard() -> None:
    cluster = Cluster(webserver())
    cluster.probed("web")
    overlay = Overlay("a1", cluster.state.freeze(), present("a1"))
    overlay.report(Result("a1", INCARNATION, "web", "start", 0, 0, "done", "", 1, ""))
    assert overlay.hear(present("a1", "a2"))
    assert overlay.state.results.standing("a1", "web") == "running"
    assert overlay.started_here() == ["web"]


def test_who_is_heard_again_unchanged_changes_nothing() -> None:
    overlay = Overlay("a1", serving().state.freeze(), present("a1", "a2"))
    assert not overlay.hear(present("a1", "a2"))


@pytest.mark.parametrize("exit_code", [0, 1])
def test_what_was_stopped_again_was_not_started_here(exit_code: int) -> None:
    cluster = Cluster(webserver())
    cluster.probed("web")
    overlay = Overlay("a1", cluster.state.freeze(), present("a1"))
    overlay.report(Result("a1", INCARNATION, "web", "start", 0, 0, "done", "", 1, ""))
    overlay.report(Result("a1", INCARNATION, "web", "stop", 0, exit_code, "done", "", 1, ""))
    assert overlay.started_here() == ([] if exit_code == 0 else ["web"])
