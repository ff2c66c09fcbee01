"""Each rule of LEASES.md that is left out is found: a checker that finds nothing proves nothing.

By chance where chance finds it within a bounded number of seeds, else by a scene, which must hold with the rule.
"""

from __future__ import annotations

import pytest

from daemon.cluster.core import Core
from tests.simulation.invariants import ViolationError
from tests.simulation.omissions import OMISSIONS, omitting
from tests.simulation.scripts import SCRIPTS

SEEDS_MAX = 150

BY_CHANCE = {
    "promise": 0,
    "ll-from-send": 40,
    "tail-check": 50,
    "send-anchor": 20,
    "drift-loss": 40,
    "epoch": 30,
    "absolute-deadline": 0,
}
"""rule → where to begin looking: known to be near"""


@pytest.mark.parametrize("rule", BY_CHANCE)
def test_a_rule_left_out_is_found_by_chance(rule: str) -> None:
    for seed in range(BY_CHANCE[rule], BY_CHANCE[rule] + SEEDS_MAX):
        world = omitting(rule, seed)
        try:
            world.run()
        except ViolationError:
            return
    pytest.fail(f"{SEEDS_MAX} seeds without {rule}, and nothing was violated")


@pytest.mark.parametrize("rule", SCRIPTS)
def test_a_rule_left_out_is_found_in_a_scene(rule: str) -> None:
    with pytest.raises(ViolationError):
        SCRIPTS[rule](OMISSIONS[rule])


@pytest.mark.parametrize("rule", SCRIPTS)
def test_the_same_scene_does_no_harm_where_the_rule_is_kept(rule: str) -> None:
    SCRIPTS[rule](Core)
