"""Dates and times as rules write them: ISO 8601, ranges of calendar units, durations."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

from daemon.model.values import BadValue

_ORDINAL = re.compile(r"(\d{4})-?(\d{3})(?:[T ](.+))?")
_RANGE = re.compile(r"(\d*)(-?)(\d*)")

SPEC_LIMITS: dict[str, tuple[int, int]] = {
    "years": (1, 9_999),
    "months": (1, 12),
    "monthdays": (1, 31),
    "hours": (0, 23),
    "minutes": (0, 59),
    "seconds": (0, 60),
    "yeardays": (1, 366),
    "weekyears": (1, 9_999),
    "weeks": (1, 53),
    "weekdays": (1, 7),
    "moon": (0, 7),
}
"""the units of a date_spec, with the least and greatest value of each"""
DURATION_UNITS = frozenset({"years", "months", "weeks", "days", "hours", "minutes", "seconds"})
_LATEST_S = int(datetime.datetime(9998, 12, 31, tzinfo=datetime.UTC).timestamp())
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_moment(text: str) -> datetime.datetime:
    """An ISO 8601 date (also by week or by day of the year), or date and time; without a zone it counts as UTC."""
    word = text.strip()
    ordinal = _ORDINAL.fullmatch(word)
    try:
        if ordinal is not None:
            start = datetime.datetime(int(ordinal[1]), 1, 1, tzinfo=datetime.UTC)
            day = start + datetime.timedelta(days=int(ordinal[2]) - 1)
            if day.year != start.year:
                raise BadValue(f"'{text}' is not a date, its year has no such day")
            word = f"{day:%Y-%m-%d}" + (f"T{ordinal[3]}" if ordinal[3] else "")
        moment = datetime.datetime.fromisoformat(word.replace(" ", "T", 1))
    except (ValueError, OverflowError):
        raise BadValue(f"'{text}' is not a date, use for example 2026-12-31 or 2026-12-31T18:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def moment_at(now_ms: int) -> datetime.datetime:
    """Milliseconds since 1970 as a moment; what is beyond the calendar counts as its end."""
    return datetime.datetime.fromtimestamp(min(max(now_ms // 1000, 0), _LATEST_S), datetime.UTC)


def parse_range(text: str) -> tuple[int | None, int | None]:
    """`9-17`, `9-`, `-17` or `9` as (first, last)."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[3]) or (match[3] and not match[2]):
        raise BadValue(f"'{text}' is not a range, use for example 9-17, 9- or 9")
    first = int(match[1]) if match[1] else None
    if not match[2]:
        return first, first
    return first, int(match[3]) if match[3] else None


def check_spec(spec: Mapping[str, str]) -> None:
    """Raise `BadValue` for a date_spec that no moment ever matches, or that is none."""
    ranges: dict[str, tuple[int, int]] = {}
    for name, text in spec.items():
        if name == "id":
            continue
        if name not in SPEC_LIMITS:
            raise BadValue(f"'{name}' is no unit of dates, use one of {', '.join(SPEC_LIMITS)}")
        least, most = SPEC_LIMITS[name]
        first, last = parse_range(text)
        low, high = least if first is None else first, most if last is None else last
        if low > high or low > most or high < least:
            raise BadValue(f"{name}={text} never comes, {name} go from {least} to {most}")
        ranges[name] = (low, high)
    if not ranges:
        raise BadValue("it names no unit, such as hours=9-17")
    days, months = ranges.get("monthdays"), ranges.get("months")
    if days is not None and months is not None:
        longest = max(_LONGEST_MONTH[max(1, months[0]) - 1 : min(12, months[1])])
        if days[0] > longest:
            raise BadValue(f"monthdays={spec['monthdays']} months={spec['months']} never comes")


def check_duration(duration: Mapping[str, str]) -> None:
    """Raise `BadValue` for a duration of unknown units, or of none."""
    units = {name: text for name, text in duration.items() if name != "id"}
    for name, text in units.items():
        if name not in DURATION_UNITS:
            raise BadValue(f"'{name}' is no unit of durations, use one of {', '.join(sorted(DURATION_UNITS))}")
        if not re.fullmatch(r"\d{1,9}", text.strip()):
            raise BadValue(f"{name}={text} is not a number of {name}")
    if not units:
        raise BadValue("the duration names no unit, such as hours=8")
