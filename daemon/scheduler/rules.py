"""Does a rule hold?  Node attributes, dates, and what resource and operation defaults match on.

Pacemaker Explained, "Rules".  A rule that asks for something that the situation does not have (a node attribute
where no node is meant) does not hold.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from daemon.model.configuration import Expression, Rule
from daemon.model.dates import moment_at, parse_moment
from daemon.model.values import BadValue, parse_duration_ms


@dataclass(frozen=True)
class Facts:
    """What rules are evaluated against.  None: not known here, expressions about it do not hold."""

    now_ms: int = 0
    node: Mapping[str, str] | None = None
    """attributes of the node in question, `#uname` and the like included"""
    resource: tuple[str, str, str] | None = None
    """standard, provider, type"""
    operation: tuple[str, int] | None = None
    """name, interval in milliseconds"""
    parameters: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)

    def on(self, attributes: Mapping[str, str]) -> Facts:
        return replace(self, node=attributes)


def holds(rule: Rule, facts: Facts) -> bool:
    results = (_expression(expression, facts) for expression in rule.expressions)
    if rule.boolean_op == "or":
        return any(results)
    return all(results)


def _expression(expression: Expression, facts: Facts) -> bool:
    if expression.kind == "rule":
        return expression.rule is not None and holds(expression.rule, facts)
    if expression.kind == "attribute":
        return _attribute(expression, facts)
    if expression.kind == "date":
        return _date(expression, facts.now_ms)
    if expression.kind == "resource":
        return _resource(expression, facts.resource)
    return _operation(expression, facts.operation)


def _attribute(expression: Expression, facts: Facts) -> bool:
    if facts.node is None:
        return False
    actual = facts.node.get(expression.attribute)
    wanted = expression.value
    if expression.value_source == "param":
        wanted = facts.parameters.get(wanted or "")
    elif expression.value_source == "meta":
        wanted = facts.meta.get(wanted or "")
    if expression.operation == "defined":
        return actual is not None
    if expression.operation == "not_defined":
        return actual is None
    order = _compare(actual, wanted, expression.value_type, expression.operation)
    match expression.operation:
        case "eq":
            return order == 0
        case "ne":
            return order != 0
        case "lt":
            return actual is not None and order < 0
        case "lte":
            return actual is not None and order <= 0
        case "gt":
            return actual is not None and order > 0
        case "gte":
            return actual is not None and order >= 0
    return False


def _compare(left: str | None, right: str | None, kind: str, operation: str) -> int:
    """-1, 0 or 1; something that is missing sorts before everything."""
    if left is None or right is None:
        return (left is not None) - (right is not None)
    if not kind:
        numeric = operation in {"lt", "lte", "gt", "gte"}
        kind = "number" if numeric and ("." in left or "." in right) else "integer" if numeric else "string"
    if kind == "version":
        return _sign(_version(left), _version(right))
    if kind in {"integer", "number"}:
        numbers = _number(left, kind), _number(right, kind)
        if numbers[0] is not None and numbers[1] is not None:
            return _sign(numbers[0], numbers[1])
    return _sign(left.lower(), right.lower())


def _number(text: str, kind: str) -> float | None:
    try:
        return int(float(text)) if kind == "integer" else float(text)
    except (ValueError, OverflowError):
        return None


def _version(text: str) -> tuple[int, ...]:
    parts = [int(part) for part in re.findall(r"\d+", text)]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


T = TypeVar("T", str, float, tuple[int, ...])


def _sign(left: T, right: T) -> int:
    return (left > right) - (left < right)


def _resource(expression: Expression, resource: tuple[str, str, str] | None) -> bool:
    if resource is None:
        return False
    wanted = (expression.fields.get(name) for name in ("class", "provider", "type"))
    return all(want is None or want == have for want, have in zip(wanted, resource, strict=True))


def _operation(expression: Expression, operation: tuple[str, int] | None) -> bool:
    if operation is None or expression.fields.get("name") != operation[0]:
        return False
    interval = expression.fields.get("interval")
    if interval is None:
        return True
    try:
        return parse_duration_ms(interval) == operation[1]
    except BadValue:
        return False


def _date(expression: Expression, now_ms: int) -> bool:
    now = moment_at(now_ms)
    start, end = _moment(expression.start), _moment(expression.end)
    match expression.operation:
        case "gt":
            return start is not None and now > start
        case "lt":
            return end is not None and now < end
        case "date_spec":
            return _matches(expression.spec, now)
        case "in_range" | "":
            end = end_of(start, end, expression.duration)
            if start is None and end is None:
                return False
            return (start is None or now >= start) and (end is None or now <= end)
    return False


def end_of(
    start: datetime.datetime | None, end: datetime.datetime | None, duration: dict[str, str]
) -> datetime.datetime | None:
    """Where a range ends: as it says, or a duration after its start."""
    return _after(start, duration) if end is None and start is not None and duration else end


def _moment(text: str) -> datetime.datetime | None:
    """A stored date; what is none was reported when the edit was made, and no moment is before or after it."""
    if not text:
        return None
    try:
        return parse_moment(text)
    except BadValue:
        return None


_STEPS = {"weeks": "weeks", "days": "days", "hours": "hours", "minutes": "minutes", "seconds": "seconds"}


def _after(start: datetime.datetime, duration: dict[str, str]) -> datetime.datetime | None:
    """The end of a duration of calendar units."""
    try:
        amounts = {name: int(text) for name, text in duration.items() if name != "id"}
        months = start.month - 1 + amounts.get("months", 0) + 12 * amounts.get("years", 0)
        year, month = start.year + months // 12, months % 12 + 1
        day = min(start.day, _days_in(year, month))
        moved = start.replace(year=year, month=month, day=day)
        return moved + datetime.timedelta(**{_STEPS[n]: v for n, v in amounts.items() if n in _STEPS})
    except (ValueError, OverflowError):
        return None


def _days_in(year: int, month: int) -> int:
    following = datetime.date(year + month // 12, month % 12 + 1, 1)
    return (following - datetime.timedelta(days=1)).day


def _matches(spec: dict[str, str], now: datetime.datetime) -> bool:
    iso_year, iso_week, iso_day = now.isocalendar()
    parts = {
        "years": now.year,
        "months": now.month,
        "monthdays": now.day,
        "hours": now.hour,
        "minutes": now.minute,
        "seconds": now.second,
        "yeardays": now.timetuple().tm_yday,
        "weekyears": iso_year,
        "weeks": iso_week,
        "weekdays": iso_day,
    }
    return all(_in_range(text, parts[name]) for name, text in spec.items() if name in parts)


def _in_range(text: str, value: int) -> bool:
    low, dash, high = text.partition("-")
    try:
        if not dash:
            return int(low) == value
        return (not low or int(low) <= value) and (not high or value <= int(high))
    except ValueError:
        return False
