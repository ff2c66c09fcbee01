"""Score tables: what every step of the placement does with a host's score."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model.configuration import INFINITY
from daemon.model.values import BadValue, add_scores, parse_score
from daemon.scheduler.units import Unit


def score_of(text: str | None, default: int = 0) -> int:
    """A stored score; what is none counts as `default` (it was reported when the edit was made)."""
    if text is None:
        return default
    try:
        return parse_score(text)
    except BadValue:
        return default


def prefer(unit: Unit, host: str, score: int, origin: str) -> None:
    """Add a score for one host, and remember where it came from."""
    unit.allowed[host] = add_scores(unit.allowed.get(host, 0), score)
    unit.origins.setdefault(host, []).append((origin, score))


def ban(unit: Unit, hosts: Iterable[str], origin: str) -> None:
    for host in hosts:
        prefer(unit, host, -INFINITY, origin)
