"""What each operation of a transition waits for: the real operations before it, seen through points of order.

Everything behind one point of order is the same for all that wait for the point: the thousand starts of a clone wait
for the same thousand probes.  It is worked out once for each point and shared, so that a plan is as large as its
graph, and not as the square of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from daemon.scheduler.graph import Op, Relation
from daemon.scheduler.units import Instance

EXECUTED = frozenset({"start", "stop", "promote", "demote", "monitor", "fence"})
"""operations that somebody performs; all others are points of order"""

Keys = tuple[str, ...]
"""sorted; those that are shared are one object"""


def key_of(op: Op) -> str:
    """`web_start_0@a1`, `fence@a1`."""
    if isinstance(op.unit, Instance):
        return f"{op.unit.name}_{op.task}_0@{op.host}"
    return op.key


class Waiting:
    """Answers `keys_before(op)` for the operations of one settled graph."""

    def __init__(self, ops: Iterable[Op]) -> None:
        self._points = [op for op in ops if _is_point(op)]
        self._ordered = _without_circles(self._points)
        self._host_matters = any(
            e.relation == Relation.SAME_HOST_REQUIRED for op in self._points for e in op.before
        )
        self._behind: dict[str | None, dict[int, Keys]] = {}
        """host of those that wait (None where it does not matter) → point → what is behind it"""
        self._unions: dict[tuple[int, ...], Keys] = {}
        """identities of what is behind some points, each kept alive by `_behind` → all of it"""

    def keys_before(self, op: Op) -> Keys:
        """Keys of the operations that have to be done first; its own may be among them, which means nothing."""
        return self._gather(op, op.host, self._all_behind(op.host if self._host_matters else None))

    def _all_behind(self, host: str | None) -> dict[int, Keys]:
        known = self._behind.get(host)
        if known is None:
            known = self._behind[host] = {}
            for point in self._ordered:
                known[id(point)] = self._gather(point, host, known)
            for point in self._points:
                if id(point) not in known:
                    known[id(point)] = tuple(sorted({key_of(op) for op in _seen_from(point, host)}))
        return known

    def _gather(self, op: Op, host: str | None, behind: Mapping[int, Keys]) -> Keys:
        direct: set[str] = set()
        shared: dict[int, Keys] = {}
        for edge in op.before:
            first = edge.first
            if not _binds(edge.relation, first, host):
                continue
            if _is_point(first):
                keys = behind[id(first)]
                if keys:
                    shared[id(keys)] = keys
            elif first.due:
                direct.add(key_of(first))
        together = self._union(shared)
        more = [key for key in direct if not _among(key, together)] if together else direct
        return tuple(sorted((*together, *more))) if more else together

    def _union(self, shared: Mapping[int, Keys]) -> Keys:
        if len(shared) < 2:
            return next(iter(shared.values()), ())
        name = tuple(sorted(shared))
        known = self._unions.get(name)
        if known is None:
            known = self._unions[name] = tuple(sorted(set().union(*shared.values())))
        return known


def _is_point(op: Op) -> bool:
    return op.pseudo or op.task not in EXECUTED


def _binds(relation: int, first: Op, host: str | None) -> bool:
    if relation == Relation.SAME_HOST_REQUIRED:
        return first.host == host
    return relation != Relation.NONE


def _without_circles(points: list[Op]) -> list[Op]:
    """Points of order, each after those before it; without those that are in circles, or behind them."""
    missing = {
        id(point): sum(edge.relation != Relation.NONE and _is_point(edge.first) for edge in point.before)
        for point in points
    }
    ordered = [point for point in points if not missing[id(point)]]
    for point in ordered:  # grows while it is gone through
        for edge in point.after:
            if edge.relation != Relation.NONE and id(edge.then) in missing:
                missing[id(edge.then)] -= 1
                if not missing[id(edge.then)]:
                    ordered.append(edge.then)
    return ordered


def _seen_from(point: Op, host: str | None) -> Iterator[Op]:
    """The real operations behind a point, found one by one."""
    seen: set[int] = {id(point)}
    stack = [point]
    while stack:
        for edge in stack.pop().before:
            first = edge.first
            if id(first) in seen or not _binds(edge.relation, first, host):
                continue
            seen.add(id(first))
            if _is_point(first):
                stack.append(first)
            elif first.due:
                yield first


def _among(key: str, keys: Keys) -> bool:
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key


def without(keys: Keys, key: str) -> Keys:
    """Sorted keys without one of them; the same object where it is not among them."""
    return tuple(other for other in keys if other != key) if _among(key, keys) else keys


# ---- circles


def circles_broken(waits: Mapping[str, Keys], findings: list[str]) -> dict[str, Keys]:
    """Nothing may wait for itself: where orders go in a circle, the first by name goes ahead, and it is said."""
    if _ends(waits):
        return dict(waits)
    after = {key: set(without(keys, key)) for key, keys in waits.items()}
    left = {key: {key for key in keys if key in waits} for key, keys in after.items()}
    while left:
        ready = [key for key, keys in left.items() if not keys]
        if not ready:
            victim = min(left)
            findings.append(f"Orders go in a circle at {victim}: it does not wait for {sorted(left[victim])}")
            after[victim] -= left[victim]
            ready = [victim]
        for key in ready:
            del left[key]
        gone = set(ready)
        left = {key: keys - gone for key, keys in left.items()}
    return {key: tuple(sorted(keys)) for key, keys in after.items()}


def _ends(waits: Mapping[str, Keys]) -> bool:
    """Whether everything can be done, one thing after the other; keys that are shared are counted down once."""
    groups = {id(keys): keys for keys in waits.values()}
    followers: dict[int, list[str]] = {}
    for key, keys in waits.items():
        followers.setdefault(id(keys), []).append(key)
    part_of: dict[str, list[int]] = {}
    missing: dict[int, int] = {}
    for group, keys in groups.items():
        present = [key for key in keys if key in waits]
        missing[group] = len(present)
        for key in present:
            part_of.setdefault(key, []).append(group)
    done = [key for group, count in missing.items() if not count for key in followers[group]]
    for key in done:  # grows while it is gone through
        for group in part_of.get(key, ()):
            missing[group] -= 1
            if not missing[group]:
                done.extend(followers[group])
    return len(done) == len(waits)
