"""What an edit did, in sentences for the cluster log and for `vipcast diff`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from daemon.model.configuration import (
    AnyConstraint,
    AttributeSet,
    Clone,
    Colocation,
    Configuration,
    Group,
    Location,
    NodeEntry,
    Operation,
    Order,
    Primitive,
)
from daemon.model.edits.references import references_of
from daemon.model.edits.tree import parent_of
from daemon.model.precedence import merged

AnyOf = Primitive | Group | Clone


def digest(configuration: Configuration) -> str:
    """The same for equal configurations on every node: SHA-256, 64 hexadecimal digits."""
    return sha256(configuration.model_dump_json().encode()).hexdigest()


def describe_change(old: Configuration, new: Configuration) -> list[str]:
    """What `new` has that `old` has not, and the other way round; empty if they are equal."""
    sentences = [
        *_values("cluster property", old.properties, new.properties),
        *_values("resource default", old.resource_defaults, new.resource_defaults),
        *_values("operation default", old.operation_defaults, new.operation_defaults),
        *_nodes(old, new),
        *_resources(old, new),
        *_constraints(old, new),
        *_named("template", {one.id: one for one in old.templates}, {one.id: one for one in new.templates}),
        *_named("tag", {one.id: one for one in old.tags}, {one.id: one for one in new.tags}),
        *_named("fencing level", {one.id: one for one in old.fencing}, {one.id: one for one in new.fencing}),
    ]
    if old.extras != new.extras:
        sentences.append("sections that vipcast only keeps were changed")
    if not sentences and old != new:
        sentences.append("order, ids or conditions of elements were changed")
    return sentences


def describe_constraint(constraint: AnyConstraint) -> str:
    """`webserver-clone with VIP-clone (score:INFINITY)`, in the words in which pcs lists constraints."""
    sets = " ".join(f"set {' '.join(one.resources)}" for one in constraint.sets)
    match constraint:
        case Colocation():
            pair = sets or f"{constraint.resource} with {constraint.with_resource}"
            return f"{pair} (score:{constraint.score or 'INFINITY'})"
        case Order():
            first = constraint.first_action or "start"
            pair = f"{first} {constraint.first} then {constraint.then_action or first} {constraint.then}"
            strength = (
                f"score:{constraint.score}" if constraint.score else f"kind:{constraint.order_kind or 'Mandatory'}"
            )
            return f"{sets or pair} ({strength})"
        case Location():
            subject = sets or constraint.resource or f"resources matching {constraint.resource_pattern}"
            if constraint.node is None:
                return f"{subject} by {'a rule' if len(constraint.rules) == 1 else 'rules'}"
            return f"{subject} on {constraint.node} (score:{constraint.score or 'INFINITY'})"
        case _:
            return f"{sets or constraint.resource} with ticket {constraint.ticket}"


def removed_constraints(old: Configuration, new: Configuration) -> list[AnyConstraint]:
    """The constraints that are gone: what pcs lists when it deletes a resource."""
    kept = {one.id for one in new.constraints}
    return [one for one in old.constraints if one.id not in kept]


def _values(noun: str, old: tuple[AttributeSet, ...], new: tuple[AttributeSet, ...]) -> Iterator[str]:
    yield from _pairs(noun, "", merged(old), merged(new))


def _pairs(noun: str, owner: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    of = f" of {owner}" if owner else ""
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"{noun} {name}{of} removed (it was {old[name]})"
        elif name not in old:
            yield f"{noun} {name}{of} set to {new[name]}"
        elif old[name] != new[name]:
            yield f"{noun} {name}{of} changed from {old[name]} to {new[name]}"


def _nodes(old: Configuration, new: Configuration) -> Iterator[str]:
    before = {node.name: node for node in old.nodes}
    after = {node.name: node for node in new.nodes}
    yield from (f"node {name} removed" for name in before if name not in after)
    for name, node in after.items():
        if name not in before:
            yield f"node {name} added"
        earlier = before.get(name, NodeEntry(id=node.id, name=name))
        yield from _pairs("attribute", f"node {name}", merged(earlier.attributes), merged(node.attributes))
        yield from _pairs("capacity", f"node {name}", merged(earlier.utilization), merged(node.utilization))


def _resources(old: Configuration, new: Configuration) -> Iterator[str]:
    before = {resource.id: resource for resource in old.walk()}
    after = {resource.id: resource for resource in new.walk()}
    yield from (f"{one.kind} {name} removed" for name, one in before.items() if name not in after)
    for name, resource in after.items():
        earlier = before.get(name)
        if earlier is None or earlier.kind != resource.kind:
            yield _introduced(resource)
        else:
            yield from _changed_resource(earlier, resource)
            place, place_before = parent_of(new, name), parent_of(old, name)
            if place_before is not None and place is None and place_before.id in after:
                yield f"{resource.kind} {name} taken out of {place_before.kind} {place_before.id}"
            elif place is not None and place.id in before and (place_before is None or place_before.id != place.id):
                yield f"{resource.kind} {name} put into {place.kind} {place.id}"


def _introduced(resource: AnyOf) -> str:
    match resource:
        case Primitive():
            what = resource.agent or f"template {resource.template}"
            text = f"primitive {resource.id} ({what}) created"
            options = merged(resource.instance)
        case Group():
            text = f"group {resource.id} of {', '.join(member.id for member in resource.members)} created"
            options = {}
        case Clone():
            text = f"clone {resource.id} of {resource.child.id} created"
            options = {}
    given = " ".join(f"{name}={value}" for name, value in {**options, **merged(resource.meta)}.items())
    return f"{text} with {given}" if given else text


def _changed_resource(old: AnyOf, new: AnyOf) -> Iterator[str]:
    yield from _pairs("option", new.id, merged(old.instance), merged(new.instance))
    yield from _pairs("meta attribute", new.id, merged(old.meta), merged(new.meta))
    if isinstance(old, Primitive) and isinstance(new, Primitive):
        if (old.agent, old.template) != (new.agent, new.template):
            yield f"agent of {new.id} changed from {old.agent or old.template} to {new.agent or new.template}"
        yield from _pairs("utilization", new.id, merged(old.utilization), merged(new.utilization))
        yield from _pairs("operation", new.id, _operations(old), _operations(new))
    if isinstance(old, Group) and isinstance(new, Group):
        kept = [member.id for member in new.members if member.id in {one.id for one in old.members}]
        if kept != [one.id for one in old.members if one.id in kept]:
            yield f"order of group {new.id} changed to {', '.join(member.id for member in new.members)}"


def _operations(primitive: Primitive) -> dict[str, str]:
    return {
        f"{one.name} every {one.interval}" if one.name == "monitor" else one.name: _operation(one)
        for one in primitive.operations
    }


def _operation(operation: Operation) -> str:
    stated = {"interval": operation.interval, **operation.options, **merged(operation.instance)}
    if operation.timeout is not None:
        stated["timeout"] = operation.timeout
    return " ".join(f"{name}={value}" for name, value in stated.items())


def _constraints(old: Configuration, new: Configuration) -> Iterator[str]:
    before = {one.id: one for one in old.constraints}
    after = {one.id: one for one in new.constraints}
    for name, constraint in before.items():
        if name not in after:
            yield f"{constraint.kind} {name} removed: {describe_constraint(constraint)}"
    for name, constraint in after.items():
        earlier = before.get(name)
        if earlier is None:
            yield f"{constraint.kind} {name} added: {describe_constraint(constraint)}"
        elif earlier != constraint:
            renamed = "" if references_of(earlier) == references_of(constraint) else " to"
            yield f"{constraint.kind} {name} changed{renamed}: {describe_constraint(constraint)}"


def _named(noun: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in old:
        if name not in new:
            yield f"{noun} {name} removed"
    for name, value in new.items():
        if name not in old:
            yield f"{noun} {name} added"
        elif old[name] != value:
            yield f"{noun} {name} changed"
