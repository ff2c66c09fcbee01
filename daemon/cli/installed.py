"""Which resource agents this host has: a name that no agent has is most often a slip of the finger.

Looked for where the OCF standard puts them, `ROOT/resource.d/PROVIDER/TYPE`; the roots are those of the host's
settings file if it can be read, and OCF_ROOT, else /usr/lib/ocf.  systemd units are not looked for: they may be
made later, and on other hosts.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemon.model.agents import ADVISED, resolve_agent
from daemon.model.findings import Finding, Refused, error, warning

SETTINGS_FILE = Path("/etc/vipcast/vipcast.toml")
DEFAULT_ROOT = "/usr/lib/ocf"
OURS = ("ocf:heartbeat:IPaddr2", "ocf:vipcast:webserver")
"""come with vipcast, on every host"""


def agents(environment: Mapping[str, str]) -> list[str]:
    """Full names of the OCF agents of this host, sorted."""
    found = {name for root in _roots(environment) for name in _agents_of(root)}
    return sorted({*OURS, *found})


def check(specification: str, here: list[str], *, force: bool) -> list[Finding]:
    """Warnings about an agent.  Raises Refused for one that is neither here nor known, unless `force`."""
    agent = str(resolve_agent(specification, here))
    if not agent.startswith("ocf:") or agent in here:
        return []
    if agent in ADVISED or force:
        message = f"agent '{agent}' is not installed on this host"
        return [warning("agent-not-here", agent, message, "it has to be on every host that may run the resource")]
    message = f"agent '{agent}' is not installed on this host, and is none that vipcast knows"
    raise Refused(error("unknown-agent", agent, message, "see 'vipcast resource agents', or use --force"))


def _roots(environment: Mapping[str, str]) -> list[str]:
    try:
        stated = tomllib.loads(SETTINGS_FILE.read_text())["paths"]["agents"]
        roots = [root for root in stated if isinstance(root, str)]
    except (OSError, ValueError, KeyError, TypeError):
        roots = [DEFAULT_ROOT]  # `vipcastd --check` says what is wrong with the file
    if environment.get("OCF_ROOT"):
        roots.append(environment["OCF_ROOT"])
    return roots


def _agents_of(root: str) -> Iterator[str]:
    try:
        for path in (Path(root) / "resource.d").glob("*/*"):
            if path.is_file() and os.access(path, os.X_OK) and not path.name.startswith("."):
                yield f"ocf:{path.parent.name}:{path.name}"
    except OSError:
        return
