"""`vipcast constraint …`"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from daemon.cli.call import OK, Call, CommandError
from daemon.cli.editing import edit, saying
from daemon.cli.layout import constraints as layout
from daemon.cli.words import leading_plain, pairs, sections
from daemon.model.configuration import Colocation, Configuration, Location, Order
from daemon.model.edits import colocation as colocations
from daemon.model.edits import constraints as edits
from daemon.model.edits import order as orders
from daemon.model.edits.constraints import SetRequest
from daemon.model.edits.references import references_of, without_references
from daemon.model.edits.settle import settled

_ACTIONS = ("start", "stop", "promote", "demote")
_ROLES = ("started", "stopped", "master", "slave", "promoted", "unpromoted")

Lines = Callable[..., Iterator[str]]


def show(call: Call) -> int:
    """`constraint [config] [--full]`"""
    return _show(call, layout.constraints, object)


def show_locations(call: Call) -> int:
    return _show(call, layout.locations, Location)


def show_colocations(call: Call) -> int:
    return _show(call, layout.colocations, Colocation)


def show_orders(call: Call) -> int:
    return _show(call, layout.orders, Order)


def _show(call: Call, lines: Lines, kind: type[Any]) -> int:
    configuration = call.configuration()
    if call.out.json_wanted:
        found = [constraint for constraint in configuration.constraints if isinstance(constraint, kind)]
        call.out.document([constraint.model_dump(mode="json", exclude_none=True) for constraint in found])
        return OK
    call.out.lines(lines(configuration, ids=call.has("--full")))
    return OK


def colocation_add(call: Call) -> int:
    """`constraint colocation add [<role>] <resource> with [<role>] <resource> [score] [option=value]...`"""
    words = list(call.arguments)
    role = _taken(words, _ROLES)
    resource = words.pop(0)
    if not words or words.pop(0) != "with":
        raise call.misuse("'with' belongs between the two resources")
    with_role = _taken(words, _ROLES) if len(words) > 1 else None
    if not words or "=" in words[0]:
        raise call.misuse("the second resource is missing")
    with_resource = words.pop(0)
    score = words.pop(0) if words and "=" not in words[0] else None
    options = pairs(call, words)
    unknown = sorted(options.keys() - {"id", "score", "node-attribute", "influence"})
    if unknown:
        raise call.misuse(
            f"invalid colocation option '{unknown[0]}'; allowed are id, influence, node-attribute, score"
        )
    return edit(
        call,
        lambda configuration: colocations.add_colocation(
            configuration,
            resource=resource,
            with_resource=with_resource,
            score=score or options.get("score") or "INFINITY",
            role=role,
            with_role=with_role,
            constraint=options.get("id"),
            node_attribute=options.get("node-attribute"),
            influence=options.get("influence"),
            force=call.has("--force"),
        ),
    )


def _taken(words: list[str], known: Sequence[str]) -> str | None:
    """Take a leading role or action off, if there is one before a resource; as pcs writes it."""
    if len(words) > 1 and words[0].lower() in known and words[1] not in {"with", "then"}:
        return words.pop(0).capitalize()
    return None


def colocation_set(call: Call) -> int:
    """`constraint colocation set <resource>... [set …]... [setoptions …]`"""
    sets, options = _sets(call)
    return edit(
        call,
        lambda configuration: colocations.add_colocation_sets(
            configuration, sets=sets, options=options, force=call.has("--force")
        ),
    )


def colocation_remove(call: Call) -> int:
    """`constraint colocation remove <resource> <with resource>`"""
    pair = set(call.arguments)

    def change(configuration: Configuration) -> Configuration:
        found = [
            constraint.id
            for constraint in configuration.constraints
            if isinstance(constraint, Colocation) and {constraint.resource, constraint.with_resource} == pair
        ]
        if not found:
            first, second = call.arguments
            raise CommandError(f"no colocation of '{first}' with '{second}' to remove")
        return edits.delete_constraints(configuration, constraints=found)

    return edit(call, change)


def order(call: Call) -> int:
    """`constraint order [<action>] <resource> then [<action>] <resource> [option=value]...`"""
    words = list(call.arguments)
    first_action = _action(words)
    first = words.pop(0)
    if not words or words.pop(0) != "then":
        raise call.misuse("'then' belongs between the two resources")
    then_action = _action(words)
    if not words or "=" in words[0]:
        raise call.misuse("the second resource is missing")
    then = words.pop(0)
    told: dict[str, Any] = {
        "first": first,
        "then": then,
        "first_action": first_action or "start",
        "then_action": then_action or "start",
        "options": pairs(call, words),
    }
    return edit(
        call,
        lambda configuration: orders.add_order(configuration, **told, force=call.has("--force")),
        saying(orders.order_announcement(**told)),
    )


def _action(words: list[str]) -> str | None:
    action = _taken(words, _ACTIONS)
    return action.lower() if action is not None else None


def order_set(call: Call) -> int:
    """`constraint order set <resource>... [set …]... [setoptions …]`"""
    sets, options = _sets(call)
    return edit(
        call,
        lambda configuration: orders.add_order_sets(
            configuration, sets=sets, options=options, force=call.has("--force")
        ),
    )


def _sets(call: Call) -> tuple[list[SetRequest], dict[str, str]]:
    """`a b sequential=true set c setoptions score=100`"""
    found: list[SetRequest] = []
    options: dict[str, str] = {}
    for section in sections(call.arguments, ("set", "setoptions")):
        if section.keyword == "setoptions":
            options |= pairs(call, section.words)
            continue
        named, words = leading_plain(section.words)
        if not named:
            raise call.misuse("a set needs a resource at least")
        found.append(SetRequest(named, pairs(call, words)))
    return found, options


def order_remove(call: Call) -> int:
    """`constraint order remove <resource>...`: out of every order, and out of the sets of orders."""

    def change(configuration: Configuration) -> Configuration:
        mine = [one for one in configuration.constraints if isinstance(one, Order)]
        named = {
            name for one in mine for name in (*references_of(one), *(n for s in one.sets for n in s.resources))
        }
        missing = [name for name in call.arguments if name not in named]
        if missing:
            raise CommandError("; ".join(f"no order names resource '{name}'" for name in missing))
        orders_alone = configuration.model_copy(update={"constraints": tuple(mine)})
        left = {one.id: one for one in without_references(orders_alone, call.arguments).constraints}
        kept = (left.get(one.id) if isinstance(one, Order) else one for one in configuration.constraints)
        constraints = tuple(one for one in kept if one is not None)
        return settled(configuration, configuration.model_copy(update={"constraints": constraints}))

    return edit(call, change)


def remove(call: Call) -> int:
    """`constraint remove <id>...`"""
    return edit(call, lambda configuration: edits.delete_constraints(configuration, constraints=call.arguments))


def ref(call: Call) -> int:
    """`constraint ref <resource>...`"""
    configuration = call.configuration()
    found = {name: [c.id for c in edits.constraints_of(configuration, name)] for name in call.arguments}
    missing = [name for name in call.arguments if configuration.find(name) is None]
    if missing:
        raise CommandError("; ".join(f"resource '{name}' does not exist" for name in missing))
    if call.out.json_wanted:
        call.out.document(found)
        return OK
    for name, ids in found.items():
        call.out.line(f"Resource: {name}")
        call.out.lines(f"  {one}" for one in ids or ["No Matches."])
    return OK
