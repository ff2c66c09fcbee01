"""When time alone changes a plan: the next moment at which a rule's date begins or ceases to hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from daemon.model.configuration import Configuration, Expression, Location, NodeEntry, Rule
from daemon.scheduler import plan
from daemon.scheduler.view import NodeView, View
from tests.unit.scheduler.worlds import primitive


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000


def view(now: str, **date: object) -> View:
    expression = Expression.model_validate({"kind": "date", "id": "x", **date})
    rule = Rule(id="r", score="-INFINITY", expressions=(expression,))
    configuration = Configuration(
        nodes=(NodeEntry(id="1", name="a1"),),
        resources=(primitive("web"),),
        constraints=(Location(id="l", resource="web", rules=(rule,)),),
    )
    nodes = {"a1": NodeView("a1", online=True)}
    return View(configuration, nodes, (), now_ms=ms(now), defaults={"stonith-enabled": "false"})


@pytest.mark.parametrize(
    ("date", "change"),
    [
        ({"operation": "gt", "start": "2026-03-01"}, "2026-03-01T00:00:01"),
        ({"operation": "lt", "end": "2026-03-01"}, "2026-03-01T00:00:00"),
        ({"operation": "in_range", "start": "2026-03-01", "end": "2026-04-01"}, "2026-03-01T00:00:00"),
        ({"operation": "in_range", "start": "2026-01-01", "end": "2026-04-01"}, "2026-04-01T00:00:01"),
        ({"operation": "in_range", "start": "2026-01-01", "duration": {"months": "3"}}, "2026-04-01T00:00:01"),
        ({"operation": "date_spec", "spec": {"hours": "9-17"}}, "2026-02-01T13:00:00"),
        ({"operation": "date_spec", "spec": {"weekdays": "1-5"}}, "2026-02-02T00:00:00"),
        ({"operation": "date_spec", "spec": {"hours": "9", "minutes": "30-"}}, "2026-02-01T12:35:00"),
    ],
)
def test_the_plan_says_when_it_will_be_another(date: dict[str, object], change: str) -> None:
    assert plan(view("2026-02-01T12:34:56", **date)).recheck_ms == ms(change)


def test_what_is_past_changes_nothing_any_more() -> None:
    assert plan(view("2026-02-01", operation="gt", start="2025-01-01")).recheck_ms is None
    assert plan(view("2026-02-01", operation="gt", start="never")).recheck_ms is None


def test_the_end_of_the_calendar_is_no_accident() -> None:
    for date in (
        {"operation": "gt", "start": "9999-12-31T23:59:59"},
        {"operation": "date_spec", "spec": {"hours": "9"}},
    ):
        late = replace(view("2026-02-01", **date), now_ms=2**63 - 1)
        assert plan(late).placement["web"] == ("a1",)


def test_the_placement_changes_at_that_moment_and_not_before() -> None:
    date = {"operation": "gt", "start": "2026-03-01"}
    assert plan(view("2026-03-01T00:00:00", **date)).placement["web"] == ("a1",)
    assert plan(view("2026-03-01T00:00:01", **date)).placement["web"] == ()
