"""no-quorum-policy in whole clusters: the code that ships, under partitions and every other fault."""

from __future__ import annotations

import pytest

from tests.simulation.cast import Cast
from tests.simulation.counts import Counts
from tests.simulation.invariants import ViolationError
from tests.simulation.scenes.overlays import SLOTS, Serving
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.world import World

CAST = Cast(workload=DaemonWorkload())


def run(seed: int, nodes: int, **properties: str) -> Counts:
    world = World(seed, nodes=nodes, cast=Cast(workload=DaemonWorkload(**properties)))
    try:
        return world.run()
    except ViolationError as violation:
        pytest.fail(f"seed {seed}, {nodes} nodes, {properties}: {violation}\n{world.trace.text(60)}", pytrace=False)


@pytest.mark.parametrize(
    ("nodes", "properties"),
    [
        (4, {"no_quorum_policy": "ignore", "wait_for_all": "false"}),
        (4, {"no_quorum_policy": "ignore"}),
        (2, {"no_quorum_policy": "ignore"}),
        (2, {"no_quorum_policy": "ignore", "wait_for_all": "false"}),
    ],
)
def test_overlays_double_slots_only_for_themselves_and_are_closed_before_a_grant(
    nodes: int, properties: dict[str, str]
) -> None:
    counts = [run(seed, nodes, **properties) for seed in range(4)]
    assert sum(count.overlays for count in counts) > 0


def breaks_ties(scene: Serving, name: str) -> bool:
    return all(scene.core(node).replica.electorate.tie_breaker == name for node in scene.world.names)


def test_of_two_nodes_the_one_with_the_tie_breaker_goes_on_and_the_other_is_silent() -> None:
    scene = Serving(CAST, 2, tie_breaker="a1")
    scene.until(lambda: breaks_ties(scene, "a1") and scene.world.ailing() is None)
    scene.part({"a1"})
    scene.until(lambda: scene.served("a1") == set(SLOTS))
    scene.go_on(1000)
    assert scene.served("a2") == set()
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.network.cut = set()
    scene.until(lambda: scene.world.ailing() is None)


def test_of_two_nodes_the_one_without_the_tie_breaker_is_silent_when_the_other_dies() -> None:
    scene = Serving(CAST, 2, tie_breaker="a1")
    scene.until(lambda: breaks_ties(scene, "a1") and scene.world.ailing() is None)
    scene.host("a1").reboot()
    scene.go_on(2000)
    assert scene.served() == set()


def test_a_tie_breaker_keeps_every_invariant_under_faults() -> None:
    for seed in range(4):
        run(seed, 2, tie_breaker="a1")


@pytest.mark.parametrize("policy", ["stop", "freeze", "suicide"])
def test_under_every_other_policy_nothing_is_exempt(policy: str) -> None:
    assert sum(run(seed, 4, no_quorum_policy=policy).overlays for seed in range(2)) == 0


def test_under_ignore_both_halves_of_four_serve_all_and_each_half_serves_nothing_twice() -> None:
    scene = Serving(CAST, 4, no_quorum_policy="ignore")
    scene.part({"a1", "a2"})
    scene.until(lambda: scene.served("a1", "a2") == scene.served("a3", "a4") == set(SLOTS))
    scene.go_on(500)
    for one, other in (("a1", "a2"), ("a3", "a4")):
        assert not scene.served(one) & scene.served(other)
    scene.network.cut = set()
    scene.until(lambda: scene.world.ailing() is None)


def test_under_stop_a_half_of_four_serves_nothing() -> None:
    scene = Serving(CAST, 4, no_quorum_policy="stop")
    scene.part({"a1", "a2"})
    scene.go_on(500)
    assert scene.served() == set()


def test_of_two_nodes_under_ignore_the_one_that_is_left_serves_everything_alone() -> None:
    scene = Serving(CAST, 2, no_quorum_policy="ignore")
    scene.host("a2").reboot()
    scene.until(lambda: scene.served("a1") == set(SLOTS))


def test_a_node_that_boots_alone_waits_for_all() -> None:
    scene = Serving(CAST, 2, no_quorum_policy="ignore")
    for name in ("a1", "a2"):
        scene.host(name).reboot()
    scene.host("a1").start()
    scene.go_on(3000)
    assert scene.served() == set()
    scene.host("a2").start()
    scene.until(lambda: scene.world.ailing() is None and scene.served() == set(SLOTS))


def test_of_three_nodes_the_one_that_is_cut_off_doubles_and_the_others_keep_their_quorum() -> None:
    scene = Serving(CAST, 3, no_quorum_policy="ignore")
    scene.part({"a3"})
    scene.until(lambda: scene.served("a3") == scene.served("a1", "a2") == set(SLOTS))
    assert not any(scene.host(name).kernel.overlaid_deadline for name in ("a1", "a2"))
    scene.network.cut = set()
    scene.until(lambda: scene.world.ailing() is None)
