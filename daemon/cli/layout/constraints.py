"""Constraints as `pcs constraint` of the 0.9 series lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.model.configuration import (
    Colocation,
    Configuration,
    Location,
    Order,
    ResourceSet,
    Rule,
    Ticket,
)
from daemon.model.rule_text import expression_text
from daemon.model.values import BadValue, parse_boolean, parse_score


def constraints(configuration: Configuration, *, ids: bool = False) -> Iterator[str]:
    """All four kinds, each under its heading; with ids as `--full` shows them."""
    yield from locations(configuration, ids=ids)
    yield from orders(configuration, ids=ids)
    yield from colocations(configuration, ids=ids)
    yield from tickets(configuration, ids=ids)


def locations(configuration: Configuration, *, ids: bool = False) -> Iterator[str]:
    yield "Location Constraints:"
    found = [constraint for constraint in configuration.constraints if isinstance(constraint, Location)]
    for name in dict.fromkeys(_subject(location) for location in found):
        yield f"  {name}"
        mine = [location for location in found if _subject(location) == name]
        for heading, wanted in (("Enabled on:", True), ("Disabled on:", False)):
            for location in mine:
                if location.node is not None and _attracts(location) is wanted:
                    discovery = (
                        f" (resource-discovery={location.resource_discovery})"
                        if location.resource_discovery
                        else ""
                    )
                    role = _told(" (role: {})", location.role)
                    score = location.score or "0"
                    yield f"    {heading} {location.node} (score:{score}){role}{discovery}{_id(location.id, ids)}"
        for location in mine:
            if location.rules:
                yield f"    Constraint: {location.id}"
                for rule in location.rules:
                    yield from _rule(rule, 6, ids=ids)


def orders(configuration: Configuration, *, ids: bool = False) -> Iterator[str]:
    yield "Ordering Constraints:"
    found = [constraint for constraint in configuration.constraints if isinstance(constraint, Order)]
    for order in found:
        if order.sets:
            continue
        first_action = order.first_action or "start"
        actions = f"{first_action} {order.first} then {order.then_action or first_action}"
        kind = f"score:{order.score}" if order.score is not None else f"kind:{order.order_kind or 'Mandatory'}"
        options = [f"{name}={value}" for name, value in sorted(order.options.items())]
        if order.require_all is not None:
            options.append(f"require-all={order.require_all}")
        extra = f" (Options: {' '.join(options)})" if options else ""
        symmetrical = (
            " (non-symmetrical)" if (order.symmetrical or "").lower() in {"false", "no", "off", "n", "0"} else ""
        )
        yield f"  {actions} {order.then} ({kind}){symmetrical}{extra}{_id(order.id, ids)}"
    with_sets = [order for order in found if order.sets]
    if with_sets:
        yield "  Resource Sets:"
        for order in with_sets:
            for_all = {"kind": order.order_kind, "score": order.score, "symmetrical": order.symmetrical}
            yield f"    {_sets(order.sets, ids=ids)}{_set_options(for_all)}{_id(order.id, ids)}"


def colocations(configuration: Configuration, *, ids: bool = False) -> Iterator[str]:
    yield "Colocation Constraints:"
    found = [constraint for constraint in configuration.constraints if isinstance(constraint, Colocation)]
    for colocation in found:
        if colocation.sets:
            continue
        roles = [f"rsc-role:{colocation.role}"] if colocation.role else []
        roles += [f"with-rsc-role:{colocation.with_role}"] if colocation.with_role else []
        options = [f"node-attribute:{colocation.node_attribute}"] if colocation.node_attribute else []
        options += [f"influence:{colocation.influence}"] if colocation.influence else []
        told = "".join(f" ({word})" for word in [*roles, *options])
        score = colocation.score or "INFINITY"
        pair = f"{colocation.resource} with {colocation.with_resource}"
        yield f"  {pair} (score:{score}){told}{_id(colocation.id, ids)}"
    with_sets = [colocation for colocation in found if colocation.sets]
    if with_sets:
        yield "  Resource Sets:"
        for colocation in with_sets:
            options_of_all = {"score": colocation.score}
            yield f"    {_sets(colocation.sets, ids=ids)}{_set_options(options_of_all)}{_id(colocation.id, ids)}"


def tickets(configuration: Configuration, *, ids: bool = False) -> Iterator[str]:
    yield "Ticket Constraints:"
    found = [constraint for constraint in configuration.constraints if isinstance(constraint, Ticket)]
    for ticket in found:
        if ticket.sets:
            continue
        role = f"{ticket.role} " if ticket.role else ""
        policy = f" (loss-policy={ticket.loss_policy})" if ticket.loss_policy else ""
        yield f"  {role}{ticket.resource}{policy} (ticket:{ticket.ticket}){_id(ticket.id, ids)}"
    with_sets = [ticket for ticket in found if ticket.sets]
    if with_sets:
        yield "  Resource Sets:"
        for ticket in with_sets:
            options = {"loss-policy": ticket.loss_policy, "ticket": ticket.ticket}
            yield f"    {_sets(ticket.sets, ids=ids)}{_set_options(options)}{_id(ticket.id, ids)}"


def _subject(location: Location) -> str:
    if location.resource is not None:
        return f"Resource: {location.resource}"
    if location.resource_pattern is not None:
        return f"Resource pattern: {location.resource_pattern}"
    return f"Resource sets: {_sets(location.sets, ids=False)}"


def _attracts(location: Location) -> bool:
    try:
        return parse_score(location.score or "0") >= 0
    except BadValue:
        return True  # shown as it was written; validation says what is wrong with it


def _told(form: str, value: str | None) -> str:
    return form.format(value) if value else ""


def _says_no(text: str | None) -> bool:
    try:
        return text is not None and not parse_boolean(text)
    except BadValue:
        return False


def _rule(rule: Rule, indent: int, *, ids: bool) -> Iterator[str]:
    pad = " " * indent
    words = [f"boolean-op={rule.boolean_op}"] if len(rule.expressions) > 1 else []
    words += [f"score={rule.score}"] if rule.score is not None else []
    words += [f"score-attribute={rule.score_attribute}"] if rule.score_attribute is not None else []
    words += [f"role={rule.role}"] if rule.role else []
    yield f"{pad}Rule: {' '.join(words)}{_id(rule.id, ids)}".rstrip()
    for expression in rule.expressions:
        if expression.rule is not None:
            yield from _rule(expression.rule, indent + 2, ids=ids)
        else:
            yield f"{pad}  Expression: {expression_text(expression)}{_id(expression.id, ids)}"


def _sets(sets: Sequence[ResourceSet], *, ids: bool) -> str:
    return " ".join(
        " ".join(["set", *stated.resources, *([_pairs(stated.options)] if stated.options else [])])
        + _id(stated.id, ids)
        for stated in sets
    )


def _set_options(options: dict[str, str | None]) -> str:
    given = _pairs({name: value for name, value in options.items() if value is not None})
    return f" setoptions {given}" if given else ""


def _pairs(values: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _id(text: str, wanted: bool) -> str:
    return f" (id:{text})" if wanted else ""
