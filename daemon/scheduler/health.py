"""Node health: what the `#health-…` attributes of a node mean for everything that could run there.

Agents write red, yellow, green or a number.  `node-health-strategy` says what they are worth: `migrate-on-red` and
`only-green` ban nodes that are not well, `progressive` adds the worths that are configured, and `custom` leaves
everything to rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from daemon.model.configuration import INFINITY
from daemon.model.values import add_scores
from daemon.scheduler.cluster import Cluster, Preference, truth
from daemon.scheduler.scores import score_of

NODE_HEALTH = "node-health"
"""where such scores come from"""
PREFIX = "#health"
COLOURS = ("red", "yellow", "green")
DEFAULTS = {"red": "-INFINITY", "yellow": "0", "green": "0"}


def health(cluster: Cluster) -> Iterator[Preference]:
    """For each resource and each node whose health is worth something, a location."""
    strategy = cluster.options.health_strategy
    worths = _worths(strategy, cluster.options.values)
    if worths is None:
        return
    base = score_of(cluster.options.values.get("node-health-base")) if strategy == "progressive" else 0
    for host in cluster.hosts.values():
        score = base
        for name, value in sorted(host.attributes.items()):
            if name.startswith(PREFIX):
                score = add_scores(score, worths.get(value.lower(), score_of(value)))
        for unit in cluster.units if score else ():
            if score > 0 or not truth(unit.meta, "allow-unhealthy-nodes", False):
                yield Preference(NODE_HEALTH, unit, {host.name: score})


def _worths(strategy: str, values: Mapping[str, str]) -> dict[str, int] | None:
    match strategy:
        case "migrate-on-red":
            return {"red": -INFINITY, "yellow": 0, "green": 0}
        case "only-green":
            return {"red": -INFINITY, "yellow": -INFINITY, "green": 0}
        case "progressive" | "custom":
            return {name: score_of(values.get(f"node-health-{name}", DEFAULTS[name])) for name in COLOURS}
    return None
