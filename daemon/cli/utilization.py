"""`vipcast node utilization` and `vipcast resource utilization`: what nodes offer and resources use."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import edit
from daemon.cli.layout import configuration as layout
from daemon.cli.members import with_members
from daemon.cli.words import pairs
from daemon.model.configuration import AttributeSet, Primitive
from daemon.model.edits import nodes


def of_node(call: Call) -> int:
    """`node utilization <node> [<name>=<number>]...`"""
    name, *words = call.arguments
    wanted = pairs(call, words)
    if wanted:
        return edit(
            call,
            lambda configuration: nodes.set_node_utilization(
                with_members(call, configuration), node=name, utilization=wanted
            ),
        )
    found = next((node for node in call.configuration().nodes if node.name == name), None)
    return _show(call, "Node Utilization:", name, found.utilization if found is not None else ())


def of_resource(call: Call) -> int:
    """`resource utilization <id> [<name>=<number>]...`"""
    name, *words = call.arguments
    wanted = pairs(call, words)
    if wanted:
        return edit(
            call,
            lambda configuration: nodes.set_resource_utilization(configuration, resource=name, utilization=wanted),
        )
    found = call.configuration().find(name)
    if not isinstance(found, Primitive):
        raise CommandError(f"there is no primitive '{name}'")
    return _show(call, "Resource Utilization:", name, found.utilization)


def _show(call: Call, heading: str, name: str, sets: Sequence[AttributeSet]) -> int:
    values = layout.values_of(sets)
    if call.out.json_wanted:
        call.out.document({name: values})
        return OK
    call.out.line(heading)
    call.out.line(f" {name}: {layout.pairs(values)}".rstrip())
    return OK
