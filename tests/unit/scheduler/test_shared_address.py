"""What is said of the primitive alone goes for all slots of a shared address, as for all instances of a clone."""

from __future__ import annotations

import pytest

from daemon.model.configuration import AttributeSet, Configuration, Location
from daemon.scheduler import plan
from daemon.scheduler.view import NodeView, SlotsView, View
from tests.unit.executor.cluster import shared

NODES = ("a1", "a2")
OWNERS = {0: "a1", 1: "a2", 2: "a1", 3: "a2"}


def view(**meta: str) -> View:
    """Four slots that two hosts serve; `meta` is the primitive's own."""
    configuration = shared(slots=4)
    (clone,) = configuration.resources
    named = {name.replace("_", "-"): value for name, value in meta.items()}
    child = clone.child.model_copy(update={"meta": (AttributeSet(id="m", values=named),)})  # type: ignore[union-attr]
    configuration = Configuration(resources=(clone.model_copy(update={"child": child}),))
    return View(
        configuration,
        {name: NodeView(name, online=True) for name in NODES},
        (),
        slots={"VIP": SlotsView("VIP", OWNERS)},
        defaults={"stonith-enabled": "false"},
    )


def test_without_a_word_slots_stay_where_they_are() -> None:
    assert plan(view()).slots["VIP"] == OWNERS


@pytest.mark.parametrize("role", ["Stopped", "stopped"])
def test_disabling_the_primitive_gives_every_slot_away(role: str) -> None:
    assert plan(view(target_role=role)).slots.get("VIP", {}) == {}


def test_enabling_the_primitive_within_a_disabled_clone_is_what_counts() -> None:
    present = view(target_role="Started")
    (clone,) = present.configuration.resources
    stopped = clone.model_copy(
        update={"meta": (*clone.meta, AttributeSet(id="s", values={"target-role": "Stopped"}))}
    )
    configuration = Configuration(resources=(stopped,))
    other = View(configuration, present.nodes, (), slots=present.slots, defaults=present.defaults)
    assert plan(other).slots["VIP"] == OWNERS


def test_a_primitive_that_is_not_managed_keeps_its_slots_where_a_ban_would_move_them() -> None:
    for managed, expected in (("false", OWNERS), ("true", dict.fromkeys(OWNERS, "a2"))):
        present = view(is_managed=managed)
        ban = Location(id="ban", resource="VIP-clone", node="a1", score="-INFINITY")
        configuration = present.configuration.model_copy(update={"constraints": (ban,)})
        banned = View(configuration, present.nodes, (), slots=present.slots, defaults=present.defaults)
        assert plan(banned).slots["VIP"] == expected
