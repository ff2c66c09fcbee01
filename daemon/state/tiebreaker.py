"""The cluster property `tie-breaker`, checked against the nodes that there are."""

from __future__ import annotations

from collections.abc import Collection

from daemon.definition import merged
from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, error

PROPERTY = "tie-breaker"


def check(new: Configuration, old: Configuration, nodes: Collection[str]) -> tuple[Finding, ...]:
    """An extra vote is for a node of the cluster.  One that was right once stays: its node may have been removed."""
    wished = merged(new.properties).get(PROPERTY, "")
    if not wished or wished in nodes or wished == merged(old.properties).get(PROPERTY, ""):
        return ()
    message = f"{PROPERTY}={wished}: there is no node '{wished}' in the cluster"
    return (error("unknown-node", PROPERTY, message, f"name one of {', '.join(sorted(nodes))}"),)
