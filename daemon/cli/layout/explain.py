"""Why a resource is where it is."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cli.layout.resources import natural
from daemon.control.schema import ExplainDocument, Explanation
from daemon.model.values import format_score


def explain(document: ExplainDocument) -> Iterator[str]:
    for at, explanation in enumerate(document.explanations):
        if at:
            yield ""
        yield from _explanation(explanation)


def _explanation(explanation: Explanation) -> Iterator[str]:
    yield f"{explanation.instance}: {explanation.node or 'nowhere'}"
    if explanation.summary:
        yield f"  {explanation.summary}"
    for node in sorted(explanation.scores, key=natural):
        parts = explanation.scores[node]
        told = ", ".join(f"{part.origin} {format_score(part.score)}" for part in parts)
        yield f"  {node}: {told or 'no score speaks for or against it'}"
    for node in sorted(explanation.rejected, key=natural):
        yield f"  not {node}: {explanation.rejected[node]}"
    for sentence in explanation.waiting:
        yield f"  planned: {sentence}"
