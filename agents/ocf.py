"""OCF resource agents: where they are, what they are told, and what their answers mean.

Pure but for the look whether a file exists.  Sources: Open Cluster Framework Resource Agent API 1.1
(https://github.com/ClusterLabs/OCF-spec), and what Pacemaker's executor gives its agents beyond it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BUNDLED_ROOT = Path(__file__).parent / "ocf"
"""an OCF root of our own, with the agents of the provider `vipcast`"""
DEFAULT_ROOTS = (Path("/usr/lib/ocf"),)
SCRATCH = Path("/run/resource-agents")
"""HA_RSCTMP: where agents keep pid files and state until the next boot"""
EXIT_REASON_PREFIX = "ocf-exit-reason:"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PARAMETER = re.compile(r"[^=\s\x00-\x1f\x7f]+")


class ExitCode(enum.IntEnum):
    """What an agent's exit code means (API 1.1, Exit Status Codes)."""

    OK = 0
    ERROR = 1
    ARGUMENTS = 2
    UNIMPLEMENTED = 3
    PERMISSION = 4
    NOT_INSTALLED = 5
    NOT_CONFIGURED = 6
    NOT_RUNNING = 7
    RUNNING_PROMOTED = 8
    FAILED_PROMOTED = 9
    DEGRADED = 190
    DEGRADED_PROMOTED = 191


class AgentNameError(ValueError):
    """Not the name of an agent that could be run; the text says why and what to write."""


@dataclass(frozen=True, slots=True)
class AgentName:
    """`ocf:heartbeat:apache`: provider `heartbeat`, type `apache`."""

    provider: str
    type: str

    @classmethod
    def parse(cls, text: str) -> AgentName:
        """Raises AgentNameError."""
        standard, *rest = text.split(":")
        if standard != "ocf":
            raise AgentNameError(
                f"agent {text!r}: standard {standard!r} is not known; write ocf:PROVIDER:TYPE or systemd:UNIT"
            )
        # `ocf::heartbeat:apache` is how Pacemaker's tools print it.
        provider, type_ = [part for part in rest if part] if len([p for p in rest if p]) == 2 else ("", "")
        if not (_NAME.fullmatch(provider) and _NAME.fullmatch(type_)):
            raise AgentNameError(f"agent {text!r} is no agent's name; write ocf:PROVIDER:TYPE")
        return cls(provider, type_)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that was found."""

    name: AgentName
    path: Path
    root: Path
    """OCF_ROOT as the agent shall see it: where lib/heartbeat is"""


def candidates(name: AgentName, roots: Sequence[Path]) -> list[Path]:
    """Where an agent may be, in the order in which it is looked for."""
    return [root / "resource.d" / name.provider / name.type for root in (*roots, BUNDLED_ROOT)]


def find(name: AgentName, roots: Sequence[Path]) -> Agent | None:
    """The first candidate that is a file."""
    for path, root in zip(candidates(name, roots), (*roots, *roots[:1], *DEFAULT_ROOTS), strict=False):
        if path.is_file():
            return Agent(name, path, root)
    return None


def not_found(name: AgentName, roots: Sequence[Path]) -> str:
    searched = ", ".join(str(path) for path in candidates(name, roots))
    return f"agent ocf:{name.provider}:{name.type} is not installed: searched {searched}"


def bad_parameters(parameters: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    """Why these cannot be an environment, or None."""
    for name, value in (*parameters.items(), *environment.items()):
        if not _PARAMETER.fullmatch(name):
            return f"parameter {name!r} is no name that an agent could be given"
        if "\0" in value:
            return f"the value of parameter {name!r} holds a NUL character"
    return None


def environment(
    agent: Agent, instance: str, parameters: Mapping[str, str], meta: Mapping[str, str]
) -> dict[str, str]:
    """The agent's whole environment; nothing of the runner's own reaches it.

    `instance` is the instance's id (`db:1`); `meta` is given as it is (OCF_RESKEY_CRM_meta_*).
    """
    return {
        "PATH": PATH,
        "LC_ALL": "C",
        "SHELL": "/bin/sh",
        "HOME": "/root",
        "PWD": "/",
        "OCF_ROOT": str(agent.root),
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": instance,
        "OCF_RESOURCE_TYPE": agent.name.type,
        "OCF_RESOURCE_PROVIDER": agent.name.provider,
        "OCF_EXIT_REASON_PREFIX": EXIT_REASON_PREFIX,
        "HA_RSCTMP": str(SCRATCH),
        "HA_debug": "0",
        **{f"OCF_RESKEY_{name}": value for name, value in parameters.items()},
        **meta,
    }


def exit_reason(error_output: str) -> str:
    """What the agent said last behind the prefix of exit reasons; empty if it said nothing."""
    said = [line for line in error_output.splitlines() if line.startswith(EXIT_REASON_PREFIX)]
    return said[-1].removeprefix(EXIT_REASON_PREFIX).strip() if said else ""


def last_words(error_output: str) -> str:
    """The last line that was not empty: better than nothing where an agent gives no reason."""
    lines = [line.strip() for line in error_output.splitlines() if line.strip()]
    return lines[-1] if lines else ""
