"""`vipcast config`: the whole configuration on one page, as `pcs config` has it."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.cli.call import OK, Call
from daemon.cli.layout import configuration as layout
from daemon.cli.layout.constraints import constraints
from daemon.model.configuration import Configuration


def show(call: Call) -> int:
    configuration = call.configuration()
    if call.out.json_wanted:
        call.out.document(configuration.model_dump(mode="json"))
        return OK
    call.out.lines(page(configuration))
    return OK


def page(configuration: Configuration) -> Iterator[str]:
    """All of it, in the words of pcs."""
    yield "Nodes:"
    yield f" {' '.join(node.name for node in configuration.nodes)}".rstrip()
    yield ""
    yield "Resources:"
    for resource in configuration.resources:
        yield from layout.resource(resource)
    yield ""
    yield from constraints(configuration, ids=True)
    yield ""
    yield "Resources Defaults:"
    yield from (f" {line}" for line in layout.defaults(configuration.resource_defaults))
    yield "Operations Defaults:"
    yield from (f" {line}" for line in layout.defaults(configuration.operation_defaults))
    yield ""
    yield from layout.properties(configuration)
