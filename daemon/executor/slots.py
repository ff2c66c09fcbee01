"""From slot holders in the state to slot states in this node's kernel, and back as reports.

Theory of operation.  The state says for each slot who holds it, who succeeds, in which phase and under which
generation (LEASES.md, 22 to 28).  This node wants of its kernel what `State.wishes` says, less what the *latch*
forbids: having closed for a generation it never reopens under it, whatever an older applied state says (rule 26).
What the kernel has done is reported until the state shows that it knows; nothing is remembered that the state could
tell.

    holder, phase      kernel       report
    open               OPEN         opened
    draining           NOTING       -         for as long as `holds` prepares
                       DRAINING     drained   (from now on the successor may be OPENING)
    split              DRAINING     -         until no flow is left or the drain time-out passes on *our* clock (28);
                                              KEEPING_UDP first, where conversations stay (datagrams.py)
    split, latched     CLOSED       closed
    closing            CLOSED       closed

An address that the kernel does not hold at all accepts nothing: it counts as closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from daemon.executor.holds import HoldDuty
from daemon.executor.progress import Left
from daemon.model.values import BadValue, parse_duration_ms
from daemon.state.commands import Cleanup, Slots
from daemon.state.slots import Phase, Slot
from daemon.state.state import State
from datapath.engine import SlotState

NS_PER_MS = 1_000_000
PARAMETER = "drain_timeout"
"""of an address: it goes before the host's setting"""


@dataclass(frozen=True, slots=True)
class AddressWant:
    """One address as the kernel shall hold it: slots that are not named are closed."""

    definition: str
    """digest of the address' parameters: another one must be applied although no slot changed"""
    states: Mapping[int, SlotState]


Wanted = dict[str, AddressWant]
"""by the primitive's id"""


@dataclass(frozen=True, slots=True)
class Count:
    """Whose remaining flows are to be counted: one listing for all slots of an address that drain here."""

    address: str
    slots: tuple[tuple[int, int], ...]
    """slot and its generation"""


@dataclass(slots=True)
class DrainProgress:
    """How far a slot is that its holder serves to its last flow."""

    generation: int
    since_ns: int
    """when, on our clock, a successor was let in (LEASES.md, rule 28)"""
    flows: int | None = None
    """by the newest count; None: not counted yet"""
    conversations: int = 0
    """of UDP"""


@lru_cache(maxsize=256)
def drain_timeout_ns(text: str, default_ns: int) -> int:
    """What `drain_timeout` says; the default for an empty one, and for what is no time."""
    try:
        return parse_duration_ms(text.strip()) * NS_PER_MS if text.strip() else default_ns
    except BadValue:
        return default_ns


@dataclass(slots=True)
class SlotDuty:
    """One node's slots.  `want` is recomputed from every state; `have` is what the kernel acknowledged."""

    node: str
    incarnation: int
    drain_timeout_ns: int
    want: Wanted = field(default_factory=dict)
    have: Wanted = field(default_factory=dict)
    known: bool = False
    """whether `have` is what the kernel holds: at first a former process's slots may still be there (rule 19)"""
    drains: dict[tuple[str, int], DrainProgress] = field(default_factory=dict)
    """slots that are served here to their last flow; (address, slot) → how far that is"""
    have_generation: dict[tuple[str, int], int] = field(default_factory=dict)
    latched: dict[tuple[str, int], int] = field(default_factory=dict)
    """(address, slot) → generation for which it was closed by us"""
    broken: dict[tuple[str, int], int] = field(default_factory=dict)
    """of those latched because time was up: the flows that were left"""
    _to_end: set[tuple[str, int]] = field(default_factory=set)
    """of those: whose flows are still to be ended, once the kernel has closed the slot"""
    holds: HoldDuty | None = None
    """what answers each SYN once while slots move; None: they move without"""
    failed: dict[str, tuple[AddressWant, str]] = field(default_factory=dict)
    """address → what the kernel could not be made to hold, and why; not tried again until either changes"""

    waiting: frozenset[str] = frozenset()
    """addresses that the shell does not have in the kernel yet: it is asking the segment whether they are free"""

    _looked_at: tuple[State, int, dict[tuple[str, int], int], bool, int] | None = None
    """state, its index, the latches, the silence and the holds that `want` was computed from: between two entries
    nothing else changes"""

    silenced: bool = False
    """this kernel is to hold nothing, whatever the state says (`vipcast panic`)"""

    ailment: str | None = None
    """why packets are not moved although the kernel holds what it should (an engine's helper process is gone)"""

    mended: frozenset[str] = frozenset()
    """addresses that were refused here for want of something on this host that is there now"""

    def update(self, state: State, now_ns: int) -> bool:
        """Recompute what is wanted; True where the kernel has to be told."""
        if self.holds is not None:
            self.holds.follow(state, now_ns)
        revision = self.holds.revision if self.holds is not None else 0
        looked_at = self._looked_at
        means = (state.index, self.latched, self.silenced, revision)
        if looked_at is None or looked_at[0] is not state or looked_at[1:] != means:
            self._recompute(state, now_ns)
            self._looked_at = (state, state.index, dict(self.latched), self.silenced, revision)
        return self.needs_kernel()

    def look_again(self) -> None:
        """The state goes on to change under the same index."""
        self._looked_at = None

    def _recompute(self, state: State, now_ns: int) -> None:
        want: Wanted = {}
        wishes = {} if self.silenced else state.wishes(self.node)
        for address, states in wishes.items():
            slots = state.slots.get(address, {})
            open_states = {
                number: self._kernel_state(address, slots.get(number), wish)
                for number, wish in states.items()
                if not self._is_latched(address, number, slots)
            }
            open_states = {
                number: kernel for number, kernel in open_states.items() if kernel is not SlotState.CLOSED
            }
            want[address] = AddressWant(state.in_force[address].definition, open_states)
        self.want = want
        self.failed = {a: f for a, f in self.failed.items() if want.get(a) == f[0]}
        self._note_draining(state, now_ns)
        self.latched = {
            key: generation
            for key, generation in self.latched.items()
            if (slot := state.slots.get(key[0], {}).get(key[1])) is not None and slot.generation == generation
        }
        self.broken = {key: flows for key, flows in self.broken.items() if key in self.latched}

    def _kernel_state(self, address: str, slot: Slot | None, wish: SlotState) -> SlotState:
        if self.holds is None or slot is None:
            return wish
        return self.holds.kernel_state(address, slot, wish)

    def needs_kernel(self) -> bool:
        return not self.known or self.attainable() != self.have

    def attainable(self) -> Wanted:
        """What is wanted and need not wait; of what the kernel has refused, that which it still holds."""
        out = self.failed.keys() | self.waiting
        wanted = {address: want for address, want in self.want.items() if address not in out}
        return wanted | {address: self.have[address] for address in self.failed if address in self.have}

    def to_tell(self) -> Wanted:
        """What the shell is told: the attainable, and what waits, which it adds once the segment has answered."""
        waiting = self.waiting - self.failed.keys()
        return self.attainable() | {address: self.want[address] for address in waiting & self.want.keys()}

    def retry(self) -> None:
        """Try again what the kernel refused (the shell calls it now and then, and after a cleanup)."""
        self.failed.clear()

    def lost(self, addresses: Iterable[str]) -> None:
        """This host has lost what these need: the kernel is told again, and says what is missing.

        Until it has, it may hold them as before, and nothing is reported of them (rule 22).
        """
        gone = frozenset(addresses)
        self.have = {address: want for address, want in self.have.items() if address not in gone}
        self.have_generation = {key: g for key, g in self.have_generation.items() if key[0] not in gone}

    def _is_latched(self, address: str, number: int, slots: Mapping[int, Slot]) -> bool:
        slot = slots.get(number)
        return slot is not None and self.latched.get((address, number)) == slot.generation

    def _note_draining(self, state: State, now_ns: int) -> None:
        draining = {(address, number): slot.generation for address, number, slot in self._to_empty(state)}
        for key, generation in draining.items():
            if key not in self.drains or self.drains[key].generation != generation:
                self.drains[key] = DrainProgress(generation, now_ns)
        for key in self.drains.keys() - draining.keys():
            del self.drains[key]

    def _to_empty(self, state: State) -> list[tuple[str, int, Slot]]:
        """Slots that we still serve to their last flow while a successor takes the new ones."""
        return [
            (address, number, slot)
            for address, slots in state.slots.items()
            for number, slot in slots.items()
            if slot.holder == self.node and slot.phase is Phase.SPLIT
        ]

    def watch_flows(self, state: State) -> list[Count]:
        """What the shell should count, for `flows_left`."""
        found: dict[str, dict[int, int]] = defaultdict(dict)
        for address, number, slot in self._to_empty(state):
            if self.latched.get((address, number)) != slot.generation:
                found[address][number] = slot.generation
        return [Count(address, tuple(slots.items())) for address, slots in found.items()]

    def still_watched(self, state: State, count: Count) -> list[int]:
        """Those of its slots that still drain under the same generation: it says nothing about others."""
        of_address = state.slots.get(count.address, {})
        return [n for n, generation in count.slots if n in of_address and of_address[n].generation == generation]

    def flows_left(self, state: State, address: str, number: int, flows: int, now_ns: int) -> None:
        """How many a slot of `watch_flows` has; closes it for good where none is left or time is up."""
        slot = state.slots.get(address, {}).get(number)
        if slot is None or slot.holder != self.node or slot.phase is not Phase.SPLIT:
            return
        progress = self.drains.setdefault((address, number), DrainProgress(slot.generation, now_ns))
        progress.flows = flows
        progress.conversations, waits = (
            (0, False) if self.holds is None else self.holds.conversations(address, number, slot)
        )
        if (flows or waits) and now_ns - progress.since_ns < self.timeout_ns(state, address):
            return
        if flows:
            self.broken[address, number] = flows
            self._to_end.add((address, number))
        self.latched[address, number] = slot.generation

    def left(self, state: State, now_ns: int) -> dict[tuple[str, int], tuple[int, Left]]:
        """(address, slot) → generation and what it waits for, of slots that drain here and were counted."""
        return {
            key: (
                progress.generation,
                Left(progress.flows, self._left_ms(state, key[0], progress, now_ns), progress.conversations),
            )
            for key, progress in self.drains.items()
            if progress.flows is not None
        }

    def _left_ms(self, state: State, address: str, progress: DrainProgress, now_ns: int) -> int:
        return max(0, progress.since_ns + self.timeout_ns(state, address) - now_ns) // NS_PER_MS

    def take_to_end(self) -> list[tuple[str, frozenset[int]]]:
        """Slots whose flows are to be ended now, each once: the time was up, and they reach us no more.

        Nobody else ever would: their clients are told by the new owner, and what is left here would be waited for
        when the slot moves the next time.
        """
        closed = [
            (address, number)
            for address, number in sorted(self._to_end)
            if address not in self.have or number not in self.have[address].states
        ]
        self._to_end.difference_update(closed)
        by_address: dict[str, set[int]] = defaultdict(set)
        for address, number in closed:
            by_address[address].add(number)
        return [(address, frozenset(slots)) for address, slots in by_address.items()]

    def timeout_ns(self, state: State, address: str) -> int:
        """How long a slot of the address is drained at most: its `drain_timeout`, or this host's setting."""
        driven = state.in_force.get(address)
        return drain_timeout_ns(
            "" if driven is None else driven.parameters.get(PARAMETER, ""), self.drain_timeout_ns
        )

    def kernel_did(self, state: State, applied: Wanted, failures: Mapping[str, str]) -> None:
        """The engine acknowledged `applied`; addresses in `failures` were not applied, each with its reason."""
        self.have, self.known = applied, True
        self.failed |= {a: (self.want[a], reason) for a, reason in failures.items() if a in self.want}
        self.note_generations(state)

    def note_generations(self, state: State) -> None:
        """The kernel holds what this state wants: another generation may ask for what was there already."""
        self.have_generation = {
            (address, number): slot.generation
            for address, slots in state.slots.items()
            for number, slot in slots.items()
        }

    def reports(self, state: State) -> list[Slots]:
        """What the state does not know yet, one command an address and kind."""
        found: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        for address, slots in state.slots.items():
            have = self.have.get(address)
            is_meant = address in self.want and self.node not in state.ready.get(address, ())
            if have is not None and is_meant:
                found[address, "ready"] = {}
            for number, slot in slots.items():
                if slot.holder != self.node or self.have_generation.get((address, number)) != slot.generation:
                    continue
                kernel = SlotState.CLOSED if have is None else have.states.get(number, SlotState.CLOSED)
                what = self._report_of(address, number, slot, kernel)
                if what is not None:
                    found[address, what][number] = slot.generation
        commands = [
            Slots(
                self.node,
                self.incarnation,
                address,
                what,
                generations,
                broken=self._broken(address, what, generations),
            )
            for (address, what), generations in found.items()
        ]
        commands += [
            Slots(self.node, self.incarnation, address, "failed", {}, reason)
            for address, reason in self._failures().items()
            if address in state.slots and (address, self.node) not in state.refusals
        ]
        return commands

    def _broken(self, address: str, what: str, numbers: Iterable[int]) -> dict[int, int]:
        counts = ((number, self.broken.get((address, number), 0)) for number in numbers)
        return {number: flows for number, flows in counts if flows} if what == "closed" else {}

    def returns(self, state: State) -> list[Cleanup]:
        """What may be tried here again, as after a person's cleanup."""
        return [
            Cleanup(address, self.node, self.node)
            for address in sorted(self.mended)
            if (address, self.node) in state.refusals and address not in self.failed
        ]

    def _failures(self) -> dict[str, str]:
        """Addresses that are not served here as they should be, each with the reason; told until the state knows."""
        failures = {address: reason for address, (_, reason) in self.failed.items()}
        if self.ailment is not None:
            failures |= dict.fromkeys(self.have, self.ailment)
        return failures

    def _report_of(self, address: str, number: int, slot: Slot, kernel: SlotState) -> str | None:
        if slot.phase is Phase.OPEN and not slot.opened and kernel is SlotState.OPEN:
            return "opened"
        if slot.phase is Phase.DRAINING and (kernel.drains or kernel is SlotState.CLOSED):
            return "drained"
        if slot.phase is Phase.SPLIT and kernel is SlotState.CLOSED:
            gone = address not in self.have or self.latched.get((address, number)) == slot.generation
            return "closed" if gone else None
        if slot.phase is Phase.CLOSING and kernel is SlotState.CLOSED:
            self.latched[address, number] = slot.generation
            return "closed"
        return None
