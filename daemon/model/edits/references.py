"""Constraints follow the resources that they name: renamed with a clone, gone with a deleted resource."""

from __future__ import annotations

from collections.abc import Callable, Collection

from daemon.model.configuration import (
    AnyConstraint,
    Colocation,
    Configuration,
    Location,
    Order,
    ResourceSet,
    Ticket,
)


def references_of(constraint: AnyConstraint) -> tuple[str, ...]:
    """The resources that a constraint names directly, without those in its sets."""
    match constraint:
        case Colocation():
            named = (constraint.resource, constraint.with_resource)
        case Order():
            named = (constraint.first, constraint.then)
        case Location() | Ticket():
            named = (constraint.resource, None)
    return tuple(name for name in named if name is not None)


def with_references_renamed(configuration: Configuration, old: str, new: str) -> Configuration:
    """Every constraint that names `old` names `new` instead."""

    def renamed(name: str | None) -> str | None:
        return new if name == old else name

    def change(constraint: AnyConstraint) -> AnyConstraint:
        sets = tuple(
            stated.model_copy(update={"resources": tuple(new if n == old else n for n in stated.resources)})
            for stated in constraint.sets
        )
        match constraint:
            case Colocation():
                ends = {
                    "resource": renamed(constraint.resource),
                    "with_resource": renamed(constraint.with_resource),
                }
            case Order():
                ends = {"first": renamed(constraint.first), "then": renamed(constraint.then)}
            case Location() | Ticket():
                ends = {"resource": renamed(constraint.resource)}
        return constraint.model_copy(update={**ends, "sets": sets})

    return _changed(configuration, change)


def without_references(configuration: Configuration, gone: Collection[str]) -> Configuration:
    """Constraints that name one of `gone` are removed; sets lose it, and a constraint without sets is removed."""

    def change(constraint: AnyConstraint) -> AnyConstraint | None:
        if any(name in gone for name in references_of(constraint)):
            return None
        if not any(name in gone for stated in constraint.sets for name in stated.resources):
            return constraint
        sets = [_set_without(stated, gone) for stated in constraint.sets]
        kept = tuple(stated for stated in sets if stated.resources)
        return constraint.model_copy(update={"sets": kept}) if kept else None

    return _changed(configuration, change)


def _set_without(stated: ResourceSet, gone: Collection[str]) -> ResourceSet:
    return stated.model_copy(update={"resources": tuple(name for name in stated.resources if name not in gone)})


def _changed(
    configuration: Configuration, change: Callable[[AnyConstraint], AnyConstraint | None]
) -> Configuration:
    changed = [change(constraint) for constraint in configuration.constraints]
    return configuration.model_copy(update={"constraints": tuple(one for one in changed if one is not None)})
