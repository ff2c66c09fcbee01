"""Scenes of nodes that come and go, beside those that find a planted omission."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.cast import SHIPPED
from tests.simulation.network import NS_PER_MS
from tests.simulation.scenes.rosters import the_only_one_that_knows_of_its_removal
from tests.simulation.scenes.stage import Scene
from tests.simulation.world import World


def test_the_cluster_goes_on_where_only_the_removed_one_has_heard_of_its_removal() -> None:
    the_only_one_that_knows_of_its_removal(SHIPPED)


def test_a_leader_that_is_to_go_hands_over_first_and_is_then_dismissed() -> None:
    scene = Scene(SHIPPED, nodes=3)
    scene.host("a1").edit(b"retire a1 1")
    scene.until(lambda: scene.host("a1").is_away and scene.world.ailing() is None)
    assert {member.name for member in scene.world.roster.members} == {"a2", "a3"}


def test_a_dead_voter_is_taken_off_and_told_when_it_comes_back() -> None:
    scene = Scene(SHIPPED, nodes=3)
    scene.host("a3").die()
    scene.host("a1").edit(b"retire a3 1")
    scene.until(lambda: not any(member.name == "a3" for member in scene.world.roster.members))
    scene.host("a3").start()
    scene.until(lambda: scene.host("a3").is_away)


def test_a_founder_that_comes_with_the_disk_before_the_one_that_was_removed_is_told_too() -> None:
    scene = Scene(SHIPPED, nodes=3)
    scene.lose_disk("a3")
    scene.host("a3").start()
    scene.until(lambda: scene.world.ailing() is None)
    scene.host("a3").die()
    scene.host("a3").disk.put_back()
    scene.host("a1").edit(b"retire a3 1")
    scene.until(lambda: scene.world.roster.removed == (("a3", "store-2"),))
    scene.host("a3").start()
    scene.until(lambda: scene.host("a3").is_away)


def test_a_lost_disk_costs_its_node_the_vote_only_until_it_has_caught_up() -> None:
    scene = Scene(SHIPPED, nodes=3)
    scene.lose_disk("a2")
    scene.host("a2").start()
    scene.until(lambda: scene.world.ailing() is None and scene.world.invariants.consensus.roster is not None)
    voters = {member.name: member.store_id for member in scene.world.roster.members if member.votes}
    assert voters == {"a1": "store-1", "a2": "store-2", "a3": "store-1"}


def test_a_witness_votes_holds_nothing_and_hands_leadership_on() -> None:
    scene = Scene(SHIPPED, nodes=2, spares=1)
    witness = scene.host("b1")
    witness.is_away, witness.witness = False, True
    witness.start()
    scene.until(lambda: scene.world.ailing() is None and len(scene.world.roster.members) == 3)
    assert scene.world.roster.members[-1].votes
    assert not witness.leased(scene.world.now_ns)
    leader = next(name for name in ("a1", "a2") if scene.leads(name))
    scene.until(lambda: scene.has_all_entries("b1"))
    scene.hand_over(scene.host(leader), "b1")
    scene.until(lambda: scene.leads("b1"))
    scene.until(lambda: scene.leads("a1") or scene.leads("a2"))


def voters(world: World) -> set[str]:
    return {member.name for member in world.roster.members if member.votes}


def test_a_voter_that_is_gone_for_a_minute_gives_its_vote_to_a_learner_and_learns_when_it_comes_back() -> None:
    """Of nine the first seven vote.  With the timers that ship."""
    world = World(1, nodes=9, profile="default")
    assert world.timers.absence_ms == 60_000
    for number, host in enumerate(world.hosts.values()):
        host.clock.ppm = 0
        world.at(number * NS_PER_MS, host.start)
    is_whole = looked(world, lambda: world.ailing() is None)
    assert world.run_until(5_000 * NS_PER_MS, is_whole), world.ailing()
    assert voters(world) == set(world.names[:7])
    world.hosts["a3"].reboot()
    world.run_until(world.now_ns + 59_000 * NS_PER_MS)
    assert voters(world) == set(world.names[:7]), "it might come back"
    world.run_until(world.now_ns + 2_000 * NS_PER_MS)
    voting = voters(world)
    assert len(voting) == 7
    assert "a3" not in voting
    for name in ("a1", "a2", "a4"):  # with the dead one's vote, these would be a majority of seven
        world.hosts[name].reboot()
    assert world.run_until(world.now_ns + 5_000 * NS_PER_MS, looked(world, lambda: leads_and_commits(world)))
    for name in ("a1", "a2", "a3", "a4"):
        world.hosts[name].start()
    assert world.run_until(world.now_ns + 10_000 * NS_PER_MS, is_whole), world.ailing()
    assert voters(world) == voting
    assert world.hosts["a3"].leased(world.now_ns)


def leads_and_commits(world: World) -> bool:
    """Somebody does, and has declared the three lost who served until now."""
    leading = [host for host in world.hosts.values() if host.leads(world.now_ns)]
    return bool(leading) and {"a1", "a2", "a4"} <= world.invariants.consensus.lost


def looked(world: World, condition: Callable[[], bool]) -> Callable[[], bool]:
    """Looked at every few milliseconds: it costs more than a step."""
    next_ns = 0

    def look() -> bool:
        nonlocal next_ns
        if world.now_ns < next_ns:
            return False
        next_ns = world.now_ns + 5 * NS_PER_MS
        return condition()

    return look
