"""A rehearsal for people: where everything goes, step by step, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from daemon.cli.layout.resources import Paint, natural, plain
from daemon.scheduler.rehearsal import Placement, Rehearsal, Step, in_order
from daemon.scheduler.view import BY_SLOTS, Action, Reason
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
    yield from _transition(rehearsal)
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


def _transition(rehearsal: Rehearsal) -> Iterator[str]:
    steps = in_order(rehearsal.plan.actions)
    slots = tuple(_slot_moves(rehearsal))
    if not steps:
        yield "Transition: only slots move" if slots else "Transition: nothing to do"
    else:
        yield f"Transition, {len(steps)} {'action' if len(steps) == 1 else 'actions'}:"
        yield from _steps(steps)
    yield from slots


def _slot_moves(rehearsal: Rehearsal) -> Iterator[str]:
    """Slots move by themselves, without an action of anybody."""
    addresses = {f"{address}:{slot}" for address, owners in rehearsal.plan.slots.items() for slot in owners}
    rows = []
    for name in sorted(addresses.intersection(rehearsal.moves()), key=natural):
        before, after = rehearsal.before.get(name, ()), rehearsal.after.get(name, ())
        how = f"drained by {before[0]} first" if name in rehearsal.drains else "at once"
        rows.append((name, f"{', '.join(after) or 'nobody'}, {how}"))
    for (base, way), group in groupby(rows, lambda row: (_base(row[0]), row[1])):
        yield f"  slots {_named(base, [name for name, _ in group])} to {way}"


def _steps(steps: Sequence[Step]) -> Iterator[str]:
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
    reasons: dict[str, list[Reason]] = {}
    for reason in rehearsal.plan.reasons:
        reasons.setdefault(reason.instance, []).append(reason)
    rows = [(name, _why(rehearsal, name, reasons[name])) for name in sorted(reasons, key=natural)]
    rows = [row for row in rows if row[1]]
    if rows:
        yield ""
        yield "Why:"
    for (base, why), group in groupby(rows, lambda row: (_base(row[0]), row[1])):
        yield f"  {_named(base, [name for name, _ in group])}: {why[0]}"
        yield from (f"    {text}" for text in why[1:])


def _why(rehearsal: Rehearsal, name: str, reasons: Sequence[Reason]) -> tuple[str, ...]:
    """Nothing of what stays; the instances of an anonymous clone are told as one."""
    before, after = rehearsal.before.get(name, ()), rehearsal.after.get(name, ())
    roles = set(rehearsal.promoted_before.get(name, ())) ^ set(rehearsal.promoted_after.get(name, ()))
    against: dict[str, str] = {}
    for reason in reasons:
        for node, why in reason.rejected.items():
            against.setdefault(node, why)
    if not after:
        told = [reason.summary for reason in reasons][:1]
        nodes = sorted(against, key=natural)
    else:
        told = [reason.summary for reason in reasons if reason.node in after and (reason.node not in before)]
        told += [reason.summary for reason in reasons if reason.node in roles & set(before)]
        nodes = [node for node in before if node not in after]
    return tuple(dict.fromkeys([*told, *(f"not {node}: {against[node]}" for node in nodes if node in against)]))
