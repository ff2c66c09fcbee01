"""The bpf engine's part in moves that answer each packet once (`datapath.engine.Reconciles`).

Held SYNs come in by the interface that they came by: they are sent out with a mark by which the program on egress
turns them round, before anything is on the wire.  So firewalls, SO_BINDTODEVICE and the slots judge them as ever,
and one that the wire brought at the moment of opening as well is not accepted twice.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from datapath.bpf.marks import Marks
from datapath.bpf.program import Program
from datapath.bpf.tables import Row
from datapath.bpf.talks import Talks
from datapath.engine import NOTES, Conversations, DatapathError, SlotState, Taken, Wish
from datapath.flows import half_open_flows
from datapath.hold import datagrams
from datapath.hold.listening import Listening
from datapath.hold.syns import TAKEN_MAX, check
from datapath.packet_socket import interface_mac, open_deaf

RETURNING = 0x76697061
"""the mark (slots.bpf.c); no packet has it before it is sent here, or after the program has seen it"""
_SO_MARK = 36
_OPENING = frozenset({SlotState.OPENING, SlotState.LEAVING_UDP})
_GENTLE = NOTES | _OPENING


@dataclass(frozen=True, slots=True)
class _Refused:
    """A list of an old owner's, as it is in the map."""

    slots: frozenset[tuple[int, int]]
    """(number of the address, slot)"""
    keys: Sequence[bytes]


class Holds:
    """Of one engine; the program in each call is the one that judges now."""

    def __init__(self) -> None:
        self.listening = Listening()
        self._sender: socket.socket | None = None
        self._refused: list[_Refused] = []

    def close(self) -> None:
        self.listening.close()
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    # the old owner

    def begin_noting(self, program: Program | None, held: Iterable[Wish], wanted: Iterable[Wish]) -> list[Wish]:
        """Before `wanted` is in force: forget what the slots that begin to note took when they last moved.

        Returns those, to be followed up by `note_half_open`.
        """
        before = {wish.address: wish.states for wish in held}
        fresh = []
        for wish in wanted:
            held_states = before.get(wish.address, {})
            states = {
                slot: state
                for slot, state in wish.states.items()
                if state is SlotState.NOTING and held_states.get(slot) not in NOTES
            }
            if states:
                fresh.append(Wish(wish.address, states))
        if program is not None and fresh:
            Marks(program).begin_noting(_slots_in(program.tables.rows(), NOTES))
        if program is not None and any(_begins(wish, before.get(wish.address, {})) for wish in wanted):
            Talks(program).keep(_slots_in(program.tables.rows(), _GENTLE))
        return fresh

    def note_half_open(self, program: Program, fresh: Sequence[Wish]) -> None:
        """Once they note: connections whose SYN was answered before."""
        rows = _rows(program)
        for wish in fresh:
            address = wish.address
            try:
                Marks(program).note_flows(
                    rows[address.resource].index, address, half_open_flows(address.ip, TAKEN_MAX)
                )
            except DatapathError:
                Marks(program).miss()

    def taken(self, program: Program, resource: str, slots: Collection[int]) -> Taken:
        row = _row(program, resource)
        return Marks(program).seen(row.index, row.wish.address, slots)

    def conversations(self, program: Program, resource: str, slots: Collection[int], idle_ns: int) -> Conversations:
        row = _row(program, resource)
        forgets = {slot for slot, state in row.wish.states.items() if state is SlotState.DRAINING}
        return Talks(program).heard(row, slots, idle_ns, forgets)

    # the new owner

    def leave(self, program: Program, resource: str, slots: Collection[int], names: Collection[bytes]) -> None:
        row = _row(program, resource)
        datagrams.check(names, row.wish.address)
        Talks(program).leave(row, slots, names)

    def refuse(self, program: Program, resource: str, slots: Collection[int], taken: Taken) -> None:
        row = _row(program, resource)
        check(taken, row.wish.address)
        marks = Marks(program)
        opening = _slots_in(program.tables.rows(), _OPENING) - {(row.index, slot) for slot in slots}
        for refused in [refused for refused in self._refused if refused.slots.isdisjoint(opening)]:
            self._refused.remove(refused)
            marks.forget(refused.keys)
        keys = marks.refuse(row.index, row.wish.address, taken)
        self._refused.append(_Refused(frozenset((row.index, slot) for slot in slots), keys))
        self.listening.refuse(resource, slots, taken)

    def release(self, program: Program, resource: str, slots: Collection[int]) -> int:
        # all at once, and the tap is deaf before: it would hear those that turn round
        frames = self.listening.end(resource, slots)
        if frames:
            self._turn_round(_row(program, resource).wish.address.interface, frames)
        return len(frames)

    def _turn_round(self, interface: str, frames: Sequence[bytes]) -> None:
        sock = self._way_back()
        # should one get out in spite of all, then no switch learns a client's MAC at this port by it
        own = interface_mac(sock, interface)
        try:
            for frame in frames:
                sock.sendto(frame[:6] + own + frame[12:], (interface, 0))
        except OSError as error:
            raise DatapathError(f"cannot take in held SYNs on {interface}: {error.strerror or error}") from error

    def _way_back(self) -> socket.socket:
        """Kept open: the kernel takes ten milliseconds to close a packet socket."""
        if self._sender is None:
            self._sender = open_deaf()
            self._sender.setsockopt(socket.SOL_SOCKET, _SO_MARK, RETURNING)
        return self._sender


def _rows(program: Program) -> Mapping[str, Row]:
    return {row.wish.address.resource: row for row in program.tables.rows()}


def _row(program: Program, resource: str) -> Row:
    row = _rows(program).get(resource)
    if row is None:
        raise DatapathError(f"there is no address {resource!r} on this host")
    return row


def _begins(wish: Wish, before: Mapping[int, SlotState]) -> bool:
    """Whether some slot begins to move gently: what was known of it in an earlier move means nothing."""
    return any(state in _GENTLE and before.get(slot) not in _GENTLE for slot, state in wish.states.items())


def _slots_in(rows: Sequence[Row], states: Collection[SlotState]) -> frozenset[tuple[int, int]]:
    """(number of the address, slot) of all slots in one of these states."""
    return frozenset(
        (row.index, slot) for row in rows for slot, state in row.wish.states.items() if state in states
    )
