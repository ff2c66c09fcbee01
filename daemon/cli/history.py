"""`vipcast cluster history`: who changed the configuration, when, how and to what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from daemon.cli import past, when
from daemon.cli.call import OK, Call, CommandError
from daemon.cluster.records import LogEntry, Noop, Request, Roster
from daemon.model.changes import describe_change
from daemon.model.configuration import Configuration
from daemon.state import frozen, tiebreaker
from daemon.state.commands import Edit, StateCommand

LINES_DEFAULT = 50
LINES_MAX = 1000
CHANGE_CHARACTERS_MAX = 160

_decode = msgspec.msgpack.Decoder(StateCommand).decode


@dataclass(frozen=True, slots=True)
class Version:
    """A configuration, and the edit that made it."""

    epoch: int
    stamp_ms: int
    author: str
    node: str
    comment: str
    configuration: bytes


class VersionLine(msgspec.Struct, frozen=True):
    """One version for programs."""

    epoch: int
    stamp_ms: int
    author: str
    node: str
    """where it was typed"""
    comment: str
    changes: tuple[str, ...] | None
    """None: the log does not go back to it, only its author is kept"""


def show(call: Call) -> int:
    """`vipcast cluster history [-n N] [--since INDEX|TIME]`"""
    count = call.number("--lines", LINES_DEFAULT, 1, LINES_MAX)
    since = 0
    if call.has("--since"):
        asked = when.parse(call, "--since", datetime.now(UTC))
        since = asked if isinstance(asked, int) else when.first_since(call, asked)
    lines = _lines(call, since, count)
    if call.out.json_wanted:
        call.out.document(lines)
        return OK
    call.out.lines(_told(line) for line in lines)
    if not lines:
        call.out.line("No edit of the configuration is known" + (" since then" if since else ""))
    if any(line.changes is None for line in lines):
        first = call.client.log(-1, 1).first_index
        call.out.note(f"Of edits before entry {first} only author and command are kept, not what they changed")
    return OK


def _lines(call: Call, since: int, count: int) -> tuple[VersionLine, ...]:
    ends = call.client.log(-1, 1)
    snapshot = past.snapshot_before(call, ends.first_index - 1)
    try:
        start = frozen.decode(snapshot.state)
    except frozen.ThawError as problem:
        raise CommandError(past.unreadable(snapshot, problem)) from problem
    made = list(versions(start, past.entries(call, snapshot.index + 1, ends.last_index)))
    before = {one.epoch: other.configuration for other, one in pairwise(made)}
    older = [VersionLine(e.epoch, e.stamp_ms, e.author, e.node, e.comment, None) for e in start.edits]
    known: list[VersionLine | Version] = [*older, *made]
    shown = [found for found in known if found.epoch >= since][-count:]
    return tuple(
        _line(found, before.get(found.epoch, start.configuration)) if isinstance(found, Version) else found
        for found in shown
    )


def versions(start: frozen.Frozen, entries: Iterator[LogEntry]) -> Iterator[Version]:
    """The edits that were accepted, by the rules of `State.apply`: an outdated or repeated one changed nothing.

    What is no valid configuration is refused by the control API before it can reach the log.
    """
    epoch, tickets = start.configuration_epoch, frozen.tickets_thawed(start.tickets)
    configuration, nodes = start.configuration, {*start.members, *start.witnesses}
    for entry in entries:
        request = entry.command
        nodes = _nodes(entry, nodes)
        if not isinstance(request, Request):
            continue
        if not tickets.first_time(request.origin, request.incarnation, request.ticket):
            continue
        try:
            edit = _decode(request.body)
        except (ValueError, RecursionError):
            continue
        if not isinstance(edit, Edit) or edit.base_epoch not in (None, epoch):
            continue
        if _ties_are_sound(edit.configuration, configuration, nodes):
            epoch, configuration = entry.index, edit.configuration
            yield Version(epoch, entry.stamp_ms, edit.author, request.origin, edit.comment, edit.configuration)


def _nodes(entry: LogEntry, before: set[str]) -> set[str]:
    """Who belongs to the cluster after the entry."""
    match entry.command:
        case Roster(members):
            return {member.name for member in members}
        case Noop(founders) if founders and entry.index == 1:
            return set(founders)
    return before


def _ties_are_sound(new: bytes, old: bytes, nodes: set[str]) -> bool:
    """The one thing that the state refuses and the control API lets through, for it knows no nodes."""
    if tiebreaker.PROPERTY.encode() not in new:
        return True
    after, before = (Configuration.model_validate_json(text) for text in (new, old))
    return not tiebreaker.check(after, before, nodes)


def _line(version: Version, before: bytes) -> VersionLine:
    old, new = (Configuration.model_validate_json(text) for text in (before, version.configuration))
    changes = tuple(describe_change(old, new)) or ("nothing",)
    return VersionLine(version.epoch, version.stamp_ms, version.author, version.node, version.comment, changes)


def _told(line: VersionLine) -> str:
    changes = "; ".join(line.changes or ())
    if len(changes) > CHANGE_CHARACTERS_MAX:
        changes = changes[: CHANGE_CHARACTERS_MAX - 1] + "…"
    who = f"{line.author or 'somebody'} on {line.node}"
    told = f"{line.epoch:>6}  {when.stamp(line.stamp_ms)}  {who}: {line.comment or '(no comment)'}"
    return f"{told}  [{changes}]" if line.changes is not None else told
