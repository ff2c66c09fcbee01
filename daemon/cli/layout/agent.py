"""An agent, as `resource describe` shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from daemon.control.schema import AgentDocument, AgentParameter
from daemon.model.agents import Advice

COLUMNS = 100


def agent(document: AgentDocument, advised: tuple[Advice, ...]) -> Iterator[str]:
    yield f"{document.agent} - {document.summary}" if document.summary else document.agent
    if document.description:
        yield ""
        for paragraph in document.description.split("\n\n"):
            yield from textwrap.wrap(paragraph, COLUMNS)
    if document.parameters:
        yield ""
        yield "Resource options:"
        for parameter in sorted(document.parameters, key=lambda one: one.name):
            yield from _parameter(parameter)
    yield ""
    yield "Default operations:"
    for advice in sorted(advised, key=lambda one: one.name):
        options = {"interval": advice.interval, "timeout": advice.timeout, **advice.options}
        yield f"  {advice.name}: " + " ".join(f"{name}={value}" for name, value in options.items() if value)


def _parameter(parameter: AgentParameter) -> Iterator[str]:
    marks = [word for word, holds in (("required", parameter.required), ("unique", parameter.unique)) if holds]
    yield f"  {parameter.name}" + (f" ({', '.join(marks)})" if marks else "")
    text = parameter.description or parameter.summary
    yield from textwrap.wrap(text, COLUMNS, initial_indent=" " * 4, subsequent_indent=" " * 4)
    if parameter.type not in {"", "string"}:
        yield f"    Type: {parameter.type}"
    if parameter.default:
        yield f"    Default: {parameter.default}"
