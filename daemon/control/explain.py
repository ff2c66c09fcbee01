"""Why a resource is where it is: a plan's reasons, picked for one question, and put in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from daemon.control.schema import ExplainDocument, Explanation, Planned, ScorePart
from daemon.model.changes import describe_constraint
from daemon.model.configuration import Colocation, Configuration, Location
from daemon.model.rule_text import rule_text
from daemon.scheduler.view import BY_SLOTS, Action, Plan, Reason

_ORIGINS = {
    "#container": "it goes with its container",
    "#group-members": "it goes with the other members of its group",
    "clone-max": "the clone has as many instances as it may have",
    "clone-node-max": "the host has as many instances of the clone as it may have",
    "fatal-error": "its agent said that its configuration is wrong",
    "hard-error": "its agent said that it cannot work there",
    "migration-threshold": "it has failed there as often as it may",
    "multiple-active": "it is active more than once, and is to be stopped everywhere",
    "no promotion-score": "its agent does not rate it for promotion",
    "node-health": "the health of the host",
    "on-fail=migrate": "it failed there, and on-fail wants it elsewhere",
    "on-fail=stop": "it failed, and on-fail wants it stopped",
    "orphan": "it is configured no more",
    "probe failed": "its agent is not installed there",
    "promotion-score": "its agent rates it so for promotion",
    "resource-discovery": "another location allows it only where it names hosts",
    "resource-stickiness": "what runs stays where it is unless more speaks for another host",
    "slot-driven": "its slots are shared by the datapath instead",
    "stop-failure": "it could not be stopped there",
    "target-role": "its target-role does not let it run",
    "unmanaged": "it is not managed, so it stays where it is",
    "utilization": "there is not enough capacity left",
}


class ExplainError(LookupError):
    """There is nothing to explain; the text says what there is."""


def explain(
    plan: Plan,
    configuration: Configuration,
    resource: str,
    node: str | None = None,
    members: Collection[str] = frozenset(),
    held_down: Mapping[str, str] = MappingProxyType({}),
) -> ExplainDocument:
    """Every reason about `resource`, and with `node` only what concerns that node.

    A resource is an instance (`VIP:2`), a primitive (`VIP`, all of its instances), or a group or clone, whose
    primitives are `members`.  `held_down`: hosts that are there and take no part, for they come and go, each with
    what is to be said of it; the plan knows them as offline.

    Raises ExplainError when the plan knows no such resource.
    """
    reasons = plan.reasons
    found = [reason for reason in reasons if _concerns(reason.instance, resource, members)]
    if not found:
        known = sorted({reason.instance for reason in reasons})
        listed = ", ".join(known) if known else "none"
        raise ExplainError(f"'{resource}' is no resource that the plan knows; there are: {listed}")
    words = _words(configuration)
    left = [action for action in plan.actions if node in {None, action.node}]
    told = []
    for at, reason in enumerate(found):
        # instances of an anonymous clone have one name: each is told what is done on its host, the last one the rest
        shared = any(other.instance == reason.instance for other in found[at + 1 :])
        own = [a for a in left if a.instance == reason.instance and (not shared or a.node == reason.node)]
        left = [action for action in left if action not in own]
        told.append(_explanation(plan, _with_held_down(reason, held_down), node, words, own))
    return ExplainDocument(resource, tuple(told))


def _concerns(instance: str, resource: str, members: Collection[str]) -> bool:
    base = instance.rpartition(":")[0] if ":" in instance else instance
    return resource in {instance, base} or base in members or instance in members


def _with_held_down(reason: Reason, held_down: Mapping[str, str]) -> Reason:
    told = {name: f"the host is {held_down[name]}" for name in reason.rejected if name in held_down}
    return replace(reason, rejected={**reason.rejected, **told})


def _words(configuration: Configuration) -> dict[str, str]:
    """What an origin of a score is: constraints in the words in which they are listed, their rules too."""
    words = dict(_ORIGINS)
    for constraint in configuration.constraints:
        words[constraint.id] = describe_constraint(constraint)
        if isinstance(constraint, Location):
            for rule in constraint.rules:
                words[rule.id] = f"rule of {constraint.id}: {describe_constraint(constraint)}: {rule_text(rule)}"
        if isinstance(constraint, Colocation):
            roles = (("rsc-role", constraint.role), ("with-rsc-role", constraint.with_role))
            words[constraint.id] += "".join(f" ({name}:{role})" for name, role in roles if role)
    return words


def _explanation(
    plan: Plan, reason: Reason, node: str | None, words: Mapping[str, str], actions: Sequence[Action]
) -> Explanation:
    keys = {action.key for action in plan.actions}
    return Explanation(
        instance=reason.instance,
        node=reason.node,
        summary=reason.summary,
        scores={
            name: _parts(parts, words) for name, parts in sorted(reason.scores.items()) if node in {None, name}
        },
        totals={name: total for name, total in sorted(reason.totals.items()) if node in {None, name}},
        rejected={name: why for name, why in sorted(reason.rejected.items()) if node in {None, name}},
        waiting=tuple(_waiting(plan, reason.instance, node, actions)),
        role=reason.role,
        promotion=_parts(reason.promotion, words) if node in {None, reason.node} else (),
        planned=tuple(
            Planned(a.key, a.operation, a.node, a.reason, tuple(key for key in a.after if key in keys))
            for a in actions
        ),
    )


def _parts(parts: Sequence[tuple[str, int]], words: Mapping[str, str]) -> tuple[ScorePart, ...]:
    return tuple(ScorePart(origin, score, words.get(origin, "")) for origin, score in parts)


# ---- what is planned


def _waiting(plan: Plan, instance: str, node: str | None, actions: Sequence[Action]) -> list[str]:
    by_key = {action.key: action for action in plan.actions}
    sentences = []
    for action in actions:
        before = [_named(by_key[key]) for key in sorted(set(action.after)) if key in by_key]
        waits = f"waits for {_listed(before)}" if before else "can be done now"
        because = f" ({action.reason})" if action.reason else ""
        sentences.append(f"{_named(action)}{because}: {waits}")
    return sentences + _unready(plan, instance, node)


def _unready(plan: Plan, instance: str, node: str | None) -> list[str]:
    """What a slot waits for at its new host."""
    address, _, number = instance.rpartition(":")
    owner = plan.slots.get(address, {}).get(int(number)) if number.isdecimal() else None
    if owner is None or node not in {None, owner}:
        return []
    missing = plan.unready.get(address, {}).get(owner, ())
    if not missing:
        return []
    named = ["the address to be up" if what == "address-up" else what for what in missing]
    return [f"a move of slot {number} to {owner}: waits for {_listed(named)} on {owner}"]


def _named(action: Action) -> str:
    """`start of web on a2`"""
    if action.operation == "fence":
        return f"fencing of {action.node}"
    if action.operation in BY_SLOTS:
        what = "address up" if action.operation == "address-up" else "slots gone"
        return f"{action.instance} {what} on {action.node}"
    operation = "probe" if action.operation == "monitor" and not action.interval_ms else action.operation
    return f"{operation} of {action.instance} on {action.node}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
