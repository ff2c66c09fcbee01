"""Two nodes with power switches: one that has fenced the other goes on alone, and nothing it has committed is lost."""

from __future__ import annotations

import pytest

from daemon.cluster.core.fencing import FencingRefusedError
from tests.simulation.cast import SHIPPED, Cast
from tests.simulation.counts import Counts
from tests.simulation.invariants import ViolationError
from tests.simulation.scenes.fencing import Pair
from tests.simulation.workloads.daemon import DaemonWorkload
from tests.simulation.world import World

SEEDS = 30


def run(seed: int) -> Counts:
    """Mostly two cores alone; some with the whole daemon above them, some with nodes that may join."""
    spares = seed % 3 if seed % 4 == 3 else 0
    cast = Cast(workload=DaemonWorkload()) if seed % 10 == 9 else SHIPPED
    world = World(seed, nodes=2, cast=cast, spares=spares, fences=True)
    try:
        return world.run()
    except ViolationError as violation:
        pytest.fail(f"seed {seed}: {violation}\n{world.trace.text(60)}", pytrace=False)


def test_every_invariant_holds_whatever_fails_while_two_nodes_fence_each_other() -> None:
    counts = [run(seed) for seed in range(SEEDS)]
    assert sum(count.fenced for count in counts) > SEEDS // 2


def test_whoever_fenced_the_other_leads_alone_and_takes_edits_until_that_one_is_back() -> None:
    scene = Pair(SHIPPED)
    scene.fence("a1", "a2", for_ms=3000)
    scene.until(lambda: scene.leads("a1") and scene.host("a1").leased(scene.world.now_ns))
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.until(lambda: scene.world.ailing() is None, within_ms=6000)
    assert not scene.is_counted("a2", by="a1")
    assert len(scene.world.invariants.consensus.committed) == scene.host("a2").running.applied


def test_without_a_confirmation_the_one_that_is_left_does_not_lead() -> None:
    scene = Pair(SHIPPED)
    scene.cut_off("a2", for_ms=3000)
    scene.go_on(2000)
    assert not scene.leads("a1")
    assert not scene.host("a1").leased(scene.world.now_ns)


def test_a_host_that_booted_alone_may_not_count_the_other_one() -> None:
    scene = Pair(SHIPPED)
    for name in ("a1", "a2"):
        scene.cut_off(name, for_ms=100 if name == "a1" else 5000)
    scene.until(lambda: scene.host("a1").process is not None)
    scene.go_on(500)
    core = scene.core("a1")
    with pytest.raises(FencingRefusedError, match="has not taken part since it booted"):
        core.confirm_fenced("a2", core.newest_incarnation("a2"), "root", scene.host("a1").local_ns)
    assert core.presence(scene.host("a1").local_ns).to_fence == ""


def test_a_daemon_that_starts_again_on_the_same_boot_fences_once_more_and_goes_on() -> None:
    scene = Pair(SHIPPED)
    scene.fence("a1", "a2", for_ms=9000)
    scene.until(lambda: scene.is_counted("a2", by="a1") and scene.leads("a1"))
    scene.edit("a1")
    scene.until(lambda: scene.edit_is_acknowledged)
    scene.host("a1").die()
    scene.host("a1").start()
    scene.go_on(1000)
    assert not scene.leads("a1")
    assert scene.core("a1").presence(scene.host("a1").local_ns).to_fence == "a2"
    scene.confirm("a1", "a2", scene.newest("a1", "a2"))
    scene.until(lambda: scene.leads("a1") and scene.host("a1").leased(scene.world.now_ns))


def test_the_count_ends_and_so_does_the_leadership_when_the_dead_one_speaks() -> None:
    scene = Pair(SHIPPED)
    scene.part({"a1"})
    scene.go_on(400)
    scene.confirm("a1", "a2", scene.newest("a1", "a2"))
    scene.until(lambda: scene.leads("a1"))
    scene.network.cut = set()
    scene.until(lambda: not scene.is_counted("a2", by="a1"))
    assert not scene.leads("a1")
    assert "FencingWasWrong(peer='a2', by='switch')" in scene.world.trace.text()
    scene.until(lambda: scene.world.ailing() is None)


def test_a_fenced_node_can_be_taken_off_and_the_one_that_is_left_needs_nobody_any_more() -> None:
    scene = Pair(SHIPPED)
    scene.fence("a1", "a2", for_ms=20_000)
    scene.until(lambda: scene.is_counted("a2", by="a1") and scene.leads("a1"))
    scene.host("a1").edit(b"retire a2 1")
    scene.until(lambda: [member.name for member in scene.world.roster.members] == ["a1"])
    assert not scene.is_counted("a2", by="a1")
    scene.host("a1").die()
    scene.host("a1").start()
    scene.until(lambda: scene.leads("a1"))


def test_a_third_node_that_joins_takes_the_agreement_back_before_it_votes() -> None:
    scene = Pair(SHIPPED, spares=1)
    scene.host("b1").is_away = False
    scene.host("b1").start()
    scene.until(lambda: scene.world.ailing() is None and len(scene.world.roster.members) == 3)
    assert not scene.world.roster.fencing
    with pytest.raises(FencingRefusedError, match="has 3 voters"):
        scene.core("a1").replica.fencing.confirm("a2", 99, "root", 0)
