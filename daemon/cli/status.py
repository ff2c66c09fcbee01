"""`vipcast status …` and `vipcast resource [status]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daemon.cli.call import ALARM, OK, Call, CommandError
from daemon.cli.layout import cluster as layout
from daemon.cli.layout import resources as resource_layout

if TYPE_CHECKING:
    from daemon.control.schema import ResourceStatus


INFINITY = 1_000_000  # daemon.model.configuration has it too, and takes long to import


def show_all(call: Call) -> int:
    """`vipcast status [--at INDEX|TIME]`"""
    if call.has("--at"):
        from daemon.cli import past  # noqa: PLC0415 - start-up time

        return past.show(call)
    if call.has("--file"):
        return show_resources(call)
    document = call.client.status()
    if call.out.json_wanted:
        call.out.document(call.client.status_json())
    else:
        lines = layout.status_in_full if call.has("--full") else layout.status
        call.out.lines(lines(document, call.out.painted))
    return ALARM if document.alarms else OK


def show_resources(call: Call) -> int:
    """`vipcast resource`, `vipcast resource status [<resource>]`; of a file: what is in it, none of it running."""
    tree = _tree(call)
    if call.arguments:
        tree = _picked(tree, call.arguments[0])
    if call.out.json_wanted:
        call.out.document(tree)
        return OK
    call.out.lines(resource_layout.resources(tree, call.out.painted))
    return OK


def show_nodes(call: Call) -> int:
    """`vipcast status nodes`"""
    document = call.client.status()
    if call.out.json_wanted:
        call.out.document(document.nodes)
        return OK
    call.out.lines(layout.nodes(document, call.out.painted))
    return OK


def show_slots(call: Call) -> int:
    """`vipcast status slots [<address>]`"""
    import msgspec  # noqa: PLC0415 - start-up time

    document = call.client.status()
    addresses = document.addresses
    if call.arguments:
        addresses = tuple(address for address in addresses if call.arguments[0] in {address.id, address.ip})
        if not addresses:
            known = ", ".join(f"{address.id} ({address.ip})" for address in document.addresses) or "none"
            raise CommandError(f"no address '{call.arguments[0]}' is shared by several hosts; there are: {known}")
    if call.out.json_wanted:
        call.out.document(addresses)
        return OK
    call.out.lines(layout.slots(msgspec.structs.replace(document, addresses=addresses), call.out.painted))
    return OK


def show_failcounts(call: Call) -> int:
    """`resource failcount [show] [<id>]`: of what failed and was not cleaned up."""
    words = call.arguments[1:] if call.arguments[:1] == ("show",) else call.arguments
    counts: dict[str, dict[str, int]] = {}
    for action in call.client.status().failed_actions:
        base = action.instance.partition(":")[0]
        if action.fail_count and (not words or words[0] in {action.instance, base}):
            counts.setdefault(action.instance, {})[action.node] = action.fail_count
    if call.out.json_wanted:
        call.out.document(counts)
        return OK
    if not counts:
        call.out.line(f"No failcounts for resource '{words[0]}'" if words else "No failcounts")
    for instance, nodes in counts.items():
        call.out.line(f"Failcounts for resource '{instance}'")
        call.out.lines(f"  {node}: {'INFINITY' if count >= INFINITY else count}" for node, count in nodes.items())
    return OK


def _tree(call: Call) -> tuple[ResourceStatus, ...]:
    if not call.has("--file"):
        return call.client.status().resources
    from daemon.control.resourcetree import resources_at_rest  # noqa: PLC0415 - start-up time

    return resources_at_rest(call.configuration())


def _picked(tree: tuple[ResourceStatus, ...], name: str) -> tuple[ResourceStatus, ...]:
    found = [resource for resource in _walk(tree) if resource.id == name]
    if not found:
        known = ", ".join(resource.id for resource in _walk(tree)) or "none"
        raise CommandError(f"resource '{name}' does not exist; there are: {known}")
    return (found[0],)


def _walk(tree: tuple[ResourceStatus, ...]) -> Iterator[ResourceStatus]:
    for resource in tree:
        yield resource
        yield from _walk(resource.members)
