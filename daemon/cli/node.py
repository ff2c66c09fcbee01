"""`vipcast node …`"""

from __future__ import annotations

from collections.abc import Callable

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import edit
from daemon.cli.layout import configuration as layout
from daemon.cli.members import with_members
from daemon.cli.words import pairs
from daemon.model.configuration import Configuration
from daemon.model.edits import nodes


def standby(call: Call) -> int:
    """`node standby [<node>]... [--all]`"""
    return _change(call, nodes.standby)


def unstandby(call: Call) -> int:
    return _change(call, nodes.unstandby)


def maintenance(call: Call) -> int:
    return _change(call, nodes.maintenance)


def unmaintenance(call: Call) -> int:
    return _change(call, nodes.unmaintenance)


def _change(call: Call, change: Callable[..., Configuration]) -> int:
    def changed(configuration: Configuration) -> Configuration:
        listed = with_members(call, configuration)
        return change(listed, nodes=_meant(call, listed))

    return edit(call, changed)


def _meant(call: Call, configuration: Configuration) -> tuple[str, ...]:
    """The nodes that are named, all of them, or this one."""
    if call.has("--all"):
        if call.arguments:
            raise call.misuse("name nodes, or say --all, not both")
        return tuple(node.name for node in configuration.nodes)
    if call.arguments:
        return call.arguments
    if call.has("--file"):
        raise CommandError("name the node: a file does not know on which one you are")
    return (call.client.status().node,)


def attribute(call: Call) -> int:
    """`node attribute [<node> [<name>=[<value>]...]]`"""
    if len(call.arguments) > 1:
        wanted = pairs(call, call.arguments[1:])
        return edit(
            call,
            lambda configuration: nodes.set_attributes(
                with_members(call, configuration), nodes=call.arguments[:1], attributes=wanted
            ),
        )
    entries = call.configuration().nodes
    if call.arguments:
        entries = tuple(node for node in entries if node.name == call.arguments[0])
    if call.out.json_wanted:
        call.out.document({node.name: layout.values_of(node.attributes) for node in entries})
        return OK
    call.out.lines(layout.node_attributes(entries))
    return OK
