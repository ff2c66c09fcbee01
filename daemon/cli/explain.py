"""`vipcast explain <resource>[:<instance>] [<node>]`: of the cluster, or of a file with its status."""

from __future__ import annotations

from daemon.cli.call import OK, Call, CommandError
from daemon.control.schema import ExplainDocument


def explain(call: Call) -> int:
    resource = call.arguments[0]
    node = call.arguments[1] if len(call.arguments) > 1 else None
    if call.has("--cib") or call.has("--file"):
        document = _of_a_file(call, resource, node)
    else:
        document = call.client.explain(resource, node)
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    from daemon.cli.layout.explain import explain as lines  # noqa: PLC0415 - start-up time

    call.out.lines(lines(document, call.out.painted))
    return OK


def _of_a_file(call: Call, resource: str, node: str | None) -> ExplainDocument:
    from daemon.cli.viewing import present_view  # noqa: PLC0415 - start-up time
    from daemon.control import explain as explanations  # noqa: PLC0415
    from daemon.model.configuration import Configuration, Primitive  # noqa: PLC0415
    from daemon.scheduler.planner import plan  # noqa: PLC0415

    view = present_view(call)
    if node is not None and node not in view.nodes:
        raise CommandError(f"there is no node '{node}'; there are: {', '.join(view.nodes)}", code="not-found")
    found = view.configuration.find(resource)
    alone = (
        Configuration(resources=(found,)) if found is not None and found.kind != "primitive" else Configuration()
    )
    members = frozenset(one.id for one in alone.walk() if isinstance(one, Primitive))
    try:
        return explanations.explain(plan(view), view.configuration, resource, node, members)
    except explanations.ExplainError as problem:
        raise CommandError(str(problem), code="not-found") from problem
