"""`vipcast explain <resource>[:<instance>] [<node>]`"""

from __future__ import annotations

from daemon.cli.call import OK, Call


def explain(call: Call) -> int:
    resource = call.arguments[0]
    node = call.arguments[1] if len(call.arguments) > 1 else None
    document = call.client.explain(resource, node)
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    from daemon.cli.layout.explain import explain as lines  # noqa: PLC0415 - start-up time

    call.out.lines(lines(document))
    return OK
