"""Moving by hand: ban, move, clear.

They are location constraints whose ids begin with `cli-`, as Pacemaker's own tools make them.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.configuration import AnyConstraint, Clone, Configuration, Expression, Location, Rule
from daemon.model.edits.location import require_node
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import ancestors_of, require_resource
from daemon.model.findings import Refused, error
from daemon.model.identifiers import sanitized


def ban(
    configuration: Configuration,
    *,
    resource: str,
    node: str,
    role: str = "Started",
    until: str | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs resource ban RESOURCE NODE`: -INFINITY there until it is cleared, or until the ISO 8601 time `until`."""
    require_resource(configuration, resource)
    _refuse_inside_clone(configuration, resource)
    require_node(configuration, node, force=force)
    own = sanitized(f"cli-ban-{resource}-on-{node}")
    made = _constraint(own, "ban", f"{resource}-on-{node}", resource, node, "-INFINITY", role, until)
    listed = {one.id: one for one in configuration.constraints} | {own: made}
    return settled(configuration, configuration.model_copy(update={"constraints": tuple(listed.values())}))


def move(
    configuration: Configuration,
    *,
    resource: str,
    node: str,
    role: str = "Started",
    until: str | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs resource move RESOURCE NODE`: INFINITY there; earlier moves, and a ban from that node, are forgotten."""
    require_resource(configuration, resource)
    _refuse_inside_clone(configuration, resource)
    require_node(configuration, node, force=force)
    own = sanitized(f"cli-prefer-{resource}")
    made = _constraint(own, "prefer", resource, resource, node, "INFINITY", role, until)
    gone = {own, sanitized(f"cli-ban-{resource}-on-{node}")}
    kept = (one for one in configuration.constraints if one.id not in gone)
    return settled(configuration, configuration.model_copy(update={"constraints": (*kept, made)}))


def _refuse_inside_clone(configuration: Configuration, resource: str) -> None:
    """What is inside a clone runs on many nodes at once; crm_verify calls a constraint that names it invalid."""
    clone = next((one for one in ancestors_of(configuration, resource) if isinstance(one, Clone)), None)
    if clone is not None:
        message = f"'{resource}' is a clone resource, you should use the clone id '{clone.id}'"
        raise Refused(error("inside-clone", resource, message, f"use '{clone.id}'"))


def clear(configuration: Configuration, *, resource: str, node: str | None = None) -> Configuration:
    """`pcs resource clear RESOURCE [NODE]`: forget bans and moves of it, or only those that concern the node."""
    require_resource(configuration, resource)
    gone = {one.id for one in cleared(configuration, resource, node)}
    kept = tuple(one for one in configuration.constraints if one.id not in gone)
    return settled(configuration, configuration.model_copy(update={"constraints": kept}))


def cleared(configuration: Configuration, resource: str, node: str | None = None) -> Iterator[AnyConstraint]:
    """The constraints that `clear` removes."""
    for one in configuration.constraints:
        if (
            not isinstance(one, Location)
            or one.resource != resource
            or not one.id.startswith(("cli-ban-", "cli-prefer-"))
        ):
            continue
        if node is None or node in _nodes(one):
            yield one


def _nodes(constraint: Location) -> set[str | None]:
    named = {
        expression.value
        for rule in constraint.rules
        for expression in rule.expressions
        if expression.attribute == "#uname"
    }
    return {constraint.node, *named}


def _constraint(
    own: str, verb: str, subject: str, resource: str, node: str, score: str, role: str, until: str | None
) -> Location:
    if until is None:
        return Location(id=own, resource=resource, role=role, node=node, score=score)
    rule = Rule(
        id=sanitized(f"cli-{verb}-rule-{subject}"),
        score=score,
        expressions=(
            Expression(
                kind="attribute",
                id=sanitized(f"cli-{verb}-expr-{subject}"),
                attribute="#uname",
                operation="eq",
                value=node,
                value_type="string",
            ),
            Expression(kind="date", id=sanitized(f"cli-{verb}-lifetime-end-{subject}"), operation="lt", end=until),
        ),
    )
    return Location(id=own, resource=resource, role=role, rules=(rule,))
