"""Order constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.model.configuration import Configuration, Order
from daemon.model.edits.constraints import SetRequest, make_sets, require_constrainable, set_constraint_id
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import require_new_id
from daemon.model.findings import Finding, Refused, error, refuse_errors
from daemon.model.identifiers import ids_in_use, sanitized, unique_id

OPTIONS = frozenset({"id", "kind", "symmetrical", "require-all", "score"})


def add_order(
    configuration: Configuration,
    *,
    first: str,
    then: str,
    first_action: str = "start",
    then_action: str = "start",
    options: Mapping[str, str] | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs constraint order [ACTION] FIRST then [ACTION] THEN [kind=…] [symmetrical=…] [id=…]`

    What pcs prints for it is `order_announcement`.  Refused where the same order exists already, unless `force`.
    """
    given = dict(options or {})
    findings: list[Finding] = _unknown_options(given)
    require_constrainable(configuration, (first, then), force=force)
    own = given.pop("id", None)
    if own is not None:
        require_new_id(configuration, own, "constraint id")
    kind = given.get("kind")
    for known in configuration.constraints:
        if not isinstance(known, Order) or known.first is None or force:
            continue
        actions = (known.first_action or "start", known.then_action or known.first_action or "start")
        if (known.first, known.then, *actions) == (first, then, first_action, then_action):
            findings.append(
                error(
                    "duplicate-constraint",
                    known.id,
                    "duplicate constraint already exists: "
                    f"{actions[0]} {known.first} then {actions[1]} {known.then} "
                    f"(kind:{known.order_kind or 'Mandatory'}) (id:{known.id})",
                    f"remove '{known.id}' first, or use --force",
                )
            )
    refuse_errors(findings)
    suffix = kind or given.get("score") or "mandatory"
    made = Order(
        id=own or unique_id(sanitized(f"order-{first}-{then}-{suffix}"), ids_in_use(configuration)),
        first=first,
        then=then,
        first_action=first_action,
        then_action=then_action,
        order_kind=kind,
        score=given.get("score"),
        symmetrical=given.get("symmetrical"),
        require_all=given.get("require-all"),
    )
    return settled(
        configuration, configuration.model_copy(update={"constraints": (*configuration.constraints, made)})
    )


def order_announcement(
    *,
    first: str,
    then: str,
    first_action: str = "start",
    then_action: str = "start",
    options: Mapping[str, str] | None = None,
) -> str:
    """The line with which pcs announces an order that it adds."""
    given = dict(options or {})
    kind = given.pop("kind", None)
    label = f"kind: {kind or 'Mandatory'}"
    if kind is None and "score" in given:
        label = f"score: {given.pop('score')}"
    identity = {"id": given.pop("id")} if "id" in given else {}
    listed = {**identity, "first-action": first_action, "then-action": then_action, **given}
    shown = " ".join(f"{name}={value}" for name, value in listed.items())
    return f"Adding {first} {then} ({label}) (Options: {shown})"


def add_order_sets(
    configuration: Configuration,
    *,
    sets: Sequence[SetRequest],
    options: Mapping[str, str] | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs constraint order set RESOURCE … [option=value …] [set …] [setoptions …]`"""
    given = dict(options or {})
    findings = _unknown_options(given)
    if findings:
        raise Refused(findings)
    require_constrainable(configuration, [name for one in sets for name in one.resources], force=force)
    taken = set(ids_in_use(configuration))
    own = given.pop("id", None)
    if own is not None:
        require_new_id(configuration, own, "constraint id")
    constraint_id = own or unique_id(set_constraint_id("order", sets), taken)
    taken.add(constraint_id)
    made = Order(
        id=constraint_id,
        order_kind=given.get("kind"),
        score=given.get("score"),
        symmetrical=given.get("symmetrical"),
        require_all=given.get("require-all"),
        sets=make_sets(constraint_id, sets, taken),
    )
    return settled(
        configuration, configuration.model_copy(update={"constraints": (*configuration.constraints, made)})
    )


def _unknown_options(given: Mapping[str, str]) -> list[Finding]:
    return [
        error(
            "unknown-option",
            name,
            f"invalid order option '{name}'",
            f"allowed options are: {', '.join(sorted(OPTIONS))}",
        )
        for name in sorted(set(given) - OPTIONS)
    ]
