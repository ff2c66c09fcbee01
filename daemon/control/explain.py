"""Why a resource is where it is: a plan's reasons, picked for one question."""

from __future__ import annotations

from daemon.control.schema import ExplainDocument, Explanation, ScorePart
from daemon.scheduler.view import Plan, Reason


class ExplainError(LookupError):
    """There is nothing to explain; the text says what there is."""


def explain(
    plan: Plan, resource: str, node: str | None = None, members: frozenset[str] = frozenset()
) -> ExplainDocument:
    """Every reason about `resource`, and with `node` only what concerns that node.

    A resource is an instance (`VIP:2`), a primitive (`VIP`, all of its instances), or a group or clone, whose
    primitives are `members`.

    Raises ExplainError when the plan knows no such resource.
    """
    found = [reason for reason in plan.reasons if _concerns(reason.instance, resource, members)]
    if not found:
        known = sorted({reason.instance for reason in plan.reasons})
        listed = ", ".join(known) if known else "none"
        raise ExplainError(f"'{resource}' is no resource that the plan knows; there are: {listed}")
    return ExplainDocument(resource, tuple(_explanation(plan, reason, node) for reason in found))


def _concerns(instance: str, resource: str, members: frozenset[str]) -> bool:
    base = instance.rpartition(":")[0] if ":" in instance else instance
    return resource in {instance, base} or base in members or instance in members


def _explanation(plan: Plan, reason: Reason, node: str | None) -> Explanation:
    return Explanation(
        instance=reason.instance,
        node=reason.node,
        summary=reason.summary,
        scores={
            name: tuple(ScorePart(origin, score) for origin, score in parts)
            for name, parts in sorted(reason.scores.items())
            if node in {None, name}
        },
        rejected={name: why for name, why in sorted(reason.rejected.items()) if node in {None, name}},
        waiting=tuple(_waiting(plan, reason.instance, node)),
    )


def _waiting(plan: Plan, instance: str, node: str | None) -> list[str]:
    keys = {action.key for action in plan.actions}
    sentences = []
    for action in plan.actions:
        if action.instance != instance or node not in {None, action.node}:
            continue
        before = sorted(keys.intersection(action.after))
        waits = f"waits for {', '.join(before)}" if before else "runs now"
        sentences.append(f"{action.operation} on {action.node} {waits}")
    return sentences
