"""`vipcast diff` and `vipcast rollback`: configurations as they were, by the log of this host's daemon."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import UTC, datetime

from daemon.cli import editing, past, when
from daemon.cli.call import OK, Call, CommandError
from daemon.cli.config import page
from daemon.cli.history import versions
from daemon.model.changes import describe_change
from daemon.model.configuration import Configuration
from daemon.state import frozen

CONTEXT = 2
"""lines around each change"""
_COLOURS = {"+": "good", "-": "bad", "@": "quiet"}


def diff(call: Call) -> int:
    """`diff INDEX|TIME [INDEX|TIME]`: from then to then, or to now."""
    first, *second = call.arguments
    old, old_index = _as_of(call, first)
    new, new_index = _as_of(call, second[0]) if second else (call.configuration(), None)
    if call.out.json_wanted:
        call.out.document({"from": old_index, "to": new_index, "changes": describe_change(old, new)})
        return OK
    call.out.lines(
        _painted(call, _lines(old, new, f"entry {old_index}", f"entry {new_index}" if second else "now"))
    )
    return OK


def rollback(call: Call) -> int:
    """`rollback INDEX|TIME`: one more edit, which says again what was said then."""
    (asked,) = call.arguments
    old, index = _as_of(call, asked)
    if old == call.configuration():
        call.out.note(f"The configuration is what it was after entry {index}; nothing has changed")
    return editing.edit(call, lambda _now: old, describe_change)


def _as_of(call: Call, asked: str) -> tuple[Configuration, int]:
    """The configuration after an entry, or at a time, and the entry.  Raises CommandError."""
    found = when.place(call, "'vipcast " + call.command.name + "'", asked, datetime.now(UTC))
    index = found if isinstance(found, int) else when.last_until(call, found)
    ends = call.client.log(-1, 1)
    if index > ends.last_index:
        raise CommandError(f"there is no entry {index} yet: the newest is {ends.last_index}")
    snapshot = past.snapshot_before(call, index)
    try:
        start = frozen.decode(snapshot.state)
    except frozen.ThawError as problem:
        raise CommandError(past.unreadable(snapshot, problem)) from problem
    body = start.configuration
    for version in versions(start, past.entries(call, snapshot.index + 1, index)):
        body = version.configuration
    return Configuration.model_validate_json(body), index


def _lines(old: Configuration, new: Configuration, before: str, after: str) -> Iterator[str]:
    return difflib.unified_diff(list(page(old)), list(page(new)), before, after, n=CONTEXT, lineterm="")


def _painted(call: Call, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        colour = _COLOURS.get(line[:1])
        yield call.out.painted(line, colour) if colour else line
