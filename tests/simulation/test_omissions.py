"""Each rule of LEASES.md that is left out is found: a checker that finds nothing proves nothing.

By chance where chance finds it within a bounded number of seeds, else by a scene, which must hold with the rule.
"""

from __future__ import annotations

import pytest

from tests.simulation.cast import Cast
from tests.simulation.omissions import OMISSIONS
from tests.simulation.omissions.arguments import ARGUMENTS

SEEDS_MAX = 150

BY_CHANCE = [name for name, omission in OMISSIONS.items() if omission.first_seed is not None]
IN_A_SCENE = [name for name, omission in OMISSIONS.items() if omission.scene is not None]


@pytest.mark.parametrize("name", BY_CHANCE)
def test_a_rule_left_out_is_found_by_chance(name: str) -> None:
    omission = OMISSIONS[name]
    assert omission.first_seed is not None
    seeds = range(omission.first_seed, omission.first_seed + SEEDS_MAX)
    assert any(omission.is_found_by(seed) for seed in seeds), f"{SEEDS_MAX} seeds, and nothing was violated"


@pytest.mark.parametrize("name", IN_A_SCENE)
def test_a_rule_left_out_is_found_in_a_scene(name: str) -> None:
    assert OMISSIONS[name].is_found_in_its_scene()


@pytest.mark.parametrize("name", IN_A_SCENE)
def test_the_same_scene_does_no_harm_where_the_rule_is_kept(name: str) -> None:
    omission = OMISSIONS[name]
    assert omission.scene is not None
    omission.scene(Cast(workload=omission.cast.workload))


def test_every_rule_is_left_out_once_or_has_an_argument() -> None:
    rules = {str(number) for number in range(1, 29)}
    planted = {omission.rule.split()[0] for omission in OMISSIONS.values()}
    argued = {rule.split()[0] for rule in ARGUMENTS}
    assert rules - planted - argued == set()


def test_every_omission_is_looked_for() -> None:
    assert set(BY_CHANCE) | set(IN_A_SCENE) == set(OMISSIONS)
