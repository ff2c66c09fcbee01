"""A plan's reasons in words: what scores come from, and what each action waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.control.explain import ExplainError, explain
from daemon.control.schema import ScorePart
from daemon.model.configuration import Expression, Location, Rule
from daemon.scheduler.view import Action, Plan, Reason
from tests.unit.scheduler.worlds import World, colocation, location, order, primitive


def planned(*actions: Action, **fields: object) -> Plan:
    reasons = tuple(Reason(name, "a2", "goes to a2") for name in ("db", "VIP:0"))
    return Plan({}, {}, {}, actions, (), why=lambda: reasons, **fields)  # type: ignore[arg-type]


def waiting(plan: Plan, resource: str, node: str | None = None) -> tuple[str, ...]:
    (explanation,) = explain(plan, World(()).configuration, resource, node).explanations
    return explanation.waiting


def test_an_action_says_what_it_waits_for_by_its_name() -> None:
    plan = planned(
        Action("s", "a2", "db", "start", after=("stop", "fence", "up", "probe", "gone")),
        Action("stop", "a1", "db", "stop", after=("away",), reason="it moves"),
        Action("fence", "a3", "a3", "fence"),
        Action("up", "a2", "VIP", "address-up"),
        Action("away", "a1", "VIP", "address-release"),
        Action("probe", "a2", "db", "monitor"),
    )
    assert waiting(plan, "db") == (
        "start of db on a2: waits for fencing of a3, probe of db on a2, stop of db on a1 and VIP address up on a2",
        "stop of db on a1 (it moves): waits for VIP slots gone on a1",
        "probe of db on a2: can be done now",
    )
    assert waiting(plan, "db", "a1") == ("stop of db on a1 (it moves): waits for VIP slots gone on a1",)


def test_a_slot_says_what_its_new_host_lacks() -> None:
    plan = replace(planned(), slots={"VIP": {0: "a2"}}, unready={"VIP": {"a2": ("address-up", "web")}})
    assert waiting(plan, "VIP:0") == ("a move of slot 0 to a2: waits for the address to be up and web on a2",)
    assert waiting(plan, "VIP:0", "a1") == ()


def test_scores_are_told_with_the_constraint_that_they_come_from() -> None:
    ruled = Location(
        id="ruled",
        resource="db",
        rules=(
            Rule(
                id="rule",
                score="7",
                expressions=(Expression(kind="attribute", id="e", attribute="#uname", operation="eq", value="a1"),),
            ),
        ),
    )
    world = World((primitive("db"), primitive("web")), (location("db", "a2", "50"), colocation("web", "db"), ruled))
    (told,) = explain(world.plan(), world.configuration, "db").explanations
    assert told.scores["a2"] == (ScorePart("location-db-a2", 50, "db on a2 (score:50)"),)
    assert told.scores["a1"] == (ScorePart("rule", 7, "rule of ruled: db by a rule: #uname eq a1"),)
    (told,) = explain(world.plan(), world.configuration, "web").explanations
    assert {part.what for parts in told.scores.values() for part in parts} == {"web with db (score:INFINITY)"}


def test_every_host_that_was_not_chosen_has_a_reason() -> None:
    world = World((primitive("db"), primitive("web")), (order("db", "web"),), standby={"a1"}, offline={"a3"})
    for resource in ("db", "web"):
        (told,) = explain(world.plan(), world.configuration, resource).explanations
        assert set(told.rejected) == set(world.nodes) - {told.node}
        assert told.rejected["a1"] == "the host is in standby"
        assert told.rejected["a3"] == "the host is offline"


def test_a_host_that_comes_and_goes_is_told_to_be_held_down_and_not_to_be_offline() -> None:
    world = World((primitive("db"),), standby={"a1"}, offline={"a2", "a3"})
    held = {"a3": "held down for 8 s: lost 5 times in 40 s"}
    (told,) = explain(world.plan(), world.configuration, "db", held_down=held).explanations
    assert told.rejected["a3"] == "the host is held down for 8 s: lost 5 times in 40 s"
    assert told.rejected["a2"] == "the host is offline"


def test_an_unknown_resource_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ExplainError, match="'bd' is no resource that the plan knows; there are: VIP:0, db"):
        explain(planned(), World(()).configuration, "bd")
