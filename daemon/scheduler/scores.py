"""Score tables: what every step of the placement does with a host's score."""

from __future__ import annotations

import re
from collections.abc import Iterable

from daemon.model.configuration import INFINITY
from daemon.model.values import BadValue, add_scores, parse_score
from daemon.scheduler.units import Unit


def score_of(text: str | None, default: int = 0) -> int:
    """A stored score.  What is none counts as the whole number that it begins with (`2.0`), else as `default`."""
    if text is None:
        return default
    try:
        return parse_score(text)
    except BadValue:
        begins = _BEGINNING.match(text)
        return parse_score(begins[0]) if begins else default


_BEGINNING = re.compile(r"\s*[+-]?[0-9]+")


def note(unit: Unit, host: str, before: int, after: int, origin: str) -> None:
    """Set a host's score, and remember what has changed it."""
    unit.allowed[host] = after
    if after != before:
        part = after if abs(after) >= INFINITY else after - before
        unit.origins[host] = (*unit.origins.get(host, ()), (origin, part))


def prefer(unit: Unit, host: str, score: int, origin: str) -> None:
    """Add a score for one host, and remember where it came from."""
    unit.allowed[host] = add_scores(unit.allowed.get(host, 0), score)
    if score:
        unit.origins[host] = (*unit.origins.get(host, ()), (origin, score))


def ban(unit: Unit, hosts: Iterable[str], origin: str) -> None:
    for host in hosts:
        prefer(unit, host, -INFINITY, origin)


def replace_table(unit: Unit, table: dict[str, int], origin: str) -> None:
    """Take over a table of scores that was worked out from the unit's own."""
    for host, after in table.items():
        before = unit.allowed.get(host, 0)
        if after != before:
            note(unit, host, before, after, origin)


Snapshot = tuple[dict[str, int], dict[str, tuple[tuple[str, int], ...]]]


def snapshot(unit: Unit) -> Snapshot:
    """A unit's scores and what they are made of, to go back to."""
    return dict(unit.allowed), dict(unit.origins)


def restore(unit: Unit, kept: Snapshot) -> None:
    unit.allowed, unit.origins = dict(kept[0]), dict(kept[1])
