"""Why a resource is where it is: each host with its score, what the score is made of, and why not there."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cli.layout.resources import Paint, natural, plain
from daemon.control.schema import ExplainDocument, Explanation, ScorePart
from daemon.model.values import format_score


def explain(document: ExplainDocument, paint: Paint = plain) -> Iterator[str]:
    for at, explanation in enumerate(document.explanations):
        if at:
            yield ""
        yield from _explanation(explanation, paint)


def _explanation(explanation: Explanation, paint: Paint) -> Iterator[str]:
    where = paint(explanation.node or "nowhere", "good" if explanation.node else "bad")
    yield f"{paint(explanation.instance, 'strong')}: {where}, {explanation.summary}"
    nodes = sorted({*explanation.scores, *explanation.rejected}, key=natural)
    if explanation.node in nodes:  # the chosen one first
        nodes.remove(explanation.node)
        nodes.insert(0, explanation.node)
    for node in nodes:
        yield from _node(node, explanation)
    for sentence in explanation.waiting:
        yield f"  {paint('planned', 'moving')}  {sentence}"


def _node(node: str, explanation: Explanation) -> Iterator[str]:
    parts = explanation.scores.get(node, ())
    if node == explanation.node:
        yield f"  {node}  chosen"
    else:
        yield f"  {node}  not chosen: {explanation.rejected.get(node, 'no reason is known')}"
    width = max((len(format_score(part.score)) for part in parts), default=0)
    for part in parts:
        yield f"      {format_score(part.score):>{width}}  {_told(part)}"


def _told(part: ScorePart) -> str:
    return f"{part.origin}: {part.what}" if part.what else part.origin
