"""What a process does with committed entries: the seam between the cluster core and everything above it.

`Shares` is the least that exercises the leases, and quick: four slots, each held by an admitted node; what a lost
node held goes to others.  `daemon.Daemon` in this folder is the real thing: State, scheduler and Executor.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from daemon.cluster.records import Admit, LogEntry, Lost
from datapath.engine import SlotState
from tests.simulation.kernel import Slot


@dataclass(frozen=True, slots=True)
class KernelWork:
    """Put these slot states into the kernel; `token` is the application's own."""

    states: Mapping[Slot, SlotState]
    token: object


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


class Application(Protocol):
    def apply(self, entry: LogEntry) -> None: ...

    def take(self, local_ns: int) -> Work:
        """What is to be done now; asking again asks for nothing twice."""

    def kernel_did(self, work: KernelWork) -> None: ...

    def finished(self, operation: object, local_ns: int) -> None: ...

    def proposed(self, ticket: int, body: bytes) -> None:
        """One of `Work.proposals` is on its way."""

    def lease(self, until_ns: int) -> None: ...

    def deadline_ns(self, local_ns: int) -> int | None:
        """When `take` wants to be called although nothing has happened."""

    def slots(self) -> list[Slot]:
        """All slots that somebody should serve now."""

    def digest(self) -> object:
        """Equal on all nodes that have applied the same entries."""


class Workload(Protocol):
    """The kind of cluster that is simulated."""

    def application(self, name: str, members: list[str], incarnation: int, rng: random.Random) -> Application: ...

    def edit(self, number: int, members: list[str], rng: random.Random) -> bytes:
        """The body of an edit, unlike any other."""


class Shares:
    """Slots go to the least burdened admitted node, by name where several are; they move only by `Lost`."""

    SLOTS = tuple(("VIP", number) for number in range(4))

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.admitted: dict[str, tuple[int, int]] = {}
        """node → (incarnation, epoch)"""
        self.holders: dict[Slot, str] = {}
        self._enforced: int | None = None
        self._changed = self._busy = False

    def apply(self, entry: LogEntry) -> None:
        command = entry.command
        if isinstance(command, Admit):
            self.admitted[command.node] = (command.incarnation, entry.index)
        elif isinstance(command, Lost):
            self.admitted.pop(command.node, None)
            self.holders = {slot: holder for slot, holder in self.holders.items() if holder != command.node}
        else:
            return
        self._give_out()
        self._changed = True

    def _give_out(self) -> None:
        for slot in self.SLOTS:
            if slot not in self.holders and self.admitted:
                held = list(self.holders.values())
                self.holders[slot] = min(sorted(self.admitted), key=held.count)

    def take(self, local_ns: int) -> Work:
        work = Work(enforced_epoch=self._enforced)
        self._enforced = None
        incarnation, epoch = self.admitted.get(self.name, (0, 0))
        if self._changed and not self._busy and incarnation == self.incarnation:
            # before its admission it leaves alone what a former process has left: that runs out by itself
            self._changed, self._busy = False, True
            mine = {slot: SlotState.OPEN for slot, holder in self.holders.items() if holder == self.name}
            work.kernel = KernelWork(mine, epoch)
        return work

    def kernel_did(self, work: KernelWork) -> None:
        assert isinstance(work.token, int)
        self._enforced, self._busy = work.token, False

    def finished(self, operation: object, local_ns: int) -> None:
        raise AssertionError("it has no agents")

    def proposed(self, ticket: int, body: bytes) -> None:
        raise AssertionError("it proposes nothing")

    def lease(self, until_ns: int) -> None:
        pass

    def deadline_ns(self, local_ns: int) -> int | None:
        return None

    def slots(self) -> list[Slot]:
        return list(self.SLOTS)

    def digest(self) -> object:
        return (sorted(self.admitted.items()), sorted(self.holders.items()))


class SharesWorkload:
    def application(self, name: str, members: list[str], incarnation: int, rng: random.Random) -> Application:
        return Shares(name, incarnation)

    def edit(self, number: int, members: list[str], rng: random.Random) -> bytes:
        return f"edit {number}".encode()
