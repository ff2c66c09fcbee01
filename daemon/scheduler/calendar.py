"""When time alone changes what rules say: the next moment at which a date expression begins or ceases to hold."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from daemon.model.configuration import Configuration, Expression, Rule
from daemon.model.dates import moment_at, parse_moment
from daemon.model.rules import rules_of
from daemon.model.values import BadValue
from daemon.scheduler.rules import end_of

SECOND = datetime.timedelta(seconds=1)


def next_change_ms(configuration: Configuration, now_ms: int) -> int | None:
    """Milliseconds since 1970; None where no rule depends on the date, or none will change any more."""
    now = moment_at(now_ms)
    moments = [
        moment
        for rule in rules_of(configuration)
        for expression in _dates(rule)
        for moment in _changes(expression, now)
        if moment > now
    ]
    return int(min(moments).timestamp()) * 1_000 if moments else None


def _dates(rule: Rule) -> Iterator[Expression]:
    for expression in rule.expressions:
        if expression.rule is not None:
            yield from _dates(expression.rule)
        elif expression.kind == "date":
            yield expression


def _changes(expression: Expression, now: datetime.datetime) -> Iterator[datetime.datetime]:
    """Moments at which it may change; what cannot be read never holds, and never changes."""
    try:
        start = parse_moment(expression.start) if expression.start else None
        end = parse_moment(expression.end) if expression.end else None
    except BadValue:
        return
    match expression.operation:
        case "gt":
            yield from _just_after(start)
        case "lt":
            yield from (end,) if end is not None else ()
        case "date_spec":
            yield _next_unit(expression.spec, now)
        case _:
            end = end_of(start, end, expression.duration)
            yield from (start,) if start is not None else ()
            yield from _just_after(end)


def _just_after(moment: datetime.datetime | None) -> Iterator[datetime.datetime]:
    if moment is not None and moment.year < datetime.MAXYEAR:
        yield moment + SECOND


def _next_unit(spec: dict[str, str], now: datetime.datetime) -> datetime.datetime:
    """The beginning of the next of the smallest units that the spec names; of those beyond a day, the next day."""
    if "seconds" in spec:
        return now + SECOND
    if "minutes" in spec:
        return now.replace(second=0) + datetime.timedelta(minutes=1)
    if "hours" in spec:
        return now.replace(minute=0, second=0) + datetime.timedelta(hours=1)
    return now.replace(hour=0, minute=0, second=0) + datetime.timedelta(days=1)
