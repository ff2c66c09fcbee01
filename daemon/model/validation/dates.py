"""Date expressions of rules: dates that are none, and ranges that never come."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import (
    Configuration,
    Expression,
    Rule,
)
from daemon.model.dates import check_duration, check_spec, parse_moment
from daemon.model.findings import Finding, error
from daemon.model.rules import rules_of
from daemon.model.values import BadValue


def check(configuration: Configuration) -> Iterator[Finding]:
    for rule in rules_of(configuration):
        yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[Finding]:
    for expression in rule.expressions:
        if expression.rule is not None:
            yield from _rule(expression.rule)
        elif expression.kind == "date":
            try:
                _date(expression)
            except BadValue as problem:
                name = expression.id or rule.id
                yield error("bad-date", name, f"the date of '{name}' is not possible: {problem}")


def _date(expression: Expression) -> None:
    """Raise `BadValue` for what is wrong first."""
    start = parse_moment(expression.start) if expression.start else None
    end = parse_moment(expression.end) if expression.end else None
    match expression.operation:
        case "gt":
            if start is None:
                raise BadValue("gt needs a start")
        case "lt":
            if end is None:
                raise BadValue("lt needs an end")
        case "date_spec":
            check_spec(expression.spec)
        case "in_range" | "":
            if expression.duration:
                if start is None:
                    raise BadValue("a duration needs a start")
                check_duration(expression.duration)
            elif start is None and end is None:
                raise BadValue("in_range needs a start or an end")
            if start is not None and end is not None and end < start:
                raise BadValue(f"it ends ({expression.end}) before it starts ({expression.start})")
        case _:
            raise BadValue(f"'{expression.operation}' is none of gt, lt, in_range, date_spec")
