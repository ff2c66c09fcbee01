"""What a process does with committed entries: the seam between the cluster core and everything above it.

`Shares` is the least that exercises the leases: four slots, each held by an admitted node; what a lost node held
goes to others.
`cluster.Daemon` in this folder is the real thing (State and Executor), once it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from daemon.cluster.records import Admit, LogEntry, Lost
from datapath.engine import SlotState
from tests.simulation.kernel import Slot

SLOTS = tuple(("VIP", number) for number in range(4))


@dataclass(frozen=True, slots=True)
class KernelWork:
    """Put these slot states into the kernel; it then holds what `epoch` says, unless that is None."""

    states: Mapping[Slot, SlotState]
    epoch: int | None


class Application(Protocol):
    def apply(self, entry: LogEntry) -> None: ...

    def kernel_work(self, local_ns: int) -> KernelWork | None:
        """What the kernel is to hold now, if that is something new."""

    def kernel_did(self, work: KernelWork, local_ns: int) -> None: ...

    def proposals(self, local_ns: int) -> list[bytes]: ...

    def all_slots(self) -> tuple[Slot, ...]: ...


class Shares:
    """Slots go to the least burdened admitted node, by name where several are; they move only by `Lost`."""

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.admitted: dict[str, tuple[int, int]] = {}
        """node → (incarnation, epoch)"""
        self.holders: dict[Slot, str] = {}
        self._epoch = 0
        self._changed = False

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
        for slot in SLOTS:
            if slot not in self.holders and self.admitted:
                held = list(self.holders.values())
                self.holders[slot] = min(sorted(self.admitted), key=held.count)

    def kernel_work(self, local_ns: int) -> KernelWork | None:
        incarnation, epoch = self.admitted.get(self.name, (0, 0))
        if not self._changed or incarnation != self.incarnation:
            return None  # not admitted: what a former process left runs out by itself
        self._changed = False
        mine = {slot: SlotState.OPEN for slot, holder in self.holders.items() if holder == self.name}
        return KernelWork(mine, epoch)

    def kernel_did(self, work: KernelWork, local_ns: int) -> None:
        pass

    def proposals(self, local_ns: int) -> list[bytes]:
        return []

    def all_slots(self) -> tuple[Slot, ...]:
        return SLOTS
