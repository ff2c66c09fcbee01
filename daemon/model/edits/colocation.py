"""Colocation constraints."""

from __future__ import annotations

from daemon.model.configuration import Colocation, Configuration
from daemon.model.edits.constraints import require_constrainable
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
        if (known.resource, known.with_resource, _started(known.role), _started(known.with_role)) == (
            resource,
            with_resource,
            _started(role),
            _started(with_role),
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


def _started(role: str | None) -> str:
    return role or ""
