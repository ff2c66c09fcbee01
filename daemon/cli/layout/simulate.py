"""A rehearsal for people: where everything goes, step by step, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from daemon.cli.layout.resources import Paint, natural, plain
from daemon.scheduler.rehearsal import Placement, Rehearsal, in_order
from daemon.scheduler.view import BY_SLOTS, Action
from daemon.scheduler.whatif import WhatIf

_KEY = re.compile(r"(.+)_([a-z]+)_[0-9]+")
_WORDS = {"address-up": "bring up", "address-release": "release slots of"}


def simulation(events: Sequence[WhatIf], rehearsal: Rehearsal, paint: Paint = plain) -> Iterator[str]:
    for at, event in enumerate(events):
        yield f"{'What if' if not at else '    and'} {event}?"
    if events:
        yield ""
    yield from _placements(rehearsal, paint)
    yield ""
    yield from _transition(rehearsal.plan.actions)
    yield from _reasons(rehearsal)
    for finding in rehearsal.plan.findings:
        yield paint(f"Note: {finding}", "moving")


# ---- placements


def _placements(rehearsal: Rehearsal, paint: Paint) -> Iterator[str]:
    yield "Placement now -> after the transition:"
    rows = [(name, _way(rehearsal, name)) for name in sorted(rehearsal.after, key=natural)]
    if not rows:
        yield "  no resources"
    moved = set(rehearsal.moves())
    for (base, way, changes), group in groupby(rows, lambda row: (_base(row[0]), row[1], row[0] in moved)):
        name = _named(base, [name for name, _ in group])
        yield f"  {name}: {paint(way, 'moving') if changes else way}"


def _base(name: str) -> str:
    """What instances of one clone have in common."""
    base, _, number = name.rpartition(":")
    return base if base and number.isdecimal() else name


def _named(base: str, names: Sequence[str]) -> str:
    """`vip:0-3` for instances of one clone, else the name itself."""
    if base == names[0]:
        return base
    return f"{base}:{ranges(int(name.rpartition(':')[2]) for name in names)}"


def ranges(numbers: Iterable[int]) -> str:
    """`0-3,7`"""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _way(rehearsal: Rehearsal, name: str) -> str:
    before = _hosts(rehearsal.before, rehearsal.promoted_before, name)
    after = _hosts(rehearsal.after, rehearsal.promoted_after, name)
    return after if before == after else f"{before} -> {after}"


def _hosts(placement: Placement, promoted: Placement, name: str) -> str:
    masters = promoted.get(name, ())
    hosts = sorted(placement.get(name, ()), key=natural)
    return ", ".join(f"{host} (promoted)" if host in masters else host for host in hosts) or "stopped"


# ---- actions


def _transition(actions: Sequence[Action]) -> Iterator[str]:
    steps = in_order(actions)
    if not steps:
        yield "Transition: nothing to do"
        return
    yield f"Transition, {len(steps)} {'action' if len(steps) == 1 else 'actions'}:"
    width = len(str(len(steps)))
    told = [sentence(step.action) for step in steps]
    column = max(len(text) for text in told)
    for step, text in zip(steps, told, strict=True):
        waits = f"after {ranges(step.waits_for)}" if step.waits_for else ""
        why = f"({_because(step.action.reason)})" if step.action.reason else ""
        yield f"  {step.number:{width}}. {text:{column}}  {waits}  {why}".rstrip()


def sentence(action: Action) -> str:
    """`start web on a2`, `probe web on a2`, `fence a2`."""
    if action.operation == "fence":
        return f"fence {action.node}"
    if action.operation == "monitor" and not action.interval_ms:
        return f"probe {action.instance} on {action.node}"
    word = _WORDS[action.operation] if action.operation in BY_SLOTS else action.operation
    return f"{word} {action.instance} on {action.node}"


def _because(reason: str) -> str:
    """A reason may be the key of another operation: `web_stop_0`."""
    found = _KEY.fullmatch(reason)
    return f"because of {found[2]} {found[1]}" if found else reason


# ---- reasons


def _reasons(rehearsal: Rehearsal) -> Iterator[str]:
    """Of what moves, and of what runs nowhere."""
    moved = set(rehearsal.moves())
    rows: dict[tuple[str, tuple[str, ...]], None] = {}
    for reason in rehearsal.plan.reasons:
        after = rehearsal.after.get(reason.instance, ())
        if after if reason.node is None else reason.instance not in moved:
            continue
        nodes = [node for node in rehearsal.before.get(reason.instance, ()) if node not in after]
        if reason.node is None:
            nodes = sorted(reason.rejected, key=natural)
        against = tuple(f"not {node}: {reason.rejected[node]}" for node in nodes if node in reason.rejected)
        rows[reason.instance, (reason.summary, *against)] = None
    if rows:
        yield ""
        yield "Why:"
    ordered = sorted(rows, key=lambda row: natural(row[0]))
    for (base, why), group in groupby(ordered, lambda row: (_base(row[0]), row[1])):
        yield f"  {_named(base, [name for name, _ in group])}: {why[0]}"
        yield from (f"    {text}" for text in why[1:])
