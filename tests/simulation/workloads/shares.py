"""The least that exercises the leases, and quick: four slots, each held by an admitted node.

What a lost node held goes to the others.
"""

from __future__ import annotations

import random

import msgspec

from daemon.cluster.core import Core
from daemon.cluster.records import Admit, Command, LogEntry, Lost, Request, Roster
from datapath.engine import SlotState
from tests.simulation.application import Application, Draft, KernelWork, Work
from tests.simulation.kernel import Slot

Frozen = tuple[int, dict[str, tuple[int, int]], list[tuple[Slot, str]], list[str], str, bytes]


class Shares:
    """Slots go to the least burdened admitted node, by name where several are; they move only by `Lost`."""

    SLOTS = tuple(("VIP", number) for number in range(4))

    def __init__(self, name: str, incarnation: int, padding_bytes: int, tie_breaker: str) -> None:
        self.name = name
        self.incarnation = incarnation
        self.admitted: dict[str, tuple[int, int]] = {}
        """node → (incarnation, epoch)"""
        self.holders: dict[Slot, str] = {}
        self._leaving: frozenset[str] = frozenset()
        self._tie_breaker = tie_breaker
        self._applied = 0
        self._padding_bytes = padding_bytes
        self._enforced: int | None = None
        self._changed = self._busy = False

    def apply(self, entry: LogEntry) -> None:
        command = entry.command
        self._applied = entry.index
        if isinstance(command, Admit):
            self.admitted[command.node] = (command.incarnation, entry.index)
        elif isinstance(command, Lost):
            self.admitted.pop(command.node, None)
            self.holders = {slot: holder for slot, holder in self.holders.items() if holder != command.node}
        else:
            self._note_wishes(command)
            return
        self._give_out()
        self._changed = True

    def _note_wishes(self, command: Command) -> None:
        if isinstance(command, Roster):
            self._leaving &= {member.name for member in command.members}
        elif isinstance(command, Request):
            match command.body.decode().split(" "):
                case ["retire", name, _]:
                    self._leaving |= {name}
                case ["ties", name, _]:
                    self._tie_breaker = name

    def _give_out(self) -> None:
        for slot in self.SLOTS:
            if slot not in self.holders and self.admitted:
                held = list(self.holders.values())
                self.holders[slot] = min(sorted(self.admitted), key=held.count)

    def freeze(self) -> bytes:
        padding = random.Random(self._applied).randbytes(self._padding_bytes)
        return msgspec.msgpack.encode(
            (
                self._applied,
                self.admitted,
                sorted(self.holders.items()),
                sorted(self._leaving),
                self._tie_breaker,
                padding,
            )
        )

    def thaw(self, body: bytes) -> None:
        frozen = msgspec.msgpack.decode(body, type=Frozen)
        self._applied, self.admitted, holders, leaving, self._tie_breaker, _ = frozen
        self._leaving = frozenset(leaving)
        self.holders = dict(holders)
        self._changed = True

    def draft(self, number: int, members: list[str], rng: random.Random) -> Draft:
        return Draft(f"edit {number}".encode(), None)

    def drain(self, members: list[str], rng: random.Random) -> bytes | None:
        return None

    def removal(self, name: str, number: int) -> bytes:
        return f"retire {name} {number}".encode()

    def wish(self, tie_breaker: str, number: int) -> Draft:
        return Draft(f"ties {tie_breaker} {number}".encode(), None)

    def leaving(self) -> frozenset[str]:
        return self._leaving

    def tie_breaker(self) -> str:
        return self._tie_breaker

    def register(self) -> int | None:
        return None

    is_overlaid = False

    def without_quorum(self, core: Core, local_ns: int) -> int | None:
        return None

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

    def outcome_is_unknown(self, ticket: int) -> None:
        pass

    def lease(self, until_ns: int) -> None:
        pass

    def deadline_ns(self, local_ns: int) -> int | None:
        return None

    def concerned(self) -> set[str]:
        return set(self.holders.values())

    def slots(self) -> list[Slot]:
        return list(self.SLOTS)

    def digest(self) -> object:
        return (sorted(self.admitted.items()), sorted(self.holders.items()))


class SharesWorkload:
    def __init__(
        self, snapshot_entries: tuple[int, ...] = (3, 8, 20), padding_bytes: int = 9_000, tie_breaker: str = ""
    ) -> None:
        """`padding_bytes` are added to each snapshot, so that it takes several pieces.

        `tie_breaker`: who is wished to be one from the start.
        """
        self.snapshot_entries = snapshot_entries
        self._padding_bytes = padding_bytes
        self._tie_breaker = tie_breaker

    def application(self, name: str, founders: list[str], incarnation: int, rng: random.Random) -> Application:
        return Shares(name, incarnation, self._padding_bytes, self._tie_breaker)

    def edit(self, number: int, members: list[str], rng: random.Random) -> bytes:
        return f"edit {number}".encode()
