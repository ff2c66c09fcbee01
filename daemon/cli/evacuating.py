"""`vipcast node evacuate`: empty a host, so that it can be upgraded, rebooted or switched off; one at a time.

It refuses to begin while the host before it is not back, so a loop over all hosts is a rolling upgrade that stops
by itself where something is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import store
from daemon.cli.members import with_members
from daemon.cli.viewing import present_view
from daemon.control.schema import ResourceStatus, StatusDocument
from daemon.model.configuration import Configuration
from daemon.model.edits import nodes
from daemon.scheduler.rehearsal import rehearse
from daemon.scheduler.whatif import NodeStandby, suppose

WAIT_S = 600.0
"""long enough for connections of a minute to end; `--wait` says otherwise"""
POLL_S = 0.2
TOLD_EVERY_S = 2.0
SHOWN_MAX = 8


def evacuate(call: Call) -> int:
    """`node evacuate <node> [--wait=SECONDS] [--force]`"""
    (name,) = call.arguments
    empty(call, name)
    call.out.line(f"{name} is empty.  When it has done what it is to do: vipcast node unstandby {name}")
    return OK


def empty(call: Call, name: str) -> None:
    """Put a node in standby and wait until it has nothing.  Raises CommandError, also if that takes too long."""
    before = call.client.status()
    _must_be_known(before, name)
    if not call.has("--force"):
        _must_be_ready(before, name)
        _must_have_places(call, name)

    def standing_by(configuration: Configuration) -> Configuration:
        return nodes.standby(with_members(call, configuration), nodes=(name,))

    store(call, standing_by)
    _await_empty(call, name, call.wait_s or WAIT_S)


def _must_be_known(status: StatusDocument, name: str) -> None:
    names = [node.name for node in status.nodes]
    if name not in names:
        raise CommandError(f"there is no node '{name}'; there are: {', '.join(names)}")


def _must_be_ready(status: StatusDocument, name: str) -> None:
    """Raises CommandError where the cluster is not whole: who went last is not back, or something still moves."""
    wrong = tuple(unready(status, name))
    if wrong:
        shown = "; ".join(wrong[:SHOWN_MAX]) + (" …" if len(wrong) > SHOWN_MAX else "")
        raise CommandError(
            f"nothing has changed, for the cluster is not whole: {shown}.  Wait, mend it, or say --force"
        )


def unready(status: StatusDocument, name: str = "") -> Iterator[str]:
    """What keeps the cluster from being whole, a node's own absence left out."""
    if not status.quorate:
        yield "there is no quorum"
    for node in status.nodes:
        if node.name == name:
            continue
        if not node.online:
            yield f"{node.name} is not online"
        elif node.standby:
            yield f"{node.name} is still in standby (vipcast node unstandby {node.name})"
        elif node.role in {"learner", "joining"}:
            yield f"{node.name} is catching up with the log"
    for address in status.addresses:
        free = [slot.slot for slot in address.slots if slot.holder is None]
        moving = [
            slot.slot for slot in address.slots if slot.holder is not None and (slot.successor or not slot.opened)
        ]
        if free:
            yield f"nobody serves {len(free)} slots of {address.id}"
        if moving:
            yield f"{len(moving)} slots of {address.id} are on their way"
    for action in status.pending_actions:
        yield f"{action.operation} of {action.instance} on {action.node} is not done"


def _must_have_places(call: Call, name: str) -> None:
    """Raises CommandError where something that runs would run nowhere."""
    view = present_view(call)
    supposed = rehearse(suppose(view, NodeStandby(name)), view)
    lost = [what for what, on in sorted(supposed.before.items()) if on and not supposed.after.get(what, ())]
    if lost:
        shown = ", ".join(lost[:SHOWN_MAX]) + (" …" if len(lost) > SHOWN_MAX else "")
        raise CommandError(
            f"nothing has changed, for without {name} this would run nowhere: {shown}.  --force does it"
        )


def _await_empty(call: Call, name: str, wait_s: float) -> None:
    """Raises CommandError with what is left there."""
    end = time.monotonic() + wait_s
    told = time.monotonic()
    while left := tuple(_left(call.client.status(), name)):
        shown = ", ".join(left[:SHOWN_MAX]) + (" …" if len(left) > SHOWN_MAX else "")
        if time.monotonic() >= end:
            raise CommandError(f"{name} is in standby, but after {wait_s:g} s it still has {shown}")
        if time.monotonic() - told >= TOLD_EVERY_S:
            call.out.note(f"{name} still has {shown}")
            told = time.monotonic()
        time.sleep(POLL_S)


def _left(status: StatusDocument, name: str) -> Iterator[str]:
    for address in status.addresses:
        slots = sum(slot.holder == name for slot in address.slots)
        if slots:
            yield f"{slots} slots of {address.id}"
    yield from _running(status.resources, name)
    for action in status.pending_actions:
        if action.node == name:
            yield f"{action.operation} of {action.instance} to do"


def _running(resources: tuple[ResourceStatus, ...], name: str) -> Iterator[str]:
    for resource in resources:
        yield from _running(resource.members, name)
        for instance in resource.instances:
            if instance.node == name and instance.slot is None and instance.role != "Stopped" and instance.managed:
                yield instance.id
