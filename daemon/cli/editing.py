"""The way of every edit: load, change, store; and again when somebody else was faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.sources import Superseded
from daemon.control.schema import Accepted
from daemon.model.configuration import Configuration
from daemon.model.findings import Finding

ATTEMPTS_MAX = 8
POLL_S = 0.1

Change = Callable[[Configuration], Configuration]
"""An edit of `daemon.model.edits` with its arguments.  Raises `Refused`."""
Telling = Callable[[Configuration, Configuration], Iterable[str]]
"""(before, after) → what to say about it"""


def nothing_to_say(_before: Configuration, _after: Configuration) -> Iterable[str]:
    """pcs is silent about most edits."""
    return ()


def saying(*lines: str) -> Telling:
    """The same lines, whatever has changed."""
    return lambda _before, _after: lines


def edit(call: Call, change: Change, telling: Telling = nothing_to_say) -> int:
    """Carry out one edit on the call's source, and say what came of it."""
    wait_s = call.wait_s  # a wrong number is found before anything is changed
    before, after, accepted = store(call, change)
    return finish(call, accepted, tuple(telling(before, after)), wait_s=wait_s)


def store(call: Call, change: Change) -> tuple[Configuration, Configuration, Accepted | None]:
    """Carry it out without a word: before, after, and what came of it; None where there was nothing to change."""
    for _ in range(ATTEMPTS_MAX):
        loaded = call.source.load()
        after = change(loaded.configuration)
        if after == loaded.configuration:
            return loaded.configuration, after, None
        try:
            return loaded.configuration, after, call.source.store(after, loaded.epoch, call.typed)
        except Superseded:
            continue
    raise CommandError(
        f"somebody else changed the configuration {ATTEMPTS_MAX} times in between; nothing has changed, try again",
        code="conflict",
    )


def finish(
    call: Call,
    accepted: Accepted | None,
    told: Iterable[str],
    *,
    warnings: Iterable[Finding] = (),
    wait_s: float | None = None,
) -> int:
    """Print what an edit had to say, and if `wait_s` is given wait until the cluster has carried it out."""
    findings = tuple(dict.fromkeys((*warnings, *(accepted.findings if accepted else ()))))
    if call.out.json_wanted:
        call.out.document(
            {
                "changed": accepted is not None,
                "index": accepted.index if accepted else None,
                "epoch": accepted.epoch if accepted else None,
                "messages": tuple(told),
                "findings": findings,
            }
        )
    else:
        for finding in findings:
            call.out.note(str(finding))
        call.out.lines(told)
        call.out.flush()
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
