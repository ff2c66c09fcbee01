"""Fence agents: programs that cut a host's power.

API: ClusterLabs, fence-agents, doc/FenceAgentAPI.md.  An agent reads its options from standard input, a
`name=value` a line, the action among them, and ends with 0 where that was done; `status` ends with 2 where the power
is off.  What begins with `pcmk_` is for whoever runs the agent and never reaches it (pacemaker-fenced(7)).

As a resource of the plan a device is only looked at: `start` and `monitor` ask it whether it would work (action
`monitor`), `stop` asks nothing.  Which host it is used against, and when, is `daemon.executor.fencing`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

STANDARD = "stonith"
DEFAULT_FOLDER = Path("/usr/sbin")
POWER = frozenset({"off", "reboot", "on"})
"""actions that change something; as operations they are these words, too"""
PRIVATE_PREFIXES = ("pcmk_", "CRM_meta_")
PRIVATE = frozenset({"stonith-timeout", "priority", "provides"})

_TYPE = re.compile(r"fence_[A-Za-z0-9_.-]+")


def type_of(agent: str) -> str | None:
    """`fence_ipmilan` of `stonith:fence_ipmilan`; None where that is the name of no fence agent."""
    standard, _, name = agent.partition(":")
    return name if standard == STANDARD and _TYPE.fullmatch(name) else None


def candidates(name: str, roots: Sequence[Path]) -> list[Path]:
    """Where an agent may be: with the system's, or in the folder `fence` of a root of one's own."""
    return [*(root / "fence" / name for root in roots), DEFAULT_FOLDER / name]


def find(name: str, roots: Sequence[Path]) -> Path | None:
    return next((path for path in candidates(name, roots) if path.is_file()), None)


def told(parameters: Mapping[str, str], action: str) -> bytes:
    """What the agent reads.  Raises ValueError for a value of more than one line, which would be another option."""
    options = {name: value for name, value in parameters.items() if not _is_private(name)}
    options["action"] = action
    for name, value in options.items():
        if "\n" in value or "\n" in name or "=" in name or "\0" in value:
            raise ValueError(f"the value of {name!r} cannot be told to a fence agent: it must be one line")
    return "".join(f"{name}={value}\n" for name, value in options.items()).encode()


def action_of(operation: str, parameters: Mapping[str, str]) -> str:
    """What the agent is asked for by an operation of a resource, or by the power of a host to be cut."""
    if operation == "meta-data":
        return "metadata"
    if operation in ("start", "monitor"):
        return parameters.get("pcmk_monitor_action", "monitor")
    return parameters.get(f"pcmk_{operation}_action", operation)


def _is_private(name: str) -> bool:
    return name in PRIVATE or name.startswith(PRIVATE_PREFIXES)
