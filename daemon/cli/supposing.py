"""What-if options in words, and the events that they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from daemon.cli.call import Call, CommandError
from daemon.model.findings import Refused
from daemon.scheduler.view import View
from daemon.scheduler.whatif import (
    AttributeSet,
    MetaSet,
    NodeFails,
    NodeReturns,
    NodeStandby,
    NodeUnstandby,
    OperationFails,
    PropertySet,
    WhatIf,
    suppose,
)

OPERATIONS = ("start", "stop", "monitor", "promote", "demote", "migrate_to", "migrate_from")
_OP_FAIL = re.compile(
    rf"(?P<instance>.+):(?P<operation>{'|'.join(OPERATIONS)}):(?P<node>[^:]+)(:(?P<code>\d{{1,3}}))?"
)
_SET = re.compile(r"((?P<kind>resource|node)/)?((?P<id>[^=]+):)?(?P<name>[^=:/]+)=(?P<value>.*)", re.DOTALL)
_OF_NODES: dict[str, Callable[[str], WhatIf]] = {
    "--node-fail": NodeFails,
    "--node-up": NodeReturns,
    "--node-standby": NodeStandby,
    "--node-unstandby": NodeUnstandby,
}


def supposed_view(call: Call, view: View) -> tuple[View, tuple[WhatIf, ...]]:
    """The view after what the options suppose, in the order in which they were typed, and the events.

    Raises UsageError, CommandError.
    """
    events: list[WhatIf] = []
    try:
        for event in _events(call, view):
            view = suppose(view, event)
            events.append(event)
    except Refused as error:
        raise CommandError("this cannot be supposed", error.findings, "bad-what-if") from error
    return view, tuple(events)


def _events(call: Call, view: View) -> Iterator[WhatIf]:
    for name, value in call.invocation.given:
        if name in _OF_NODES:
            yield from (_OF_NODES[name](node) for node in (value or "").split(","))
        elif name == "--op-fail":
            yield _operation(call, value or "")
        elif name == "--set":
            yield _setting(call, view, value or "")


def _operation(call: Call, text: str) -> OperationFails:
    found = _OP_FAIL.fullmatch(text)
    if found is None:
        known = ", ".join(OPERATIONS)
        raise call.misuse(
            f"--op-fail {text}: write INSTANCE:OPERATION:NODE[:CODE], as in web:monitor:a2:7; operations are {known}"
        )
    return OperationFails(found["instance"], found["operation"], found["node"], int(found["code"] or 1))


def _setting(call: Call, view: View, text: str) -> WhatIf:
    found = _SET.fullmatch(text)
    if found is None:
        raise call.misuse(f"--set {text}: write NAME=VALUE, RESOURCE:NAME=VALUE or NODE:NAME=VALUE")
    kind, owner, name, value = found["kind"], found["id"], found["name"], found["value"]
    if owner is None:
        if kind is not None:
            raise call.misuse(f"--set {text}: write {kind}/ID:NAME=VALUE")
        return PropertySet(name, value)
    is_resource = view.configuration.find(owner) is not None
    is_node = owner in view.nodes
    if kind is None and is_resource and is_node:
        raise call.misuse(f"--set {text}: '{owner}' is a resource and a node; write resource/{text} or node/{text}")
    if kind == "node" or (kind is None and is_node):
        return AttributeSet(owner, name, value)
    return MetaSet(owner, name, value)
