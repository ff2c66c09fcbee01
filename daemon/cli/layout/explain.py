"""Why a resource is where it is: each host with its score, what the score is made of, and why not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.cli.layout.resources import Paint, natural, plain
from daemon.control.schema import ExplainDocument, Explanation, ScorePart
from daemon.model.values import format_score, sum_scores


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
    if explanation.promotion:
        told = "promoted" if explanation.role == "promoted" else "not promoted"
        yield f"  {told} on {explanation.node}, for what is rated highest is"
        yield from _scores(explanation.promotion, sum_scores(part.score for part in explanation.promotion))
    for sentence in explanation.waiting:
        yield f"  {paint('planned', 'moving')}  {sentence}"


def _node(node: str, explanation: Explanation) -> Iterator[str]:
    parts = explanation.scores.get(node, ())
    if node == explanation.node:
        yield f"  {node}  chosen"
    else:
        yield f"  {node}  not chosen: {explanation.rejected.get(node, 'no reason is known')}"
    yield from _scores(parts, explanation.totals.get(node, 0))


def _scores(parts: Sequence[ScorePart], total: int) -> Iterator[str]:
    shown = [(format_score(part.score), _told(part)) for part in parts]
    if len(parts) > 1:
        shown.append((format_score(total), "in all"))
    width = max((len(score) for score, _ in shown), default=0)
    for score, told in shown:
        yield f"      {score:>{width}}  {told}"


def _told(part: ScorePart) -> str:
    return f"{part.origin}: {part.what}" if part.what else part.origin
