"""From slot holders in the state to slot states in this node's kernel, and back as reports.

Theory of operation.  The state says for each slot who holds it, who succeeds, in which phase and under which
generation (LEASES.md, 22 to 28).  This node wants of its kernel what `State.wishes` says, less what the *latch*
forbids: having closed for a generation it never reopens under it, whatever an older applied state says (rule 26).
What the kernel has done is reported until the state shows that it knows; nothing is remembered that the state could
tell.

    holder, phase      kernel       report
    open               OPEN         opened
    draining           DRAINING     drained   (from now on the successor may be OPENING)
    split              DRAINING     -         until no flow is left or the drain time-out passes on *our* clock (28)
    split, latched     CLOSED       closed
    closing            CLOSED       closed

An address that the kernel does not hold at all accepts nothing: it counts as closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.state.commands import Slots
from daemon.state.slots import Phase, Slot
from daemon.state.state import State
from datapath.engine import SlotState

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class AddressWant:
    """One address as the kernel shall hold it: slots that are not named are closed."""

    definition: str
    """digest of the address' parameters: another one must be applied although no slot changed"""
    states: Mapping[int, SlotState]


Wanted = dict[str, AddressWant]
"""by the primitive's id"""


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
    have_generation: dict[tuple[str, int], int] = field(default_factory=dict)
    latched: dict[tuple[str, int], int] = field(default_factory=dict)
    """(address, slot) → generation for which it was closed by us"""
    draining_since_ns: dict[tuple[str, int], int] = field(default_factory=dict)
    failed: dict[str, tuple[AddressWant, str]] = field(default_factory=dict)
    """address → what the kernel could not be made to hold, and why; not tried again until either changes"""

    _looked_at: tuple[State, int, dict[tuple[str, int], int]] | None = None
    """state, its index and the latches that `want` was computed from: between two entries nothing changes"""

    ailment: str | None = None
    """why packets are not moved although the kernel holds what it should (an engine's helper process is gone)"""

    def update(self, state: State, now_ns: int) -> bool:
        """Recompute what is wanted; True where the kernel has to be told."""
        looked_at = self._looked_at
        if looked_at is None or looked_at[0] is not state or looked_at[1:] != (state.index, self.latched):
            self._recompute(state, now_ns)
            self._looked_at = (state, state.index, dict(self.latched))
        return self.needs_kernel()

    def _recompute(self, state: State, now_ns: int) -> None:
        want: Wanted = {}
        for address, states in state.wishes(self.node).items():
            slots = state.slots.get(address, {})
            open_states = {
                number: wish
                for number, wish in states.items()
                if wish is not SlotState.CLOSED and not self._is_latched(address, number, slots)
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

    def needs_kernel(self) -> bool:
        return not self.known or self.attainable() != self.have

    def attainable(self) -> Wanted:
        """What is wanted; of what the kernel has refused, that which it still holds."""
        wanted = {address: want for address, want in self.want.items() if address not in self.failed}
        return wanted | {address: self.have[address] for address in self.failed if address in self.have}

    def retry(self) -> None:
        """Try again what the kernel refused (the shell calls it now and then, and after a cleanup)."""
        self.failed.clear()

    def _is_latched(self, address: str, number: int, slots: Mapping[int, Slot]) -> bool:
        slot = slots.get(number)
        return slot is not None and self.latched.get((address, number)) == slot.generation

    def _note_draining(self, state: State, now_ns: int) -> None:
        draining = {(address, number) for address, number, _ in self._to_empty(state)}
        for key in draining:
            self.draining_since_ns.setdefault(key, now_ns)
        for key in self.draining_since_ns.keys() - draining:
            del self.draining_since_ns[key]

    def _to_empty(self, state: State) -> list[tuple[str, int, Slot]]:
        """Slots that we still serve to their last flow while a successor takes the new ones."""
        return [
            (address, number, slot)
            for address, slots in state.slots.items()
            for number, slot in slots.items()
            if slot.holder == self.node and slot.phase is Phase.SPLIT
        ]

    def watch_flows(self, state: State) -> list[tuple[str, int]]:
        """(address, slot) whose remaining flows the shell should count, for `flows_left`."""
        return [(a, n) for a, n, s in self._to_empty(state) if self.latched.get((a, n)) != s.generation]

    def flows_left(self, state: State, address: str, number: int, flows: int, now_ns: int) -> None:
        """The count for one of `watch_flows`; closes the slot for good where none is left or time is up."""
        slot = state.slots.get(address, {}).get(number)
        if slot is None or slot.holder != self.node or slot.phase is not Phase.SPLIT:
            return
        since = self.draining_since_ns.get((address, number), now_ns)
        if flows == 0 or now_ns - since >= self.drain_timeout_ns:
            self.latched[address, number] = slot.generation

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
            if have is not None and self.node not in state.ready.get(address, ()):
                found[address, "ready"] = {}
            for number, slot in slots.items():
                if slot.holder != self.node or self.have_generation.get((address, number)) != slot.generation:
                    continue
                kernel = SlotState.CLOSED if have is None else have.states.get(number, SlotState.CLOSED)
                what = self._report_of(address, number, slot, kernel)
                if what is not None:
                    found[address, what][number] = slot.generation
        commands = [
            Slots(self.node, self.incarnation, address, what, generations)
            for (address, what), generations in found.items()
        ]
        commands += [
            Slots(self.node, self.incarnation, address, "failed", {}, reason)
            for address, reason in self._failures().items()
            if address in state.slots and (address, self.node) not in state.refusals
        ]
        return commands

    def _failures(self) -> dict[str, str]:
        """Addresses that are not served here as they should be, each with the reason; told until the state knows."""
        failures = {address: reason for address, (_, reason) in self.failed.items()}
        if self.ailment is not None:
            failures |= dict.fromkeys(self.have, self.ailment)
        return failures

    def _report_of(self, address: str, number: int, slot: Slot, kernel: SlotState) -> str | None:
        if slot.phase is Phase.OPEN and not slot.opened and kernel is SlotState.OPEN:
            return "opened"
        if slot.phase is Phase.DRAINING and kernel in {SlotState.DRAINING, SlotState.CLOSED}:
            return "drained"
        if slot.phase is Phase.SPLIT and kernel is SlotState.CLOSED:
            gone = address not in self.have or self.latched.get((address, number)) == slot.generation
            return "closed" if gone else None
        if slot.phase is Phase.CLOSING and kernel is SlotState.CLOSED:
            self.latched[address, number] = slot.generation
            return "closed"
        return None
