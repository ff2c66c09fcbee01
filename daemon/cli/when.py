"""`INDEX|TIME`: a place in the replicated log, by the number of an entry or by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from daemon.cli.call import Call, CommandError
from daemon.control.schema import LogDocument
from daemon.model.values import BadValue, parse_duration_ms

FORMS = "the number of an entry, a time (21:10, '2026-11-22 21:10:05') or how long ago (10min)"
INDEX_MAX = 10**18


def parse(call: Call, option: str, now: datetime) -> int | datetime:
    """What the option says: an index, or a point in time.  A naive time is this host's.  Raises UsageError."""
    return place(call, option, call.value(option) or "", now)


def place(call: Call, taker: str, text: str, now: datetime) -> int | datetime:
    """The same of any word; `taker` is what took it, for the error.  Raises UsageError."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        if int(text) > INDEX_MAX:
            raise call.misuse(f"{taker} takes {FORMS}, not '{text}'")
        return int(text)
    for form in (_time_of_day, _iso, _ago):
        found = form(text, now)
        if found is not None:
            return found
    raise call.misuse(f"{taker} takes {FORMS}, not '{text}'")


def _time_of_day(text: str, now: datetime) -> datetime | None:
    """Today's, or yesterday's where today's is still to come."""
    try:
        at = datetime.combine(now.astimezone().date(), time.fromisoformat(text)).astimezone()
    except ValueError:
        return None
    return at if at <= now else at - timedelta(days=1)


def _iso(text: str, _now: datetime) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def _ago(text: str, now: datetime) -> datetime | None:
    try:
        return now - timedelta(milliseconds=parse_duration_ms(text))
    except (BadValue, OverflowError):
        return None


def first_since(call: Call, at: datetime) -> int:
    """Index of the first entry that is not older; one past the newest where all are.  The log's stamps never fall."""
    at_ms = at.timestamp() * 1000
    ends = call.client.log(-1, 1)
    low, high = ends.first_index, ends.last_index + 1
    while low < high:
        middle = (low + high) // 2
        found = call.client.log(middle, 1)
        if found.entries and found.entries[0].index == middle and found.entries[0].stamp_ms < at_ms:
            low = middle + 1
        else:
            high = middle
    return low


def last_until(call: Call, at: datetime) -> int:
    """Index of the newest entry that is not younger.  Raises CommandError where the log begins later."""
    ends = call.client.log(-1, 1)
    index = first_since(call, at + timedelta(milliseconds=1)) - 1
    if index < ends.first_index and ends.first_index > 1:
        raise CommandError(too_old(call, f"{at:%Y-%m-%d %H:%M:%S}", ends), code="too-old")
    return index


def too_old(call: Call, asked: str, ends: LogDocument) -> str:
    """Why a place before the beginning of the log cannot be shown."""
    (oldest, *_) = call.client.log(ends.first_index, 1).entries or (None,)
    since = f" of {stamp(oldest.stamp_ms)}" if oldest is not None else ""
    return f"nothing is kept of {asked}: the log here begins with entry {ends.first_index}{since}"


def stamp(stamp_ms: int) -> str:
    """A wall clock of the log, in this host's time zone."""
    return datetime.fromtimestamp(stamp_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
