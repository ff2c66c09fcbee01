"""A plan's actions as a graph for Graphviz (https://graphviz.org/doc/info/lang.html): `dot -Tsvg`.

One box a node, one shape an action, an arrow from each action to those that wait for it; arrows that follow from
others are left out.  What the datapath does by itself is dashed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.scheduler.rehearsal import in_order
from daemon.scheduler.view import BY_SLOTS, Action

_COLOURS = {
    "start": "darkgreen",
    "promote": "darkgreen",
    "stop": "firebrick",
    "demote": "firebrick",
    "fence": "red",
}


def dot(actions: Sequence[Action]) -> str:
    """The whole graph, the same text for the same actions."""
    return "\n".join(_lines(actions)) + "\n"


def _lines(actions: Sequence[Action]) -> Iterator[str]:
    steps = in_order(actions)
    yield "digraph transition {"
    yield "  rankdir=LR;"
    yield "  node [shape=box, fontname=sans];"
    for place, node in enumerate(sorted({step.action.node for step in steps})):
        yield f"  subgraph cluster_{place} {{"
        yield f"    label={_quoted(node)};"
        for step in steps:
            if step.action.node == node:
                yield f"    {_quoted(step.action.key)} [{_look(step.action)}];"
        yield "  }"
    for step in steps:
        for number in step.waits_for:
            yield f"  {_quoted(steps[number - 1].action.key)} -> {_quoted(step.action.key)};"
    yield "}"


def _look(action: Action) -> str:
    operation = "probe" if action.operation == "monitor" and not action.interval_ms else action.operation
    look = [f"label={_quoted(f'{operation} {action.instance}')}"]
    if action.operation in _COLOURS:
        look.append(f"color={_COLOURS[action.operation]}")
    if action.operation in BY_SLOTS:
        look.append("style=dashed")
    if action.reason:
        look.append(f"tooltip={_quoted(action.reason)}")
    return ", ".join(look)


def _quoted(text: str) -> str:
    """A double-quoted ID: only the quote needs an escape; a backslash is doubled, or labels would read it as one."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
