"""What the control server needs from the daemon.

The server knows HTTP, permissions and limits; whoever implements this knows the cluster.  Everything here is called
on the daemon's event loop: what is not `async` returns at once and from memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from daemon.cluster.records import LogEntry
from daemon.control.metrics import MetricsFacts
from daemon.control.quorumdoc import QuorumFacts
from daemon.control.schema import (
    AgentDocument,
    ConfigurationDocument,
    FencingConfirmed,
    KeysDocument,
    LogLine,
    ReloadDocument,
    StatusDocument,
    TokenDocument,
)
from daemon.model.findings import Finding
from daemon.scheduler.view import Plan, View
from daemon.state.commands import StateCommand


@dataclass(frozen=True, slots=True)
class Committed:
    """The command is in the log, and this node has applied it."""

    index: int
    epoch: int
    """of the configuration after it"""


@dataclass(frozen=True, slots=True)
class Conflict:
    """An edit was made from an epoch that is no longer the configuration's: nothing has changed."""

    epoch: int
    """of the configuration now"""


@dataclass(frozen=True, slots=True)
class Refused:
    """The command was applied and changed nothing, for these reasons."""

    sentence: str
    findings: tuple[Finding, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class NoQuorum:
    """There is no leader that could take the command: nothing has changed, and nothing will."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No outcome within the time: the command may still be committed."""

    sentence: str


Outcome = Committed | Conflict | Refused | NoQuorum | Unknown


@dataclass(frozen=True, slots=True)
class NoSuchAgent:
    """The agent is not on this host, or does not describe itself."""

    sentence: str


@dataclass(frozen=True, slots=True)
class AgentNotAsked:
    """Nobody could ask the agent: nothing is known about it."""

    sentence: str


AgentAnswer = AgentDocument | NoSuchAgent | AgentNotAsked


class Backend(Protocol):
    """The daemon, as the control server sees it."""

    def status(self) -> StatusDocument:
        """The whole status (`daemon.control.statusdoc` builds it)."""

    def quorum(self) -> QuorumFacts:
        """Who votes, and what is planned by; what it holds is changed no more."""

    def metrics(self) -> MetricsFacts:
        """What monitoring wants to know, to be put into words beside the loop."""

    def configuration(self) -> ConfigurationDocument:
        """The configuration as this node has applied it, with its epoch."""

    async def propose(self, command: StateCommand, timeout_ms: int) -> Outcome:
        """Bring `command` into the log and wait until this node has applied it, `timeout_ms` at most."""

    def confirm_fenced(self, node: str, author: str) -> FencingConfirmed | Refused:
        """A person says that the node is without power: its vote counts from now on, where that may be."""
        ...

    async def agent(self, name: str) -> AgentAnswer:
        """What a resource agent of this host says about itself; bounded in time."""

    def keys(self) -> KeysDocument:
        """The key ring by its marks."""
        ...

    async def rotate_key(self, *, revokes: bool) -> KeysDocument | Refused:
        """Begin to replace the key, or go on with it; answers once the new key is on this host's disk.

        `revokes`: what was active before leads nobody back.
        """
        ...

    async def reload(self) -> ReloadDocument | Refused:
        """Read the settings again and take of them what needs no restart; a wrong file changes nothing."""
        ...

    def join_token(self, ttl_ms: int, uses: int, author: str) -> TokenDocument | Refused:
        """A new token by which hosts join."""

    def plan(self) -> Plan:
        """The plan that is in force, for explanations."""

    def view(self) -> View:
        """The state as the scheduler sees it; what it holds is changed no more."""

    def log_first_index(self) -> int:
        """Index of the oldest entry that this node still keeps; 1 where nothing was compacted yet."""

    def log_lines(self, since: int, limit: int) -> Sequence[LogLine]:
        """The same entries as sentences, with what came of them as far as this node knows."""

    def snapshot_at(self, index: int) -> tuple[int, bytes] | None:
        """The newest frozen state that is kept and has no entry after `index`, and its own index; None: none."""

    def log_entries(self, since: int, limit: int) -> Sequence[LogEntry]:
        """Committed entries from index `since` on, at most `limit`, in order."""
