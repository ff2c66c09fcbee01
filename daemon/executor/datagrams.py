"""UDP in a move: which conversations stay with the holder, and until when (docs/decisions/0029-udp-drains.md).

Theory of operation.  A datagram does not show whether it begins a conversation.  So when a slot is split all UDP stays
with the holder for `udp_timeout`; whoever is heard of in that time has a conversation there, all others have none.
The holder then takes these conversations alone, tells the successor their names, and that one takes all others.  A
conversation of which nothing is heard for `udp_timeout` is ended by the holder, who tells what is left.

    holder                                          successor
    KEEPING_UDP   takes all UDP, notes whose        LEAVING_UDP   takes none
    DRAINING      takes the conversations that      OPENING       takes none of those that it was told,
                  it knows                                        and all others

No clock of two hosts is compared.  The holder first stops taking, and tells then; the successor takes only what it was
told to be free, and until it is told anything it takes nothing.  What is lost on the way is said again: a list until it
is confirmed, the question for it until it is answered.  So nothing is accepted twice; what a lost message costs is
datagrams that nobody takes meanwhile.  The end of the drain, or of the holder's lease, is the log's to tell.

The holder keeps UDP only if the successor has promised to leave it (an earlier version does not), if there is a
program that could hear it, and if `udp_timeout` is not 0.  A process that began after the move did does not know
what was promised: as the successor it leaves all UDP and asks, as the holder it goes on with what its kernel knows.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.cluster.messages import UdpKept
from daemon.model.values import BadValue, parse_duration_ms
from daemon.state.state import State
from datapath.engine import Conversations, SlotState

NS_PER_MS = 1_000_000
PARAMETER = "udp_timeout"
"""of an address"""
TIMEOUT_NS = 30_000 * NS_PER_MS
"""without that parameter"""
TIMEOUT_MAX_NS = 3_600_000 * NS_PER_MS
"""engines remember no longer"""
LOOK_NS = 1_000 * NS_PER_MS
"""how often the holder looks who has fallen silent"""
SKEW_NS = 10 * NS_PER_MS
"""after a conversation was forgotten nobody else may take it before this: hosts see a packet at different times"""
GUARD_NS = NS_PER_MS // 2
"""after the kernel has said that it drains: a packet that it was just judging has been noted by then"""
EVER_NS = 1 << 62
"""silent for no longer than this was everybody: nobody is forgotten"""
REPEAT_NS = 50 * NS_PER_MS
REPEATS_QUICK = 20
REPEAT_LATER_NS = 500 * NS_PER_MS
PORTS_BYTES = 4
"""of a name, beside the client's address"""


def timeout_ns(state: State, address: str) -> int:
    """How long a conversation of the address may be silent; 0: UDP goes with the slots."""
    driven = state.in_force.get(address)
    text = "" if driven is None else driven.parameters.get(PARAMETER, "").strip()
    try:
        return min(parse_duration_ms(text) * NS_PER_MS, TIMEOUT_MAX_NS) if text else TIMEOUT_NS
    except BadValue:
        return TIMEOUT_NS


class Keeping(enum.Enum):
    UNDECIDED = "the slots do not drain yet"
    NOTHING = "UDP goes with the slots"
    ALL = "all UDP stays, and who is heard is noted"
    KNOWN = "the conversations that were heard stay"


@dataclass(slots=True)
class Giving:
    """The holder's part in a move."""

    stage: Keeping = Keeping.UNDECIDED
    promised: bool = False
    """the successor leaves UDP until it is told"""
    serves: bool | None = None
    """a program here could hear datagrams to the address; None: not known yet"""
    idle_ns: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)
    """slot → conversations, when somebody looked last"""
    began_ns: int | None = None
    """when the kernel said that it keeps all"""
    look_ns: int | None = None
    """when to look next; None: when the kernel does as it is to"""
    idle_next_ns: int = 0
    """who is silent for so long is forgotten by the next look"""
    looking: bool = False
    told: frozenset[bytes] | None = None
    number: int = 0
    """of the newest list"""
    said: int = 0
    """how often the newest list was said"""
    wait_ns: int | None = None
    """what is new in it is to be said after this, from now on"""
    say_ns: int | None = None
    """when to say it next; None: it is confirmed, or there is none"""

    def decide(self, idle_ns: int) -> None:
        """The slots are to drain now."""
        self.idle_ns = idle_ns
        keeps = self.promised and bool(self.serves) and idle_ns > 0
        self.stage = Keeping.ALL if keeps else Keeping.NOTHING
        self.idle_next_ns = EVER_NS  # all that will have been heard then, was heard in the last `idle_ns`

    def inherit(self, idle_ns: int) -> None:
        """A former process of this host began the move: what the kernel knows is what it kept."""
        self.idle_ns = self.idle_next_ns = idle_ns
        self.stage = Keeping.KNOWN

    @property
    def keeps(self) -> bool:
        return self.stage in (Keeping.ALL, Keeping.KNOWN)

    def look_at_clock(self, now_ns: int) -> bool:
        """Whether another state is wanted of the kernel now."""
        if self.stage is not Keeping.ALL or self.began_ns is None or now_ns < self.began_ns + self.idle_ns:
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        self.stage = Keeping.KNOWN
        self.look_ns = None

    def kernel_has(self, state: SlotState | None, now_ns: int) -> int | None:
        """What a look, that is due now, is to forget: who is silent for so long, in ns; None: none is due.

        `state` is that of all slots in the kernel, None where they differ.
        """
        wanted = {Keeping.ALL: SlotState.KEEPING_UDP, Keeping.KNOWN: SlotState.DRAINING}.get(self.stage)
        if self.looking:
            return None
        if wanted is None or state is not wanted:
            self.look_ns = None  # there is nothing to look at, and nothing to wait for
            return None
        if self.look_ns is None:
            if self.began_ns is None:
                self.began_ns = now_ns
            self.look_ns = now_ns + (GUARD_NS if self.stage is Keeping.KNOWN else LOOK_NS)
        if now_ns < self.look_ns:
            return None
        self.looking, self.look_ns = True, now_ns + LOOK_NS
        return self.idle_next_ns

    def heard(self, found: Conversations | None) -> bool:
        """What a look has found, None: it failed.  Whether another state is wanted of the kernel now."""
        self.looking = False
        if found is None:
            return False
        if found.too_many and self.stage is Keeping.ALL:
            # what is heard from here on is not all: none is kept
            self.idle_ns = self.idle_next_ns = 0
            self._settle()
            return True
        self.counts = Counter(found.slots.values())
        if self.stage is not Keeping.KNOWN:
            return False
        names = frozenset(found.slots)
        if names != self.told:
            self.told = names
            self.number += 1
            self.said, self.say_ns = 0, None
            self.wait_ns = 0 if self.idle_next_ns == EVER_NS and not found.too_many else SKEW_NS
        self.idle_next_ns = self.idle_ns
        return False

    def due(self, now_ns: int) -> bool:
        """Whether to say the newest list now; counts that as said."""
        if self.wait_ns is not None:
            self.say_ns = now_ns + self.wait_ns
            self.wait_ns = None
        if self.say_ns is None or now_ns < self.say_ns:
            return False
        self.said += 1
        self.say_ns = now_ns + (REPEAT_NS if self.said < REPEATS_QUICK else REPEAT_LATER_NS)
        return True

    def confirm(self, number: int) -> None:
        if number == self.number and self.wait_ns is None:
            self.say_ns = None

    def asked(self, now_ns: int) -> None:
        """The successor knows nothing (any more)."""
        if self.told is not None and self.say_ns is None and self.wait_ns is None:
            self.said, self.say_ns = 0, now_ns

    def left(self, slot: int) -> int:
        """Conversations of a slot that were heard lately, as far as somebody has looked."""
        return self.counts.get(slot, 0)

    def waits(self, slot: int) -> bool:
        """Whether the slot is not to close yet for UDP's sake."""
        return self.stage is Keeping.ALL or (
            self.stage is Keeping.KNOWN and (self.told is None or self.left(slot) > 0)
        )

    def deadline_ns(self) -> int | None:
        due = [0] if self.wait_ns is not None else []
        if self.stage is Keeping.ALL and self.began_ns is not None:
            due.append(self.began_ns + self.idle_ns)
        if self.keeps and not self.looking and self.look_ns is not None:
            due.append(self.look_ns)
        if self.say_ns is not None:
            due.append(self.say_ns)
        return min(due, default=None)


@dataclass(slots=True)
class Taking:
    """The successor's part in a move: it leaves all UDP until it knows better."""

    promised: bool = False
    """the holder was told that we do so"""
    free: bool = False
    """the holder keeps none: it has said so, or nothing was promised to it"""
    waits: bool = False
    """the holder keeps some, and its list is on its way"""
    applied: tuple[int, int] | None = None
    """incarnation and number of the list by which the engine goes"""
    wanted: UdpKept | None = None
    """a newer one, for the engine"""
    working: UdpKept | None = None
    """the one that the engine has in hand"""
    confirm: list[int] = field(default_factory=list)
    """numbers of lists to confirm"""
    asked: int = 0
    ask_ns: int = 0

    @property
    def may_open(self) -> bool:
        """For conversations that are not left to the holder."""
        return self.free or self.applied is not None

    def opens_unpromised(self) -> bool:
        """The slots open, and no former process of this host took part.  Whether another state is wanted now."""
        if self.promised or self.may_open:
            return False
        self.free = True
        return True

    def holder_says(self, keeps: bool) -> bool:
        """With its list of SYNs.  Whether another state is wanted of the kernel now."""
        could = self.may_open
        self.waits = keeps
        self.free |= not keeps and self.applied is None
        return self.may_open and not could

    def told(self, message: UdpKept) -> None:
        this = (message.incarnation, message.number)
        if self.applied is not None and this <= self.applied:
            self.confirm.append(message.number)
        elif self.wanted is None or this > (self.wanted.incarnation, self.wanted.number):
            self.wanted = message

    def due(self) -> frozenset[bytes] | None:
        """What the engine is to leave to the holder now."""
        if self.wanted is None or self.working is not None:
            return None
        names = names_in(self.wanted)
        if names is not None:
            self.working = self.wanted
        self.wanted = None
        return names

    def did(self, done: bool) -> bool:
        """What became of it; whether another state is wanted of the kernel now."""
        message, self.working = self.working, None
        if message is None or not done:
            return False  # it is told again
        could = self.may_open
        self.applied = (message.incarnation, message.number)
        self.confirm.append(message.number)
        return not could

    def deadline_ns(self) -> int | None:
        """Of slots that are open."""
        return None if self.may_open or self.waits else self.ask_ns

    def asks(self, now_ns: int) -> bool:
        """Whether to ask the holder now; counts that as asked."""
        if self.may_open or self.waits or now_ns < self.ask_ns:
            return False
        self.asked += 1
        self.ask_ns = now_ns + (REPEAT_NS if self.asked < REPEATS_QUICK else REPEAT_LATER_NS)
        return True


def list_of(incarnation: int, address: str, generation: int, giving: Giving) -> UdpKept:
    names = sorted(giving.told or ())
    length = len(names[0]) if names else 0
    return UdpKept(incarnation, address, generation, giving.number, length, b"".join(names))


def names_in(message: UdpKept) -> frozenset[bytes] | None:
    """None where it makes no sense."""
    length, names = message.name_bytes, message.names
    if not names:
        return frozenset()
    if length not in (4 + PORTS_BYTES, 16 + PORTS_BYTES) or len(names) % length:
        return None
    return frozenset(names[at : at + length] for at in range(0, len(names), length))
