"""Colocation constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.model.configuration import Colocation, Configuration
from daemon.model.edits.constraints import SetRequest, make_sets, require_constrainable, set_constraint_id
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import require_new_id
from daemon.model.findings import Refused, error
from daemon.model.identifiers import ids_in_use, sanitized, unique_id


def add_colocation(
    configuration: Configuration,
    *,
    resource: str,
    with_resource: str,
    score: str = "INFINITY",
    role: str | None = None,
    with_role: str | None = None,
    constraint: str | None = None,
    node_attribute: str | None = None,
    influence: str | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs constraint colocation add [ROLE] RESOURCE with [ROLE] WITH_RESOURCE [SCORE] [id=…]`

    Refused where the same pair is colocated already (whatever the score), unless `force`.
    """
    require_constrainable(configuration, (resource, with_resource), force=force)
    if constraint is not None:
        require_new_id(configuration, constraint, "constraint id")
    for known in configuration.constraints:
        if not isinstance(known, Colocation) or force:
            continue
        if (known.resource, known.with_resource, known.role, known.with_role) == (
            resource,
            with_resource,
            role,
            with_role,
        ):
            raise Refused(
                error(
                    "duplicate-constraint",
                    known.id,
                    f"duplicate constraint already exists: {known.resource} with {known.with_resource} "
                    f"(score:{known.score}) (id:{known.id})",
                    f"remove '{known.id}' first, or use --force",
                )
            )
    made = Colocation(
        id=constraint
        or unique_id(sanitized(f"colocation-{resource}-{with_resource}-{score}"), ids_in_use(configuration)),
        resource=resource,
        with_resource=with_resource,
        score=score,
        role=role,
        with_role=with_role,
        node_attribute=node_attribute,
        influence=influence,
    )
    return settled(
        configuration, configuration.model_copy(update={"constraints": (*configuration.constraints, made)})
    )


def add_colocation_sets(
    configuration: Configuration,
    *,
    sets: Sequence[SetRequest],
    options: Mapping[str, str] | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs constraint colocation set RESOURCE … [option=value …] [set …] [setoptions [id=…] [score=…]]`"""
    given = dict(options or {})
    unknown = sorted(set(given) - {"id", "score", "influence"})
    if unknown:
        raise Refused(
            error(
                "unknown-option", name, f"invalid colocation option '{name}'", "allowed are: id, influence, score"
            )
            for name in unknown
        )
    require_constrainable(configuration, [name for one in sets for name in one.resources], force=force)
    taken = set(ids_in_use(configuration))
    if "id" in given:
        require_new_id(configuration, given["id"], "constraint id")
    constraint_id = given.get("id") or unique_id(set_constraint_id("colocation", sets), taken)
    taken.add(constraint_id)
    made = Colocation(
        id=constraint_id,
        score=given.get("score", "INFINITY"),
        influence=given.get("influence"),
        sets=make_sets(constraint_id, sets, taken),
    )
    return settled(
        configuration, configuration.model_copy(update={"constraints": (*configuration.constraints, made)})
    )
