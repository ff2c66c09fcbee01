"""A rehearsal: before, after, and the steps between them; and its graph."""

from __future__ import annotations

import re
import shutil
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from daemon.scheduler.dot import dot
from daemon.scheduler.rehearsal import in_order, rehearse
from daemon.scheduler.view import Action
from daemon.scheduler.whatif import NodeStandby, suppose
from tests.unit.scheduler.worlds import World, colocation, group, order, primitive

NAMES = ("a", "b", "c", "d", "e", "f", "g")


def action(key: str, *after: str, node: str = "a1", reason: str = "") -> Action:
    return Action(key, node, key, "start", 0, after, reason)


def world() -> World:
    made = World((primitive("db"), group("app", "lib", "web")), (colocation("app", "db"), order("db", "app")))
    made.settle()
    return made


def test_before_is_what_was_before_anything_was_supposed() -> None:
    view = world().view()
    (node,) = rehearse(view).before["db"]
    told = rehearse(suppose(view, NodeStandby(node)), view)
    assert told.before["web"] == (node,)
    assert told.after["web"] != (node,)
    assert told.moves() == ("db", "lib", "web")
    assert rehearse(view).moves() == ()


def test_steps_of_a_move_wait_for_each_other_and_for_nothing_that_follows() -> None:
    view = world().view()
    (node,) = rehearse(view).before["db"]
    steps = in_order(rehearse(suppose(view, NodeStandby(node))).plan.actions)
    assert [(s.action.operation, s.action.instance, s.waits_for) for s in steps] == [
        ("stop", "web", ()),
        ("stop", "lib", (1,)),
        ("stop", "db", (2,)),
        ("start", "db", (3,)),
        ("start", "lib", (4,)),
        ("start", "web", (5,)),
    ]


def test_what_is_done_already_is_waited_for_no_more() -> None:
    assert [step.waits_for for step in in_order((action("a", "gone"),))] == [()]


def test_a_circle_ends_too() -> None:
    steps = in_order((action("a", "b"), action("b", "a"), action("c")))
    assert [step.action.key for step in steps] == ["c", "a", "b"]


@st.composite
def plans(draw: st.DrawFn) -> tuple[Action, ...]:
    """Actions in any order; each may wait for those before it by name."""
    made = [
        action(name, *draw(st.sets(st.sampled_from(NAMES[:place]))) if place else ())
        for place, name in enumerate(NAMES)
    ]
    return tuple(draw(st.permutations(made)))


@given(plans())
def test_steps_come_after_all_that_they_wait_for_and_no_wait_is_lost(actions: tuple[Action, ...]) -> None:
    steps = in_order(actions)
    assert sorted(step.action.key for step in steps) == sorted(NAMES)
    reached: dict[str, set[str]] = {}
    for step in steps:
        assert all(number < step.number for number in step.waits_for)
        direct = [steps[number - 1].action.key for number in step.waits_for]
        reached[step.action.key] = set(direct).union(*(reached[key] for key in direct))
        assert set(step.action.after) <= reached[step.action.key]
        for key in direct:  # none follows from another
            assert not any(key in reached[other] for other in direct if other != key)


# ---- the graph


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|->|[A-Za-z_][A-Za-z_0-9]*|[{}\[\]=;,]')
QUOTED = r'"(?:[^"\\]|\\.)*"'


def tokens(text: str) -> list[str]:
    """The whole text as tokens of the language: nothing may be left between them."""
    assert TOKEN.sub("", text).strip() == "", TOKEN.sub("", text)
    return TOKEN.findall(text)


def test_the_graph_has_a_box_for_each_node_and_an_arrow_for_each_wait() -> None:
    told = dot(
        (action("a", node="a1"), action("b", "a", node="a2", reason="why"), action("c", "a", "b", node="a2"))
    )
    assert told.splitlines() == [
        "digraph transition {",
        "  rankdir=LR;",
        "  node [shape=box, fontname=sans];",
        "  subgraph cluster_0 {",
        '    label="a1";',
        '    "a" [label="start a", color=darkgreen];',
        "  }",
        "  subgraph cluster_1 {",
        '    label="a2";',
        '    "b" [label="start b", color=darkgreen, tooltip="why"];',
        '    "c" [label="start c", color=darkgreen];',
        "  }",
        '  "a" -> "b";',
        '  "b" -> "c";',
        "}",
    ]


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True))
def test_no_name_breaks_the_graph(names: list[str]) -> None:
    actions = tuple(action(name, *names[:place], reason=name) for place, name in enumerate(names))
    found = tokens(dot(actions))
    assert found.count("{") == found.count("}")
    assert found.count("[") == found.count("]")
    assert found.count("->") == len(names) - 1


def test_graphviz_takes_the_graph_where_it_is_installed() -> None:
    program = shutil.which("dot")
    text = dot((action('a"\\'), action("b", 'a"\\')))
    assert len(re.findall(QUOTED, text)) == len([token for token in tokens(text) if token.startswith('"')])
    if program is not None:
        ran = subprocess.run(
            [program, "-Tcanon"], input=text.encode(), capture_output=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, b"")


def test_what_the_datapath_does_by_itself_is_dashed() -> None:
    assert "style=dashed" in dot((Action("k", "a1", "VIP", "address-up"),))
