"""The cluster as it was: a kept state and the entries after it, applied in this process and not in the daemon's."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from daemon.cli import when
from daemon.cli.call import OK, Call, CommandError
from daemon.cluster.records import LogEntry
from daemon.control.client import RefusalError
from daemon.control.narrate import sentence
from daemon.control.schema import SnapshotDocument
from daemon.control.statedoc import past
from daemon.state.frozen import ThawError
from daemon.state.state import State

MANY = 500
"""entries to apply, from which on it is worth a word"""

_decode = msgspec.msgpack.Decoder(LogEntry).decode


def show(call: Call) -> int:
    """`vipcast status --at INDEX|TIME`"""
    at = when.parse(call, "--at", datetime.now(UTC))
    index = at if isinstance(at, int) else when.last_until(call, at)
    state, term, snapshot = state_at(call, index)
    document = past(state, snapshot.cluster, snapshot.node, term)
    if call.out.json_wanted:
        call.out.document(document)
        return OK
    from daemon.cli.layout.past import status  # noqa: PLC0415 - start-up time

    found = call.client.log(index, 1).entries if index else ()
    told = sentence(found[0]) if found and found[0].index == index else ""
    call.out.lines(status(document, state.now_ms, told, call.out.painted))
    return OK


def state_at(call: Call, index: int) -> tuple[State, int, SnapshotDocument]:
    """The state after entry `index`, the term of that entry (0: unknown), and where it was computed from.

    Raises CommandError.
    """
    ends = call.client.log(-1, 1)
    if index > ends.last_index:
        raise CommandError(f"there is no entry {index} yet: the newest is {ends.last_index}")
    snapshot = snapshot_before(call, index)
    try:
        state = State.thaw(snapshot.state)
    except ThawError as problem:
        raise CommandError(unreadable(snapshot, problem)) from problem
    if index - state.index >= MANY:
        call.out.note(f"Applying {index - state.index} entries of the log …")
    term = 0
    gc.disable()  # what is made here lives until the end of this short process
    for entry in entries(call, state.index + 1, index):
        state.apply(entry)
        term = entry.term
    return state, term, snapshot


def unreadable(snapshot: SnapshotDocument, problem: ThawError) -> str:
    return f"{snapshot.node} keeps a state that this vipcast cannot read: {problem}"


def snapshot_before(call: Call, index: int) -> SnapshotDocument:
    """The newest kept state that is not younger than an entry.  Raises CommandError where none is so old."""
    try:
        return call.client.snapshot(index)
    except RefusalError as refusal:
        if refusal.status != 404:
            raise
        raise CommandError(
            when.too_old(call, f"entry {index}", call.client.log(-1, 1)), code="too-old"
        ) from refusal


def entries(call: Call, first: int, last: int) -> Iterator[LogEntry]:
    """Entries `first` to `last` of the log.  Raises CommandError where they are not there (any more)."""
    following = first
    while following <= last:
        page = [_decode(encoded) for encoded in call.client.entries(following).entries]
        if not page or page[0].index != following:
            raise CommandError(f"entry {following} has just been cut off the log; ask for something younger")
        for entry in page:
            if entry.index > last:
                return
            yield entry
        following = page[-1].index + 1
