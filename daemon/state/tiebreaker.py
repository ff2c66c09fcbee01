"""The cluster property `tie-breaker`, checked against the nodes that there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, error
from daemon.model.options import TIE_BREAKER
from daemon.model.precedence import merged

if TYPE_CHECKING:
    from daemon.state.state import State

PROPERTY = TIE_BREAKER


def of(wished: str, state: State) -> str:
    """Who is to break ties where the configuration names `wished`; "": nobody.

    The configuration is the administrator's and may name a node that is leaving, or has left: that one gets no extra
    vote any more.
    """
    node = state.nodes.get(wished)
    if node is None or node.removing:
        return ""
    return wished if wished in state.members or wished in state.witnesses else ""


def check(new: Configuration, old: Configuration, nodes: Collection[str]) -> tuple[Finding, ...]:
    """An extra vote is for a node of the cluster.  One that was right once stays: its node may have been removed."""
    wished = merged(new.properties).get(PROPERTY, "")
    if not wished or wished in nodes or wished == merged(old.properties).get(PROPERTY, ""):
        return ()
    message = f"{PROPERTY}={wished}: there is no node '{wished}' in the cluster"
    return (error("unknown-node", PROPERTY, message, f"name one of {', '.join(sorted(nodes))}"),)
