"""`vipcast cluster …`: the cluster itself, its configuration as a file, its log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daemon.cli.call import FAILED, OK, Call, CommandError
from daemon.control.client import RefusalError

if TYPE_CHECKING:
    from daemon.control.schema import LogLine

LINES_DEFAULT = 50
LINES_MAX = 1000


def status(call: Call) -> int:
    """`vipcast cluster status`"""
    if call.out.json_wanted:
        call.out.document(call.client.status_json())
        return OK
    from daemon.cli.layout.cluster import cluster_status  # noqa: PLC0415 - start-up time

    call.out.lines(cluster_status(call.client.status(), call.out.painted))
    return OK


def cib(call: Call) -> int:
    """`vipcast cluster cib [<file>]`: XML that remembers the epoch that it was made from."""
    from daemon.cli.files import write_file  # noqa: PLC0415
    from daemon.cli.members import with_members  # noqa: PLC0415 - start-up time
    from daemon.cli.sources import FileSource  # noqa: PLC0415
    from daemon.model.cib import write_cib  # noqa: PLC0415

    if isinstance(call.source, FileSource):
        document = call.source.document()
    else:
        loaded = call.source.load()
        document = write_cib(with_members(call, loaded.configuration), epoch=loaded.epoch)
    if not call.arguments or call.arguments[0] == "-":
        call.out.raw(document.decode())
        return OK
    write_file(call.arguments[0], document)
    if call.out.json_wanted:
        call.out.document({"file": call.arguments[0]})
    return OK


def cib_push(call: Call) -> int:
    """`vipcast cluster cib-push <file>`: refused when the configuration has moved on since the file was made."""
    from daemon.cli.editing import finish  # noqa: PLC0415 - start-up time
    from daemon.cli.files import read_file  # noqa: PLC0415
    from daemon.cli.sources import Superseded, parsed  # noqa: PLC0415
    from daemon.model.changes import describe_change  # noqa: PLC0415

    if len(call.arguments) > 1:
        raise CommandError(f"'{call.arguments[1]}' is not supported: a push replaces the whole configuration")
    if call.has("--file"):
        raise CommandError("cib-push changes the cluster: leave out -f, and name the file behind cib-push")
    path = call.arguments[0]
    wait_s = call.wait_s
    pushed = parsed(read_file(path), path)
    base_epoch = None if call.has("--force") else pushed.base_epoch
    changes = describe_change(call.configuration(), pushed.configuration)
    comment = ": ".join(filter(None, (call.typed, "; ".join(changes))))
    try:
        accepted = call.source.store(pushed.configuration, base_epoch, comment)
    except Superseded as conflict:
        cause = conflict.__cause__
        now = f" and is at epoch {cause.problem.epoch} now" if isinstance(cause, RefusalError) else ""
        raise CommandError(
            f"{path} was made from epoch {pushed.base_epoch}, the cluster's configuration has moved on{now}; "
            "nothing has changed. Make the file again with 'vipcast cluster cib FILE', or overwrite what others "
            "have changed with --force",
            code="conflict",
        ) from conflict
    return finish(call, accepted, ("CIB updated",), warnings=pushed.warnings, wait_s=wait_s)


def verify(call: Call) -> int:
    """`vipcast cluster verify`: all findings of the configuration, or of the file of -f."""
    from daemon.model.findings import errors_of  # noqa: PLC0415 - start-up time
    from daemon.model.validation import validate  # noqa: PLC0415

    findings = tuple(validate(call.configuration()))
    if call.out.json_wanted:
        call.out.document({"findings": findings})
    else:
        call.out.lines(str(finding) for finding in findings)
        if not findings:
            call.out.line("The configuration is valid")
    return FAILED if errors_of(findings) else OK


def log(call: Call) -> int:
    """`vipcast cluster log [-f] [-n N] [--since INDEX|TIME]`"""
    count = call.number("--lines", LINES_DEFAULT, 1, LINES_MAX)
    if call.has("--since"):
        shown = _log_since(call, count if call.has("--lines") else None)
    else:
        document = call.client.log(-count, count)
        _print_log(call, document.entries)
        shown = document.entries[-1].index if document.entries else document.last_index
    if call.has("--follow"):
        _follow(call, shown)
    return OK


def _log_since(call: Call, count: int | None) -> int:
    """Print from the place on that --since names, to the end where `count` is None; the last index shown."""
    from daemon.cli import when  # noqa: PLC0415 - start-up time

    asked = when.parse(call, "--since", datetime.now(UTC))
    ends = call.client.log(-1, 1)
    following = asked if isinstance(asked, int) else when.first_since(call, asked)
    if following < ends.first_index:
        call.out.note(f"The log that is kept here begins with entry {ends.first_index}")
        following = ends.first_index
    last = ends.last_index if count is None else min(ends.last_index, following + count - 1)
    while following <= last:
        entries = call.client.log(following, min(LINES_MAX, last - following + 1)).entries
        if not entries:
            break
        _print_log(call, entries)
        following = entries[-1].index + 1
    return following - 1


def events(call: Call) -> int:
    """`vipcast cluster events`"""
    for event in call.client.events():
        call.out.compact(event)
    raise CommandError("vipcastd has ended the stream of changes: was it just stopped?")


def _follow(call: Call, shown: int) -> None:
    """Print entries after `shown` as they arrive, until the daemon ends the stream.

    Every stream begins with an event that names the newest entry, so nothing is missed before it.
    """
    dropped = True
    while dropped:
        dropped = False
        for event in call.client.events():
            dropped = event.kind == "dropped"
            while event.index > shown:
                entries = call.client.log(shown + 1, LINES_MAX).entries
                if not entries:
                    break
                _print_log(call, entries)
                shown = entries[-1].index
    raise CommandError("vipcastd has ended the stream of changes: was it just stopped?")


def _print_log(call: Call, entries: Iterable[LogLine]) -> None:
    """Index, time, epoch of the configuration after it, and what happened."""
    from daemon.control.narrate import sentence  # noqa: PLC0415 - start-up time

    for entry in entries:
        if call.out.json_wanted:
            call.out.compact(entry)
            continue
        when = datetime.fromtimestamp(entry.stamp_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        epoch = "-" if entry.epoch is None else entry.epoch
        call.out.line(f"{entry.index:>6}  {when}  {epoch:>6}  {sentence(entry)}")
    call.out.flush()
