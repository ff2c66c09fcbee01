"""A node as the log has it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class NodeState:
    """A node as the log has it.

    A new incarnation of an admitted node inherits its slots under their generations (LEASES.md, rule 20): what the
    old process reported no longer counts, because results carry the incarnation (25), and a report of the *other* side
    of a move stays valid.  What the resources of the node do is unknown from then on, and is probed.
    """

    name: str
    admitted: bool = False
    incarnation: int = 0
    epoch: int = 0
    """index of the newest Admit or Lost"""
    kernel_boot_id: str = ""
    leaving: bool = False
    """its process is about to end by intention"""
    restarting: bool = False
    """its daemon starts again; what it holds goes on, and it is given nothing new until it is back"""
    since_ms: int = field(default=0, kw_only=True)
    """since when it has been admitted without a break"""
    removing: bool = False
    """it was told to leave the cluster for good; the roster without it ends that"""
