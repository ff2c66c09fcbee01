"""What all kinds of constraints share: which resources may be named, sets, deleting by id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.model.configuration import AnyConstraint, Clone, Configuration, Location, ResourceSet, Rule
from daemon.model.edits.references import references_of
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import ancestors_of, require_resources
from daemon.model.findings import Refused, error
from daemon.model.identifiers import sanitized, unique_id


@dataclass(frozen=True, slots=True)
class SetRequest:
    """`set RESOURCE … [option=value …]`"""

    resources: Sequence[str]
    options: Mapping[str, str] = field(default_factory=dict)


def require_constrainable(configuration: Configuration, resources: Iterable[str], *, force: bool) -> None:
    """Refuse resources that do not exist, and (unless `force`) what is inside a clone: its clone is meant."""
    found = require_resources(configuration, resources)
    if force:
        return
    findings = []
    for resource in found:
        clone = next((one for one in ancestors_of(configuration, resource.id) if isinstance(one, Clone)), None)
        if clone is not None:
            message = f"'{resource.id}' is a clone resource, you should use the clone id '{clone.id}'"
            remedy = f"use '{clone.id}' when adding constraints, or --force to override"
            findings.append(error("inside-clone", resource.id, message, remedy))
    if findings:
        raise Refused(findings)


def make_sets(constraint_id: str, requests: Sequence[SetRequest], taken: set[str]) -> tuple[ResourceSet, ...]:
    made = []
    for request in requests:
        own = unique_id(f"{constraint_id}_set", taken)
        taken.add(own)
        made.append(ResourceSet(id=own, resources=tuple(request.resources), options=dict(request.options)))
    return tuple(made)


def set_constraint_id(kind: str, requests: Sequence[SetRequest]) -> str:
    """The id that pcs gives a constraint with sets: the first and last letters of the first three resources."""
    names = [name for request in requests for name in request.resources][:3]
    return sanitized(f"{kind}_set_{''.join(name[:1] + name[-1:] for name in names)}")


def delete_constraints(configuration: Configuration, *, constraints: Sequence[str]) -> Configuration:
    """`pcs constraint delete ID …`; an id may also be that of a location's rule, which goes alone.

    A constraint whose last rule goes is removed.  Refused, with all of them, where an id is none.
    """
    rules = {rule.id for known in configuration.constraints if isinstance(known, Location) for rule in known.rules}
    known_ids = {known.id for known in configuration.constraints} | rules
    unknown = [name for name in dict.fromkeys(constraints) if name not in known_ids]
    if unknown:
        raise Refused(error("unknown-constraint", name, f"unable to find constraint '{name}'") for name in unknown)
    kept: list[AnyConstraint] = []
    for known in configuration.constraints:
        if known.id in constraints:
            continue
        if isinstance(known, Location) and known.rules:
            remaining: tuple[Rule, ...] = tuple(rule for rule in known.rules if rule.id not in constraints)
            if not remaining:
                continue
            kept.append(known.model_copy(update={"rules": remaining}))
        else:
            kept.append(known)
    return settled(configuration, configuration.model_copy(update={"constraints": tuple(kept)}))


def constraints_of(configuration: Configuration, resource: str) -> tuple[AnyConstraint, ...]:
    """`pcs constraint ref RESOURCE`: the constraints that name it, directly or in a set."""
    return tuple(
        known
        for known in configuration.constraints
        if resource in references_of(known) or any(resource in stated.resources for stated in known.sets)
    )
