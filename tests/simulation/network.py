"""The network between the hosts: loss, repetition, reordering, late datagrams, cuts in one or both directions."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from daemon.cluster.messages import Message

NS_PER_MS = 1_000_000
RECORDED_MAX = 2000
"""messages that an eavesdropper remembers"""
Deliver = Callable[[str, str, Message], None]


class Network:
    def __init__(
        self, names: Sequence[str], at: Callable[[int, Callable[[], None]], None], rng: random.Random
    ) -> None:
        self._names = names
        self._at = at
        self._rng = rng
        self.deliver: Deliver | None = None
        self.loss = 0.0
        self.repeat = 0.0
        self.late = 0.0
        self.slowest_ns = 2 * NS_PER_MS
        """the longest that a datagram takes which is not late"""
        self.cut: set[tuple[str, str]] = set()
        """(from, to) pairs that nothing passes"""
        self.unplugged: set[str] = set()
        """whose link is down for a moment"""
        self.spikes_ns: dict[str, int] = {}
        """host → by how much everything from and to it is late now"""
        self._recorded: deque[tuple[str, str, Message]] = deque(maxlen=RECORDED_MAX)
        self.drops: Callable[[str, str, Message], bool] = lambda sender, receiver, message: False
        """of a script: what does not arrive"""

    def send(self, sender: str, to: str | None, message: Message) -> None:
        """A multicast reaches, or misses, each receiver on its own."""
        for receiver in self._names if to is None else (to,):
            if receiver != sender:
                self._send(sender, receiver, message)

    def _send(self, sender: str, receiver: str, message: Message) -> None:
        rng = self._rng
        if (sender, receiver) in self.cut or self.drops(sender, receiver, message) or rng.random() < self.loss:
            return
        if sender in self.unplugged or receiver in self.unplugged:
            return
        self._recorded.append((sender, receiver, message))
        for _ in range(2 if rng.random() < self.repeat else 1):
            delay_ns = rng.randint(100_000, self.slowest_ns)
            if rng.random() < self.late:
                delay_ns = int(rng.choice((30, 80, 150, 300, 700)) * rng.random() * NS_PER_MS)
            if self.spikes_ns:
                delay_ns += max(self.spikes_ns.get(sender, 0), self.spikes_ns.get(receiver, 0))
            self._at(delay_ns, partial(self._arrive, sender, receiver, message))

    def _arrive(self, sender: str, receiver: str, message: Message) -> None:
        assert self.deliver is not None
        self.deliver(sender, receiver, message)

    # --- faults

    def partition(self) -> str:
        """Two halves that do not hear each other."""
        side = {name for name in self._names if self._rng.random() < 0.5}
        self.cut = {(a, b) for a in self._names for b in self._names if (a in side) != (b in side)}
        return f"partition {sorted(side)}"

    def isolate(self, name: str) -> str:
        self.cut |= {(name, other) for other in self._names} | {(other, name) for other in self._names}
        return f"isolate {name}"

    def cut_one_way(self) -> str:
        pairs = {(a, b) for a in self._names for b in self._names if a != b and self._rng.random() < 0.25}
        self.cut |= pairs
        return "cut " + " ".join(f"{a}→{b}" for a, b in sorted(pairs))

    def deafen(self, name: str) -> str:
        """It is heard, and hears nobody."""
        self.cut |= {(other, name) for other in self._names if other != name}
        return f"deafen {name}"

    def partition_one_way(self) -> str:
        """One half hears the other, and is not heard."""
        side = {name for name in self._names if self._rng.random() < 0.5}
        self.cut = {(a, b) for a in side for b in self._names if b not in side}
        return f"mute {sorted(side)}"

    def partition_in_part(self) -> str:
        """Some pairs do not hear each other, though everybody else hears both."""
        names = self._names
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if self._rng.random() < 0.4]
        self.cut = {*pairs, *((b, a) for a, b in pairs)}
        return "part " + " ".join(f"{a}|{b}" for a, b in pairs)

    def bridge(self, name: str) -> str:
        """Two halves that only `name` hears, and that both hear it."""
        side = {other for other in self._names if other != name and self._rng.random() < 0.5}
        rest = {other for other in self._names if other != name} - side
        self.cut = {(a, b) for a in side for b in rest} | {(b, a) for a in side for b in rest}
        return f"bridge {name} between {sorted(side)} and {sorted(rest)}"

    def replay(self, count: int) -> str:
        """Somebody sends again what he has recorded, as if no seal and no replay window were there."""
        recorded = list(self._recorded)
        for sender, receiver, message in self._rng.choices(recorded, k=count) if recorded else ():
            self._at(self._rng.randint(0, 5 * NS_PER_MS), partial(self._arrive, sender, receiver, message))
        return f"replay {count} messages"

    def heal(self) -> str:
        self.cut = set()
        return "heal"

    def repair(self) -> None:
        """No fault of any kind any more."""
        self.cut = set()
        self.unplugged = set()
        self.spikes_ns = {}
        self.loss = self.repeat = self.late = 0.0
