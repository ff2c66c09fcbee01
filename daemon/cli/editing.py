"""The way of every edit: load, change, check, store; and again when somebody else was faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.sources import Superseded
from daemon.control.schema import Accepted
from daemon.model.configuration import Configuration
from daemon.model.edits import Edited
from daemon.model.findings import Finding

ATTEMPTS_MAX = 8
POLL_S = 0.1

Change = Callable[[Configuration], Edited]
"""Raises `Refused`."""


def edit(call: Call, change: Change) -> int:
    """Carry out one edit on the call's source and say what came of it."""
    for _ in range(ATTEMPTS_MAX):
        loaded = call.source.load()
        edited = change(loaded.configuration)
        if edited.configuration == loaded.configuration:
            return finish(call, None, edited.messages, edited.warnings)
        try:
            accepted = call.source.store(edited.configuration, loaded.epoch, call.typed)
        except Superseded:
            continue
        return finish(call, accepted, edited.messages, edited.warnings)
    raise CommandError(
        f"somebody else changed the configuration {ATTEMPTS_MAX} times in between; nothing has changed, try again",
        code="conflict",
    )


def finish(call: Call, accepted: Accepted | None, messages: Iterable[str], warnings: Iterable[Finding]) -> int:
    """Print what an edit had to say, and with --wait wait until the cluster has carried it out."""
    told = tuple(messages)
    findings = tuple(dict.fromkeys((*warnings, *(accepted.findings if accepted else ()))))
    if call.out.json_wanted:
        call.out.document(
            {
                "changed": accepted is not None,
                "index": accepted.index if accepted else None,
                "epoch": accepted.epoch if accepted else None,
                "messages": told,
                "findings": findings,
            }
        )
    else:
        for finding in findings:
            call.out.note(str(finding))
        call.out.lines(told)
    wait_s = call.wait_s
    if wait_s is not None and accepted is not None and not call.has("--file"):
        settle(call, accepted.index, wait_s)
    return OK


def settle(call: Call, index: int, wait_s: float) -> None:
    """Wait until this node has applied entry `index` and nothing is planned or moving.  Raises CommandError."""
    deadline = time.monotonic() + wait_s
    while True:
        status = call.client.status()
        moving = [slot for address in status.addresses for slot in address.slots if slot.successor is not None]
        if status.applied_index >= index and not status.pending_actions and not moving:
            return
        if time.monotonic() >= deadline:
            left = [
                f"{action.operation} of {action.instance} on {action.node}" for action in status.pending_actions
            ]
            left += [f"slot {slot.slot} moves to {slot.successor}" for slot in moving]
            shown = ", ".join(left[:5]) + (" …" if len(left) > 5 else "")
            raise CommandError(f"the change is made, but after {wait_s:g} s the cluster is not done: {shown}")
        time.sleep(POLL_S)
