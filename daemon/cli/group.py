"""`vipcast resource group …`"""

from __future__ import annotations

from daemon.cli.call import OK, Call
from daemon.cli.editing import edit
from daemon.model.configuration import Group
from daemon.model.edits import groups


def add(call: Call) -> int:
    """`resource group add <group> <id>... [--before X | --after X]`"""
    return edit(
        call,
        lambda configuration: groups.add_to_group(
            configuration,
            group=call.arguments[0],
            resources=call.arguments[1:],
            before=call.value("--before"),
            after=call.value("--after"),
        ),
    )


def remove(call: Call) -> int:
    """`resource group remove <group> [<id>]...`"""
    return edit(
        call,
        lambda configuration: groups.remove_from_group(
            configuration, group=call.arguments[0], resources=call.arguments[1:]
        ),
    )


def show(call: Call) -> int:
    """`resource group list`"""
    found = [element for element in call.configuration().walk() if isinstance(element, Group)]
    if call.out.json_wanted:
        call.out.document({group.id: [member.id for member in group.members] for group in found})
        return OK
    call.out.lines(f"{group.id}: {' '.join(member.id for member in group.members)}" for group in found)
    return OK
