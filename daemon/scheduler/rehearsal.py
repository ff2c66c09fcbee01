"""A rehearsal: where everything is, what the transition would do, and where everything is afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.scheduler.answer import answer
from daemon.scheduler.cluster import Cluster
from daemon.scheduler.history import read_history
from daemon.scheduler.planner import schedule
from daemon.scheduler.reasons import reasons
from daemon.scheduler.transition import outcome
from daemon.scheduler.units import CloneUnit, Role
from daemon.scheduler.unpack import unpack
from daemon.scheduler.view import Action, Plan, View

Placement = dict[str, tuple[str, ...]]
"""instance (`vip:0` for a unique clone's) → the nodes on which it is"""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Before and after the one transition that would begin now, all of whose operations succeed."""

    before: Placement
    promoted_before: Placement
    after: Placement
    promoted_after: Placement
    plan: Plan
    drains: frozenset[str] = frozenset()
    """slots that have an owner who ends its connections before they move; others that move are given at once"""

    def moves(self) -> tuple[str, ...]:
        """Instances that the transition changes."""
        return tuple(
            name
            for name in sorted(self.before.keys() | self.after.keys())
            if self.before.get(name, ()) != self.after.get(name, ())
            or self.promoted_before.get(name, ()) != self.promoted_after.get(name, ())
        )


def rehearse(view: View, present: View | None = None) -> Rehearsal:
    """The transition that `view` asks for; `before` is taken from `present`, what was before anything was supposed."""
    run = schedule(view)
    after, promoted_after = outcome(run.cluster, run.graph)
    before, promoted_before = _current(view if present is None else present)
    shadows = {instance.name for instance in run.cluster.instances() if instance.shadow_of is not None}
    slots = _slots_after(run.cluster)
    held = _slots_before(run.cluster)
    return Rehearsal(
        before=before,
        promoted_before=promoted_before,
        after=_sorted({name: on for name, on in after.items() if on or name not in shadows}) | slots,
        promoted_after=_sorted(promoted_after),
        plan=answer(run.cluster, run.graph, run.orderings, lambda: tuple(reasons(run.cluster, run.graph))),
        drains=frozenset(name for name, owner in slots.items() if held.get(name, ()) not in {(), owner}),
    )


def _current(view: View) -> tuple[Placement, Placement]:
    cluster = unpack(view)
    read_history(cluster)
    running: dict[str, list[str]] = {}
    promoted: dict[str, list[str]] = {}
    for instance in cluster.instances():
        if instance.shadow_of is None or instance.running_on:
            running.setdefault(instance.name, []).extend(
                instance.running_on if instance.role > Role.STOPPED else ()
            )
        if instance.role == Role.PROMOTED:
            promoted.setdefault(instance.name, []).extend(instance.running_on)
    return _sorted(running) | _slots_before(cluster), _sorted(promoted)


def _slots_before(cluster: Cluster) -> Placement:
    """Slots of shared addresses, and who may be serving them now."""
    found: Placement = {}
    for unit in cluster.units:
        if not isinstance(unit, CloneUnit) or unit.address is None:
            continue
        address = unit.address
        known = cluster.view.slots[address]
        holders = known.holders or known.owners
        for slot in range(max([unit.clone_max, *(number + 1 for number in holders)])):
            found[f"{address}:{slot}"] = (holders[slot],) if slot in holders else ()
    return found


def _slots_after(cluster: Cluster) -> Placement:
    found: Placement = {}
    for unit in cluster.units:
        if isinstance(unit, CloneUnit) and unit.address is not None:
            for slot in range(unit.clone_max):
                found[f"{unit.address}:{slot}"] = (unit.slot_owners[slot],) if slot in unit.slot_owners else ()
    return found


def _sorted(placement: Mapping[str, Sequence[str]]) -> Placement:
    return {name: tuple(sorted(set(nodes))) for name, nodes in sorted(placement.items())}


@dataclass(frozen=True, slots=True)
class Step:
    """An action in its place: `waits_for` are the numbers of steps before it, from 1, none that follows from others."""

    number: int
    action: Action
    waits_for: tuple[int, ...]


def in_order(actions: Sequence[Action]) -> tuple[Step, ...]:
    """The actions so that each comes after those that it waits for, else by key.

    Names in `after` that are no actions are done already.  Actions that wait for each other in a circle, which no plan
    has, would come last, by key.
    """
    known = {action.key: action for action in sorted(actions, key=lambda action: action.key)}
    needs = {key: {name for name in action.after if name in known and name != key} for key, action in known.items()}
    followers: dict[str, list[str]] = {key: [] for key in known}
    for key, names in needs.items():
        for name in names:
            followers[name].append(key)
    missing = {key: len(names) for key, names in needs.items()}
    ordered: list[Action] = []
    ready = [key for key in known if not missing[key]]
    while missing:
        ready = ready or list(missing)
        for key in ready:
            del missing[key]
            ordered.append(known[key])
        freed = [name for key in ready for name in followers[key] if name in missing]
        for name in freed:
            missing[name] -= 1
        ready = sorted({name for name in freed if not missing[name]})
    number = {action.key: place for place, action in enumerate(ordered, start=1)}
    earlier: dict[int, int] = {}
    steps = []
    for place, action in enumerate(ordered, start=1):
        direct = sorted(number[name] for name in needs[action.key] if number[name] < place)
        implied = 0  # one bit for each step
        for one in direct:
            implied |= earlier[one]
        earlier[place] = implied | sum(1 << one for one in direct if not implied >> one & 1)
        steps.append(Step(place, action, tuple(one for one in direct if not implied >> one & 1)))
    return tuple(steps)
