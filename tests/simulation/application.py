"""What a process does with committed entries: the seam between the cluster core and everything above it.

`workloads.shares` is the least that exercises the leases, and quick; `workloads.daemon` is what ships.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from daemon.cluster.core import Core
from daemon.cluster.records import LogEntry
from datapath.engine import SlotState
from tests.simulation.invariants.edits import Answer
from tests.simulation.kernel import Slot


@dataclass(frozen=True, slots=True)
class KernelWork:
    """Put these slot states into the kernel; `token` is the application's own."""

    states: Mapping[Slot, SlotState]
    token: object
    is_overlaid: bool = False
    """it is not what was committed"""


@dataclass(slots=True)
class Work:
    """What an application wants done."""

    kernel: KernelWork | None = None
    enforced_epoch: int | None = None
    operations: list[object] = field(default_factory=list)
    """agents to run; each is given back to `finished` after a while"""
    proposals: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.kernel or self.enforced_epoch is not None or self.operations or self.proposals)


@dataclass(frozen=True, slots=True)
class Draft:
    """An edit that an administrator has made from what this node showed him."""

    body: bytes
    base: int | None
    """number of the edit that made the configuration which he saw; None: he does not care"""


class Application(Protocol):
    def apply(self, entry: LogEntry) -> Answer | None:
        """What the client of an edit would be told; None where nobody asks."""

    def draft(self, number: int, members: list[str], rng: random.Random) -> Draft:
        """Edit `number`, unlike any other, made from what this node has applied."""

    def removal(self, name: str, number: int) -> bytes:
        """What tells that a node shall go, for the `number`th time."""

    def wish(self, tie_breaker: str, number: int) -> Draft:
        """Edit `number`, which says who breaks ties; "": nobody."""

    def drain(self, members: list[str], rng: random.Random) -> bytes | None:
        """A drain of something, or the end of one; None where nothing can be drained."""

    def leaving(self) -> frozenset[str]:
        """Nodes that have given everything away and are to be taken off the roster."""

    def tie_breaker(self) -> str:
        """Who is wished to break ties; "": nobody."""

    def register(self) -> int | None:
        """Number of the edit that made the configuration, 0 for none; None where there is no configuration."""

    def freeze(self) -> bytes:
        """All that the entries so far have made, for a snapshot."""

    def thaw(self, body: bytes) -> None:
        """Become what some application was when it was frozen."""

    def without_quorum(self, core: Core, local_ns: int) -> int | None:
        """What it does for want of a quorum, before each `take`: a deadline for the kernel, 0 to withdraw it."""

    @property
    def is_overlaid(self) -> bool:
        """Whether it serves something else than what was committed (no-quorum-policy=ignore)."""

    def take(self, local_ns: int) -> Work:
        """What is to be done now; asking again asks for nothing twice."""

    def kernel_did(self, work: KernelWork) -> None: ...

    def finished(self, operation: object, local_ns: int) -> None: ...

    def proposed(self, ticket: int, body: bytes) -> None:
        """One of `Work.proposals` is on its way."""

    def outcome_is_unknown(self, ticket: int) -> None:
        """It is committed, among entries that a snapshot stands for."""

    def lease(self, until_ns: int) -> None: ...

    def deadline_ns(self, local_ns: int) -> int | None:
        """When `take` wants to be called although nothing has happened."""

    def concerned(self) -> set[str]:
        """Nodes that hold a slot or are to take one over."""

    def slots(self) -> list[Slot]:
        """All slots that somebody should serve now."""

    def digest(self) -> object:
        """Equal on all nodes that have applied the same entries."""


class Workload(Protocol):
    """The kind of cluster that is simulated."""

    snapshot_entries: tuple[int, ...]
    """so many entries lie between two snapshots: one of these, by the seed"""

    def application(self, name: str, founders: list[str], incarnation: int, rng: random.Random) -> Application: ...
