"""How the two hosts of a move see to it that each packet is answered once (docs/decisions/0016-held-syns.md).

Theory of operation.  The log alone decides who accepts what (LEASES.md, rule 24); here is what the holder and the
successor of slots that move together tell each other besides, sealed, and what they wait for.  Nothing of it is
needed: a message that is lost, or a host that does not answer, costs clients a repeated SYN at most.

    phase      holder                                       successor
    draining   notes SYNs, prepares,
               says `noting` ──────────────────────────►    waits SKEW, prepares, listens
               waits SKEW  ◄────────────────────────────    says `listening`
               drains; reports that to the log
               waits GUARD, says what it took ─────────►    refuses that
    split                                                   opens, takes in what it held and nobody took

Two hosts see packets at different times; SKEW is more than they differ by.  `noting` is repeated until `listening`
comes, for PATIENCE at most, and a list that is missing is asked for again, for LIST_PATIENCE at most.  To prepare is
the engine's affair (`datapath.engine.KeepsFlows`): it is waited for, as all goes on as before meanwhile, for
PREPARING at most; a successor that still does answers `noting` with `preparing`.

What becomes of UDP meanwhile is told in datagrams.py; there nothing is accepted for want of patience.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from daemon.cluster.messages import Hold, HoldTaken, UdpKept
from daemon.executor import datagrams
from daemon.state.slots import Phase, Slot
from daemon.state.state import State
from datapath.engine import Conversations, SlotState, Taken

NS_PER_MS = 1_000_000
SKEW_NS = 10 * NS_PER_MS
GUARD_NS = NS_PER_MS // 2
"""after the kernel has said that it drains: a packet that it was just judging has been noted by then"""
PATIENCE_NS = 500 * NS_PER_MS
PREPARING_NS = 10_000 * NS_PER_MS
LIST_PATIENCE_NS = 50 * NS_PER_MS
REPEAT_NS = 10 * NS_PER_MS

NOTING, PREPARING, LISTENING, ASKING, CONFIRMING = "noting", "preparing", "listening", "asking", "confirming"
"""what a Hold says; ASKING: where is the list?  CONFIRMING: of an UdpKept"""
NOBODY = ""
"""the successor of a slot that is given to none"""
DRAINS = frozenset(state for state in SlotState if state.drains)
OPENS = frozenset(state for state in SlotState if state.opens)
_PORTS, _NUMBERED = 4, 8
"""bytes of a name beside the client's address: two ports, and the initial sequence number"""


class Deed(enum.Enum):
    """What the engine is asked for (`datapath.engine.Reconciles`)."""

    PREPARE = "prepare"
    TELL = "taken"
    LISTEN = "listen"
    REFUSE = "refuse"
    RELEASE = "release"
    FORGET = "forget"
    SERVES_UDP = "whether a program could hear datagrams to the address"
    CONVERSATIONS = "conversations"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Move:
    """Slots of one address that one entry has set out from one host to another."""

    address: str
    generation: int
    holder: str
    successor: str


@dataclass(frozen=True, slots=True)
class Task:
    deed: Deed
    move: Move
    slots: frozenset[int]
    taken: Taken = field(default_factory=Taken)
    idle_ns: int = 0
    """CONVERSATIONS: those that are silent for so long are forgotten"""
    names: frozenset[bytes] = frozenset()
    """LEAVE: conversations"""


Answer = Taken | Conversations | bool
"""to TELL, to CONVERSATIONS, and to all other tasks"""
Spoken = Hold | HoldTaken | UdpKept


@dataclass(frozen=True, slots=True)
class Word:
    """A message of ours, and whom it is for."""

    to: str
    message: Spoken


class Kernel(Protocol):
    """What the kernel holds of one address."""

    @property
    def states(self) -> Mapping[int, SlotState]: ...


@dataclass(slots=True)
class _Giving:
    """The holder's part in a move."""

    slots: frozenset[int]
    since_ns: int
    is_prepared: bool | None = None
    """None: that was not asked for yet"""
    prepared_ns: int | None = None
    is_split: bool = False
    listened_ns: int | None = None
    """when the successor was first heard to listen"""
    closing: bool = False
    """once true it stays so: having drained for a generation, nothing is accepted under it again (rule 26)"""
    closed_ns: int | None = None
    """when the kernel said so"""
    asked: bool = False
    """the list is wanted, and not on its way"""
    told: HoldTaken | None = None
    said_ns: int | None = None
    udp: datagrams.Giving = field(default_factory=datagrams.Giving)

    successor_prepares_ns: int | None = None
    """when it was last heard to"""

    def patience_ends_ns(self) -> int:
        """A successor may have as much to prepare as the holder, or more."""
        if self.is_prepared is False:
            return self.since_ns + PREPARING_NS
        heard = (self.since_ns, self.prepared_ns, self.successor_prepares_ns)
        return min(max(ns for ns in heard if ns is not None), self.since_ns + PREPARING_NS) + PATIENCE_NS


@dataclass(slots=True)
class _Taking:
    """The successor's part in a move."""

    slots: frozenset[int]
    noted_ns: int | None = None
    """when the holder was first heard to note"""
    is_prepared: bool | None = None
    tried: bool = False
    listens: bool = False
    taken: Taken | None = None
    """what the holder has told, until it is refused"""
    refused: bool = False
    hopeless: bool = False
    """there is no list, and none will come"""
    split_ns: int | None = None
    may_open: bool = False
    ended: bool = False
    asked_ns: int | None = None
    udp: datagrams.Taking = field(default_factory=datagrams.Taking)


@dataclass(slots=True)
class HoldDuty:
    node: str
    incarnation: int
    revision: int = 0
    """counts what changes `kernel_state`"""
    _giving: dict[Move, _Giving] = field(default_factory=dict)
    _taking: dict[Move, _Taking] = field(default_factory=dict)
    _left: list[Task] = field(default_factory=list)
    """moves that ended while they were listened for"""
    _words: list[Word] = field(default_factory=list)

    # ---- what the state says, and what the time has come for

    def follow(self, state: State, now_ns: int) -> None:
        """Compare with the moves that are in the state, and decide what is due."""
        found = _moves(state, self.node)
        for move in self._giving.keys() - found.keys():
            del self._giving[move]
        for move in self._taking.keys() - found.keys():
            taking = self._taking.pop(move)
            if taking.tried and not taking.ended:
                self._left.append(Task(Deed.FORGET, move, taking.slots))
        for move, (slots, is_split) in found.items():
            if move.holder == self.node:
                giving = self._giving.get(move)
                if giving is None:
                    giving = self._giving[move] = _Giving(slots, now_ns)
                    if is_split:
                        giving.udp.inherit(datagrams.timeout_ns(state, move.address))
                giving.slots, giving.is_split = slots, is_split
                self._decide_to_close(move, giving, state, now_ns)
                if giving.udp.look_at_clock(now_ns):
                    self.revision += 1
            else:
                taking = self._taking.setdefault(move, _Taking(slots))
                if is_split and taking.split_ns is None:
                    taking.split_ns = now_ns
                self._decide_to_open(taking, now_ns)
                node = state.nodes.get(self.node)
                if taking.may_open and node is not None and move.generation > node.epoch:
                    self.revision += taking.udp.opens_unpromised()

    def _decide_to_close(self, move: Move, giving: _Giving, state: State, now_ns: int) -> None:
        if giving.closing:
            return
        ready = giving.listened_ns is not None and now_ns >= giving.listened_ns + SKEW_NS
        if move.successor == NOBODY:
            giving.udp.promised, ready = True, giving.udp.serves is not None
        if giving.is_prepared and giving.prepared_ns is None:
            giving.prepared_ns = now_ns
        ready = ready and giving.is_prepared is True
        if giving.is_split or ready or now_ns >= giving.patience_ends_ns():
            giving.closing = True
            if giving.udp.stage is datagrams.Keeping.UNDECIDED:
                giving.udp.decide(datagrams.timeout_ns(state, move.address))
            self.revision += 1

    def _decide_to_open(self, taking: _Taking, now_ns: int) -> None:
        if taking.split_ns is None or taking.may_open:
            return
        nothing_held = not taking.listens or taking.hopeless
        if nothing_held or taking.refused or now_ns >= taking.split_ns + LIST_PATIENCE_NS:
            taking.may_open = True
            self.revision += 1

    def kernel_state(self, address: str, slot: Slot, wish: SlotState) -> SlotState:
        """What the kernel is to hold now for what the state wishes (`Slot.wish`)."""
        move = Move(address, slot.generation, slot.holder, slot.successor or NOBODY)
        giving, taking = self._giving.get(move), self._taking.get(move)
        if wish is SlotState.DRAINING and giving is not None:
            if slot.phase is Phase.DRAINING and not giving.closing:
                return SlotState.NOTING
            return SlotState.KEEPING_UDP if giving.udp.stage is datagrams.Keeping.ALL else wish
        if wish is SlotState.OPENING and taking is not None:
            if not taking.may_open:
                return SlotState.CLOSED
            return wish if taking.udp.may_open else SlotState.LEAVING_UDP
        return wish

    def conversations(self, address: str, number: int, slot: Slot) -> tuple[int, bool]:
        """Of a slot that drains here: how many of UDP are left, and whether it has to wait for them."""
        giving = self._giving.get(Move(address, slot.generation, slot.holder, slot.successor or NOBODY))
        return (0, False) if giving is None else (giving.udp.left(number), giving.udp.waits(number))

    # ---- what there is to do

    def tasks(self, have: Mapping[str, Kernel], now_ns: int) -> list[Task]:
        """For the engine, each once; `done` tells what became of it."""
        tasks, self._left = self._left, []
        for move, giving in self._giving.items():
            self._look_at_kernel(move, giving, have, now_ns)
            if giving.is_prepared is None and _all(have, move, giving.slots, {SlotState.NOTING}):
                giving.is_prepared = False
                tasks.append(Task(Deed.PREPARE, move, giving.slots))
            if giving.asked and giving.closed_ns is not None and now_ns >= giving.closed_ns + GUARD_NS:
                giving.asked = False
                tasks.append(Task(Deed.TELL, move, giving.slots))
            if giving.udp.serves is None and not giving.closing:
                giving.udp.serves = False  # unless we hear better
                tasks.append(Task(Deed.SERVES_UDP, move, giving.slots))
            if (idle_ns := giving.udp.kernel_has(_state_of(have, move, giving.slots), now_ns)) is not None:
                tasks.append(Task(Deed.CONVERSATIONS, move, giving.slots, idle_ns=idle_ns))
        for move, taking in self._taking.items():
            deed = _due(move, taking, have, now_ns)
            if deed is not None:
                tasks.append(Task(deed, move, taking.slots, taking.taken or Taken()))
                _begin(taking, deed)
            # before they open, what is told would be taken for what was told of an earlier move
            if _all(have, move, taking.slots, OPENS) and (names := taking.udp.due()) is not None:
                tasks.append(Task(Deed.LEAVE, move, taking.slots, names=names))
        return tasks

    def _look_at_kernel(self, move: Move, giving: _Giving, have: Mapping[str, Kernel], now_ns: int) -> None:
        if giving.closing and giving.closed_ns is None and _all(have, move, giving.slots, DRAINS):
            giving.closed_ns = now_ns
            giving.asked = giving.listened_ns is not None
        due = giving.said_ns is None or now_ns >= giving.said_ns + REPEAT_NS
        waiting = not giving.closing and giving.listened_ns is None
        if due and waiting and move.successor and _all(have, move, giving.slots, {SlotState.NOTING}):
            giving.said_ns = now_ns
            self._say(move.successor, move, NOTING)

    def done(self, task: Task, answer: Answer | None) -> None:
        """What became of a task; None: it failed."""
        giving, taking = self._giving.get(task.move), self._taking.get(task.move)
        if giving is not None:
            self._gave(task, giving, answer)
        elif taking is not None:
            self._took(task, taking, answer)

    def _gave(self, task: Task, giving: _Giving, answer: Answer | None) -> None:
        if task.deed is Deed.PREPARE:
            giving.is_prepared = True
        elif task.deed is Deed.TELL:
            taken = answer if isinstance(answer, Taken) else None
            giving.told = _list_of(self.incarnation, task.move, taken, keeps_udp=giving.udp.keeps)
            self._words.append(Word(task.move.successor, giving.told))
        elif task.deed is Deed.SERVES_UDP:
            giving.udp.serves = answer is not False
        elif task.deed is Deed.CONVERSATIONS:
            self.revision += giving.udp.heard(answer if isinstance(answer, Conversations) else None)

    def _took(self, task: Task, taking: _Taking, answer: Answer | None) -> None:
        if task.deed is Deed.PREPARE:
            taking.is_prepared = True
        elif task.deed is Deed.LISTEN and answer is not None:
            taking.listens = taking.udp.promised = True
            self._say(task.move.holder, task.move, LISTENING)
        elif task.deed is Deed.REFUSE:
            taking.refused = answer is not None
            taking.hopeless = answer is None
        elif task.deed is Deed.LEAVE:
            self.revision += taking.udp.did(done=answer is not None)

    def words(self, now_ns: int) -> list[Word]:
        """What there is to say."""
        for move, taking in self._taking.items():
            missing = taking.listens and not taking.may_open and taking.taken is None
            due = taking.asked_ns is None or now_ns >= taking.asked_ns + REPEAT_NS
            if missing and due and taking.split_ns is not None:
                taking.asked_ns = now_ns
                self._say(move.holder, move, ASKING)
            elif taking.may_open and taking.udp.asks(now_ns):
                self._say(move.holder, move, ASKING)
            for number in taking.udp.confirm:
                self._say(move.holder, move, CONFIRMING, number)
            taking.udp.confirm.clear()
        for move, giving in self._giving.items():
            if giving.udp.due(now_ns) and move.successor:
                kept = datagrams.list_of(self.incarnation, move.address, move.generation, giving.udp)
                self._words.append(Word(move.successor, kept))
        words, self._words = self._words, []
        return words

    def _say(self, to: str, move: Move, what: str, number: int = 0) -> None:
        said = Hold(self.incarnation, move.address, move.generation, what, what == LISTENING, number)
        self._words.append(Word(to, said))

    # ---- what the other host says

    def heard(self, sender: str, message: Spoken, state: State, now_ns: int) -> None:
        """Of a host that the seal has named.  What belongs to no move of ours with it, or is old, means nothing."""
        node = state.nodes.get(sender)
        if node is None or node.incarnation != message.incarnation:
            return
        for move, giving in self._giving.items():
            if isinstance(message, Hold) and _is_of(message, move) and move.successor == sender:
                self._heard_successor(giving, move, message, now_ns)
        for move, taking in self._taking.items():
            if _is_of(message, move) and move.holder == sender:
                self._heard_holder(taking, move, message, now_ns)

    def _heard_successor(self, giving: _Giving, move: Move, message: Hold, now_ns: int) -> None:
        if message.what == CONFIRMING:
            giving.udp.confirm(message.number)
        elif message.what == PREPARING:
            giving.successor_prepares_ns = now_ns
        elif message.what == LISTENING and giving.listened_ns is None:
            giving.listened_ns = now_ns
            giving.udp.promised = message.leaves_udp
        elif message.what == ASKING:
            giving.udp.asked(now_ns)
            if giving.told is not None:
                self._words.append(Word(move.successor, giving.told))
            else:
                giving.asked = True

    def _heard_holder(self, taking: _Taking, move: Move, message: Spoken, now_ns: int) -> None:
        if isinstance(message, UdpKept):
            taking.udp.told(message)
        elif isinstance(message, HoldTaken):
            self.revision += taking.udp.holder_says(message.keeps_udp)
            if taking.taken is None and not taking.may_open:
                taking.taken = _taken_in(message)
                taking.hopeless = taking.taken is None
        elif message.what == NOTING:
            if taking.noted_ns is None:
                taking.noted_ns = now_ns
            elif taking.listens:
                self._say(move.holder, move, LISTENING)
            if not taking.is_prepared and taking.split_ns is None:
                self._say(move.holder, move, PREPARING)

    def deadline_ns(self) -> int | None:
        """When there is something to do although nothing happens; None: never."""
        due = [when for giving in self._giving.values() for when in _deadlines_of_giving(giving)]
        due += [when for taking in self._taking.values() for when in _deadlines_of_taking(taking)]
        return min(due, default=None)


def _moves(state: State, node: str) -> dict[Move, tuple[frozenset[int], bool]]:
    """Moves in which this node takes part: their slots, and whether the holder is known to have drained."""
    slots: dict[Move, set[int]] = {}
    split: set[Move] = set()
    for address, held in state.slots.items():
        for number, slot in held.items():
            if slot.phase in (Phase.DRAINING, Phase.SPLIT) and node in (slot.holder, slot.successor):
                move = Move(address, slot.generation, slot.holder, slot.successor or NOBODY)
                slots.setdefault(move, set()).add(number)
                if slot.phase is Phase.SPLIT:
                    split.add(move)
    return {move: (frozenset(numbers), move in split) for move, numbers in slots.items()}


def _due(move: Move, taking: _Taking, have: Mapping[str, Kernel], now_ns: int) -> Deed | None:
    """What the successor has to do next."""
    if taking.is_prepared is None and taking.split_ns is None:
        return Deed.PREPARE
    if not taking.tried:
        noted = taking.noted_ns is not None and now_ns >= taking.noted_ns + SKEW_NS
        return Deed.LISTEN if noted and taking.is_prepared and taking.split_ns is None else None
    if taking.ended or not taking.listens:
        return None
    if taking.taken is not None and not taking.refused and not taking.hopeless and not taking.may_open:
        return Deed.REFUSE
    if taking.may_open and _all(have, move, taking.slots, OPENS):
        return Deed.RELEASE if taking.refused else Deed.FORGET
    return None


def _begin(taking: _Taking, deed: Deed) -> None:
    if deed is Deed.PREPARE:
        taking.is_prepared = False
    elif deed is Deed.LISTEN:
        taking.tried = True
    elif deed in (Deed.RELEASE, Deed.FORGET):
        taking.ended = True


def _all(have: Mapping[str, Kernel], move: Move, slots: Iterable[int], states: Collection[SlotState]) -> bool:
    kernel = have.get(move.address)
    return kernel is not None and all(kernel.states.get(number) in states for number in slots)


def _state_of(have: Mapping[str, Kernel], move: Move, slots: Iterable[int]) -> SlotState | None:
    """Of all of these in the kernel that are not over there; None where they differ, or all are."""
    kernel = have.get(move.address)
    states = {kernel.states.get(number, SlotState.CLOSED) for number in slots} if kernel is not None else set()
    states.discard(SlotState.CLOSED)
    return states.pop() if len(states) == 1 else None


def _is_of(message: Spoken, move: Move) -> bool:
    return (message.address, message.generation) == (move.address, move.generation)


def _list_of(incarnation: int, move: Move, taken: Taken | None, *, keeps_udp: bool) -> HoldTaken:
    told = taken or Taken()
    lengths = {len(syn) - _NUMBERED for syn in told.syns} | {len(flow) - _PORTS for flow in told.flows}
    return HoldTaken(
        incarnation,
        move.address,
        move.generation,
        is_whole=taken is not None and len(lengths) <= 1,
        client_bytes=max(lengths, default=0),
        syns=b"".join(sorted(told.syns)),
        flows=b"".join(sorted(told.flows)),
        keeps_udp=keeps_udp,
    )


def _taken_in(message: HoldTaken) -> Taken | None:
    """What the holder told; None where it could not tell, or it makes no sense."""
    syn_bytes, flow_bytes = message.client_bytes + _NUMBERED, message.client_bytes + _PORTS
    nothing = not message.syns and not message.flows
    if not message.is_whole or message.client_bytes not in ((0, 4, 16) if nothing else (4, 16)):
        return None
    if len(message.syns) % syn_bytes or len(message.flows) % flow_bytes:
        return None
    syns = (message.syns[at : at + syn_bytes] for at in range(0, len(message.syns), syn_bytes))
    flows = (message.flows[at : at + flow_bytes] for at in range(0, len(message.flows), flow_bytes))
    return Taken(frozenset(syns), frozenset(flows))


def _deadlines_of_giving(giving: _Giving) -> list[int]:
    if not giving.closing:
        due = [giving.patience_ends_ns()]
        if giving.listened_ns is not None:
            due += [giving.listened_ns + SKEW_NS] if giving.is_prepared else []
        elif giving.said_ns is not None:
            due.append(giving.said_ns + REPEAT_NS)
        return due
    due = [giving.closed_ns + GUARD_NS] if giving.asked and giving.closed_ns is not None else []
    udp_ns = giving.udp.deadline_ns()
    return due if udp_ns is None else [*due, udp_ns]


def _deadlines_of_taking(taking: _Taking) -> list[int]:
    if taking.may_open:
        udp_ns = taking.udp.deadline_ns()
        return [] if udp_ns is None else [udp_ns]
    if not taking.tried:
        listens = taking.noted_ns is not None and taking.is_prepared and taking.split_ns is None
        return [taking.noted_ns + SKEW_NS] if taking.noted_ns is not None and listens else []
    if taking.split_ns is None:
        return []
    due = [taking.split_ns + LIST_PATIENCE_NS]
    if taking.asked_ns is not None:
        due.append(taking.asked_ns + REPEAT_NS)
    return due
