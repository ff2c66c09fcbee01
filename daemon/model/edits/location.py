"""Location constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.model.configuration import Configuration, Location, Rule
from daemon.model.edits.constraints import require_constrainable
from daemon.model.edits.settle import settled
from daemon.model.edits.tree import require_new_id
from daemon.model.findings import Refused, error
from daemon.model.identifiers import ids_in_use, sanitized, unique_id
from daemon.model.rule_text import parse_rule
from daemon.model.values import BadValue, parse_written_score


def require_node(configuration: Configuration, node: str, *, force: bool) -> None:
    """Refuse a node that the configuration does not list, where it lists any."""
    known = {one.name for one in configuration.nodes}
    if known and node not in known and not force:
        raise Refused(
            error(
                "unknown-node",
                node,
                f"node '{node}' does not seem to be in the cluster",
                f"nodes are {', '.join(sorted(known))}; use --force for one that is to come",
            )
        )


def prefer_nodes(
    configuration: Configuration, *, resource: str, scores: Mapping[str, str], force: bool = False
) -> Configuration:
    """`pcs constraint location RESOURCE prefers NODE[=SCORE] …`; `regexp%PATTERN` and `resource%ID` as in pcs.

    A constraint of the same resource and node is replaced.
    """
    name, pattern = resource_or_pattern(resource)
    if name is not None:
        require_constrainable(configuration, (name,), force=force)
    if not scores:
        raise Refused(error("no-node", resource, f"no node is given for the location of '{resource}'"))
    changed = configuration
    for node, score in scores.items():
        require_node(configuration, node, force=force)
        kept = tuple(
            one
            for one in changed.constraints
            if not (
                isinstance(one, Location)
                and (one.resource, one.resource_pattern, one.node) == (name, pattern, node)
                and one.role is None
                and not one.rules
            )
        )
        changed = changed.model_copy(update={"constraints": kept})
        wanted = sanitized(f"location-{name or pattern}-{node}-{score}")
        own = unique_id(wanted, ids_in_use(changed))
        made = Location(id=own, resource=name, resource_pattern=pattern, node=node, score=score)
        changed = changed.model_copy(update={"constraints": (*changed.constraints, made)})
    return settled(configuration, changed)


def avoid_nodes(
    configuration: Configuration, *, resource: str, scores: Mapping[str, str], force: bool = False
) -> Configuration:
    """`pcs constraint location RESOURCE avoids NODE[=SCORE] …`: the same with the scores' signs turned."""
    turned = {node: negated(score) for node, score in scores.items()}
    return prefer_nodes(configuration, resource=resource, scores=turned, force=force)


def negated(score: str) -> str:
    try:
        parse_written_score(score)
    except BadValue as problem:
        raise Refused(error("bad-value", score, f"invalid score: {problem}")) from problem
    return score[1:] if score.startswith("-") else f"-{score.removeprefix('+')}"


def add_location_rule(
    configuration: Configuration,
    *,
    resource: str,
    expression: Sequence[str],
    options: Mapping[str, str] | None = None,
    force: bool = False,
) -> Configuration:
    """`pcs constraint location RESOURCE rule [id=…] [role=…] [score=… | score-attribute=…] EXPRESSION`

    `options` may also hold `constraint-id` and `resource-discovery`.
    """
    given = dict(options or {})
    name, pattern = resource_or_pattern(resource)
    if name is not None:
        require_constrainable(configuration, (name,), force=force)
    allowed = {"id", "role", "score", "score-attribute", "constraint-id", "resource-discovery"}
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise Refused(
            error(
                "unknown-option",
                option,
                f"invalid rule option '{option}'",
                f"allowed are: {', '.join(sorted(allowed))}",
            )
            for option in unknown
        )
    if "score" in given and "score-attribute" in given:
        raise Refused(error("score-twice", resource, "can not specify both score and score-attribute"))
    for option in ("constraint-id", "id"):
        if option in given:
            require_new_id(configuration, given[option], option)
    taken = set(ids_in_use(configuration))
    own = given.get("constraint-id") or unique_id(sanitized(f"location-{name or pattern}"), taken)
    taken.add(own)
    rule_id = given.get("id") or unique_id(f"{own}-rule", taken)
    taken.add(rule_id)
    parsed = parse_rule(expression, rule_id, taken)
    rule: Rule = parsed.model_copy(
        update={
            "role": given.get("role"),
            "score": None if "score-attribute" in given else given.get("score", "INFINITY"),
            "score_attribute": given.get("score-attribute"),
        }
    )
    made = Location(
        id=own,
        resource=name,
        resource_pattern=pattern,
        resource_discovery=given.get("resource-discovery"),
        rules=(rule,),
    )
    return settled(
        configuration, configuration.model_copy(update={"constraints": (*configuration.constraints, made)})
    )


def resource_or_pattern(text: str) -> tuple[str | None, str | None]:
    """`regexp%PATTERN` names resources by a pattern, `resource%ID` or a plain id names one."""
    kind, percent, rest = text.partition("%")
    if percent and kind == "regexp":
        return None, rest
    return (rest if percent and kind == "resource" else text), None
