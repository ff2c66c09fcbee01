"""What makes a unit like or avoid a host, apart from other units: locations, stickiness, failures, node health."""

from __future__ import annotations

import re
from dataclasses import replace

from daemon.model.configuration import INFINITY, Location, Rule
from daemon.scheduler.cluster import Cluster, Preference, merged
from daemon.scheduler.failures import threshold_reached
from daemon.scheduler.health import health
from daemon.scheduler.rules import Facts, holds
from daemon.scheduler.scores import ban, note, prefer, score_of
from daemon.scheduler.units import GroupUnit, Instance, Role, Unit, places
from daemon.scheduler.unpack import ROLES


def resolve(cluster: Cluster, reference: str | None) -> Unit | None:
    """The unit that a constraint means: by id; what is inside a clone stands for the clone."""
    if reference is None:
        return None
    unit = cluster.by_id.get(reference)
    if isinstance(unit, Instance) and unit.shadow_of is not None:
        return unit.shadow_of
    if unit is not None:
        return unit
    inside = cluster.by_id.get(f"{reference}:0")
    return inside.top if inside is not None else None


def locations(cluster: Cluster) -> list[Preference]:
    """All location constraints, worked out."""
    found: list[Preference] = []
    for constraint in cluster.view.configuration.constraints:
        if not isinstance(constraint, Location):
            continue
        role = constraint.role
        if constraint.resource_pattern:
            for unit, submatches in _matching(cluster, constraint.resource_pattern):
                found.extend(_location(cluster, constraint, unit, role, constraint.score, submatches))
        elif constraint.resource is not None:
            for target in expand(cluster, constraint.resource):
                found.extend(_location(cluster, constraint, target, role, constraint.score, None))
        for group in constraint.sets:
            for reference in group.resources:
                for unit in expand(cluster, reference):
                    set_role = group.options.get("role", role)
                    score = group.options.get("score", constraint.score)
                    found.extend(_location(cluster, constraint, unit, set_role, score, None))
    return [*found, *health(cluster)]


def expand(cluster: Cluster, reference: str) -> list[Unit]:
    """A resource's id, or a tag's, which stands for its members; unknown ones are reported and left out."""
    unit = resolve(cluster, reference)
    if unit is not None:
        return [unit]
    for tag in cluster.view.configuration.tags:
        if tag.id == reference:
            return [found for member in tag.members for found in expand(cluster, member)]
    templated = [
        found
        for resource in cluster.view.configuration.walk()
        if getattr(resource, "template", None) == reference
        for found in (resolve(cluster, resource.id),)
        if found is not None
    ]
    if not templated:
        cluster.findings.append(f"A constraint names '{reference}', which is not configured: it is ignored")
    return templated


def _matching(cluster: Cluster, pattern: str) -> list[tuple[Unit, re.Match[str] | None]]:
    inverted = pattern.startswith("!")
    try:
        expression = re.compile(pattern.removeprefix("!"))
    except re.error:
        cluster.findings.append(f"The pattern '{pattern}' of a location is no regular expression: it is ignored")
        return []
    found: list[tuple[Unit, re.Match[str] | None]] = []
    for unit in cluster.units:
        match = expression.search(unit.id)
        if (match is None) == inverted:
            found.append((unit, None if inverted else match))
    return found


def _location(
    cluster: Cluster,
    constraint: Location,
    unit: Unit,
    role: str | None,
    score: str | None,
    match: re.Match[str] | None,
) -> list[Preference]:
    discovery = constraint.resource_discovery or "always"
    if constraint.node is not None and score is not None:
        if constraint.node not in cluster.hosts:
            return []
        return [Preference(constraint.id, unit, {constraint.node: score_of(score)}, _role(role), discovery)]
    return [_rule(cluster, constraint, rule, unit, discovery, match) for rule in constraint.rules]


def _rule(
    cluster: Cluster, constraint: Location, rule: Rule, unit: Unit, discovery: str, match: re.Match[str] | None
) -> Preference:
    scores: dict[str, int] = {}
    facts = Facts(now_ms=cluster.view.now_ms, meta=unit.meta)
    if isinstance(unit, Instance) and unit.config is not None:
        facts = replace(facts, parameters=merged(unit.config.instance, facts))
    for host in cluster.hosts.values():
        if not holds(_substituted(rule, match), facts.on(host.attributes)):
            continue
        if rule.score is not None or rule.score_attribute is None:
            scores[host.name] = score_of(rule.score)
        else:
            attribute = match.expand(_percents(rule.score_attribute)) if match else rule.score_attribute
            scores[host.name] = score_of(host.attributes.get(attribute), -INFINITY)
    return Preference(rule.id, unit, scores, _role(rule.role), discovery)


def _role(word: str | None) -> Role:
    """For which role a location counts: for all of them unless it is for promoted or stopped ones, since whatever is
    promoted was started, and unpromoted, before."""
    role = ROLES.get((word or "").lower(), Role.UNKNOWN)
    return Role.UNKNOWN if role in (Role.STARTED, Role.UNPROMOTED) else role


def _percents(text: str) -> str:
    return re.sub(r"%(\d)", r"\\g<\1>", text)


def _substituted(rule: Rule, match: re.Match[str] | None) -> Rule:
    """`%1` in an attribute's name stands for what the resource pattern's first bracket matched."""
    if match is None:
        return rule
    changed = tuple(
        e.model_copy(update={"attribute": match.expand(_percents(e.attribute))})
        if e.kind == "attribute" and "%" in e.attribute
        else e.model_copy(update={"rule": _substituted(e.rule, match)})
        if e.rule is not None
        else e
        for e in rule.expressions
    )
    return rule.model_copy(update={"expressions": changed})


def apply(preference: Preference, unit: Unit) -> None:
    """Add the preference to the unit and what is in it.

    A group's score is given to its first member alone (the others follow it), and to the others as 0, which still
    opens hosts to them where nothing is allowed by itself.
    """
    if preference.discovery == "exclusive":
        unit.exclusive_discovery = True
    _apply(preference, unit, preference.scores)


def _apply(preference: Preference, unit: Unit, scores: dict[str, int]) -> None:
    if preference.role in (Role.UNKNOWN, unit.next_role):
        for host, score in scores.items():
            prefer(unit, host, score, preference.id)
            if _LEVELS.get(unit.discovery.get(host, "always"), 0) < _LEVELS.get(preference.discovery, 0):
                unit.discovery[host] = preference.discovery
                unit.exclusive_discovery |= preference.discovery == "exclusive"
    for position, child in enumerate(unit.children):
        follower = isinstance(unit, GroupUnit) and unit.colocated and position > 0
        _apply(preference, child, dict.fromkeys(scores, 0) if follower else scores)


_LEVELS = {"always": 0, "never": 1, "exclusive": 2}


def apply_node_criteria(cluster: Cluster, preferences: list[Preference]) -> None:
    """Locations first, then stickiness, then what has failed too often, then exclusive discovery."""
    cluster.preferences = preferences
    for preference in preferences:
        apply(preference, preference.unit)
    for instance in cluster.instances():
        if instance.managed and instance.stickiness >= 1 and len(places(instance)) == 1:
            host = places(instance)[0]
            if cluster.options.symmetric or host in instance.allowed:
                prefer(instance, host, instance.stickiness, "resource-stickiness")
    exclusive = [unit for unit in cluster.units if unit.exclusive_discovery]
    for host in cluster.hosts:
        for instance in cluster.instances() if host in cluster.failcounts.hosts else ():
            if host in instance.clear_failcount_on:
                continue
            banned = threshold_reached(cluster, instance, host)
            if banned is not None:
                ban(banned, [host], "migration-threshold")
                _ban_below(banned, host)
        for unit in exclusive:
            _exclusive(unit, host, exclusive=True)


def _ban_below(unit: Unit, host: str) -> None:
    for child in unit.children:
        ban(child, [host], "migration-threshold")
        _ban_below(child, host)


def _exclusive(unit: Unit, host: str, exclusive: bool) -> None:
    if not (exclusive or unit.exclusive_discovery):
        return
    for child in unit.children:
        _exclusive(child, host, exclusive)
    if host in unit.allowed and unit.discovery.get(host) != "exclusive":
        note(unit, host, unit.allowed[host], -INFINITY, "resource-discovery")
