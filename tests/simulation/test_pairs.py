"""Two nodes with a third party: a witness, or a vote more for one of them."""

from __future__ import annotations

import pytest

from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.invariants import ViolationError
from tests.simulation.scenes.overlays import SLOTS
from tests.simulation.scenes.pairs import Witnessed, a_witness_that_alone_knows_the_newest_entry
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.workloads.shares import SharesWorkload
from tests.simulation.world import World

SEEDS = 5


@pytest.mark.parametrize(
    ("witnesses", "cast"),
    [
        (1, SHIPPED),
        (1, Cast(workload=DaemonWorkload())),
        (0, Cast(workload=SharesWorkload(tie_breaker="a1"))),
        (0, Cast(workload=DaemonWorkload(tie_breaker="a2"))),
    ],
)
def test_two_nodes_and_a_third_party_keep_the_invariants_under_every_fault(witnesses: int, cast: Cast) -> None:
    for seed in range(SEEDS):
        world = World(seed, nodes=2, cast=cast, witnesses=witnesses)
        try:
            world.run()
        except ViolationError as violation:
            pytest.fail(f"seed {seed}: {violation}\n{world.trace.text(60)}", pytrace=False)


def test_a_witness_that_alone_knows_the_newest_entry_leads_until_another_knows_it() -> None:
    a_witness_that_alone_knows_the_newest_entry(SHIPPED)


@pytest.mark.parametrize("lost", ["a1", "a2", "w1"])
def test_whoever_of_three_is_lost_the_nodes_that_are_left_serve_everything(lost: str) -> None:
    scene = Witnessed(Cast(workload=DaemonWorkload()))
    scene.administer("a1", banned=())
    scene.until(lambda: scene.world.ailing() is None and bool(scene.host("a2").kernel.states))
    scene.host(lost).reboot()
    left = [name for name in ("a1", "a2") if name != lost]
    scene.until(
        lambda: all(any(len(scene.host(n).accepts(s, scene.world.now_ns)) == 2 for n in left) for s in SLOTS)
    )
    scene.edit(left[-1])
    scene.until(lambda: scene.edit_is_acknowledged)


def test_a_witness_that_is_cut_off_from_one_node_leaves_everything_with_the_other_two() -> None:
    scene = Witnessed(SHIPPED)
    scene.let_lead("a2")
    scene.network.cut = {("a1", "w1"), ("w1", "a1")}
    scene.go_on(1000)
    assert scene.leads("a2")
    assert scene.world.ailing() is None


def test_a_node_that_neither_the_other_nor_the_witness_hears_is_silent() -> None:
    scene = Witnessed(SHIPPED)
    scene.part({"a1"})
    scene.until(lambda: scene.serves_all("a2"))
    assert not scene.host("a1").leased(scene.world.now_ns)
    scene.network.cut = set()
    scene.until(lambda: scene.world.ailing() is None)
