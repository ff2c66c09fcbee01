"""Bad datagrams by the million, from one seed: mutated genuine ones, and genuine seals around hostile payloads."""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from daemon.cluster import greeting
from daemon.cluster.acquaintances import STRANGERS_MAX
from daemon.cluster.chunks import PENDING_BYTES_MAX, Splitter
from daemon.cluster.hearing import Probe
from daemon.cluster.keyring import mark_of
from daemon.cluster.messages import Append, Heartbeat, Message, Propose, Reject, encode
from daemon.cluster.records import Admit, LogEntry
from daemon.cluster.seal import Algorithm, Sealer
from daemon.cluster.transport import Transport

KEY = bytes(range(32))
OWN_SALT, PEER_SALT = b"o" * 16, b"p" * 16
SOURCE = ("192.0.2.2", 5405)
MEMBERS = ("a1", "a2", "a3")
STEP_NS = 200_000

_INTERESTING = (0, 1, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xDC, 0xDD, 0xDF, 0xFF)


@dataclass
class Target:
    """A transport without sockets, as its links would feed it."""

    heard: Counter[str] = field(default_factory=Counter)
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.transport = Transport(
            cluster="demo",
            node="a1",
            members=MEMBERS,
            key=KEY,
            incarnation=1,
            salt=OWN_SALT,
            algorithm=Algorithm.AES_256_GCM,
            on_message=self._hear,
            clock=lambda: self.now_ns,
        )
        self.peer = Sealer(KEY, "demo", "a2", 7, salt=PEER_SALT)
        self.receive(self.peer.seal(b"\x02\x00" + OWN_SALT))

    def receive(self, datagram: bytes) -> None:
        self.now_ns += STEP_NS
        self.transport._receive("eth0", datagram, SOURCE)

    def _hear(self, sender: str, message: Message) -> None:
        self.heard[sender] += 1

    def held(self) -> dict[str, int]:
        """How much is remembered, by what holds it."""
        transport = self.transport
        return {
            "sessions": len(transport._opener._sessions),
            "addresses": len(transport._acquaintances),
            "joiners": len(transport._assembly._joiners),
            "joined": sum(joiner.bytes_held for _, joiner in transport._assembly._joiners.values()),
            "greetings": len(transport._greetings._peers),
            "hearing": sum(len(records) for records in transport._hearing._records.values()),
            "sources": len(transport._refusals._said),
            "reasons": len(transport._refusals.counts),
            "marks": len(transport.keys.rotation._held),
        }


BOUNDS = {
    "sessions": STRANGERS_MAX + len(MEMBERS),
    "addresses": STRANGERS_MAX + len(MEMBERS),
    "joiners": STRANGERS_MAX + len(MEMBERS),
    "joined": PENDING_BYTES_MAX + (64 << 10),
    "greetings": STRANGERS_MAX + len(MEMBERS),
    "hearing": STRANGERS_MAX + len(MEMBERS),
    "sources": 256,
    "reasons": 20,
    "marks": len(MEMBERS),
}


def mutated(rng: random.Random, data: bytes) -> bytes:
    """One to four small changes of the kinds that find mistakes: bits, bytes, lengths, cuts, repetitions."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(changed):
                changed[at] = rng.choice(_INTERESTING)
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 9))
            case 3:
                del changed[at : at + rng.randint(1, 9)]
            case 4:
                changed[at : at + 4] = struct.pack("!I", rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)))
            case _:
                changed += changed[:at]
        del changed[2000:]
    return bytes(changed)


def messages() -> tuple[bytes, ...]:
    entries = [LogEntry(index, 3, 0, Admit("a2", 7, "boot")) for index in range(1, 5)]
    return tuple(
        encode(message)
        for message in (
            Heartbeat(7, "boot", 1, 3, 5, {"a1": (1, 9), "a3": (2, 2)}, "store"),
            Append(3, 9, 0, 0, entries, 4, True),
            Propose(7, []),
            Reject(4),
        )
    )


def bombs() -> Iterator[bytes]:
    """MessagePack that promises more than it has, or nests deeper than a stack."""
    for head in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"):
        yield head + b"\xff\xff\xff\xff"
        yield b"\x9b\xa2hb" + head + b"\xff\xff\xff\xff"
    for depth in (10, 500, 1100):
        yield b"\x91" * depth
        yield b"\x81\xa1a" * (depth // 3)
        yield b"\x97\xa2ap\x01\x01\x00\x00" + b"\x91" * depth
    for number in (2**63, 2**64 - 1, -(2**63)):
        yield msgspec.msgpack.encode(["rj", number])
        yield msgspec.msgpack.encode(["hb", number, "", number, number, number, {}, ""])
    yield msgspec.msgpack.encode(["ap", 1, 1, 0, 0, [["zz"]] * 300, 1, True])
    yield msgspec.msgpack.encode(["newer", 1])


def chunk_headers(rng: random.Random) -> bytes:
    counts = (0, 1, 2, 4398, 4399, 65_535)
    return struct.pack("!IHH", rng.randrange(40), rng.choice((0, 1, 5, 65_535)), rng.choice(counts))


class Fuzz:
    """`run(count)`: datagrams of every kind in turn, each with a bound on what may be remembered afterwards."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.target = Target()
        self.genuine = [self._whole(encoded) for encoded in messages()]
        self.payloads = [*messages(), *bombs()]
        self.slowest_ns: dict[str, int] = {}
        self.kinds: tuple[Callable[[], bytes], ...] = (
            self.forged,
            self.noise,
            self.hostile,
            self.hostile_probe,
            self.hostile_chunk,
            self.stranger,
        )

    def run(self, count: int) -> None:
        for number in range(count):
            datagram = self.kinds[number % len(self.kinds)]()
            self.target.receive(datagram)
            if number % 512 == 0:
                self.check()
        self.check()

    def check(self) -> None:
        for what, held in self.target.held().items():
            assert held <= BOUNDS[what], f"{what}: {held}, and {BOUNDS[what]} is the most"

    def forged(self) -> bytes:
        """A genuine datagram, changed."""
        return mutated(self.rng, self.rng.choice(self.genuine))

    def noise(self) -> bytes:
        return b"vIPc"[: self.rng.randrange(5)] + self.rng.randbytes(self.rng.randrange(200))

    def hostile(self) -> bytes:
        """Sealed by a member, around a message that is none."""
        payload = self.rng.choice(self.payloads)
        if self.rng.random() < 0.7:
            payload = mutated(self.rng, payload)
        return self.target.peer.seal(
            greeting.data(struct.pack("!IHH", self.rng.randrange(2**32), 0, 1) + payload[:1192])
        )

    def hostile_probe(self) -> bytes:
        probe = Probe(to_group=True, has_group=True, deaf=False, marks=(mark_of(KEY),)).encode()
        return self.target.peer.seal(greeting.probe(mutated(self.rng, probe)))

    def hostile_chunk(self) -> bytes:
        part = bytes(1192) if self.rng.random() < 0.5 else self.rng.randbytes(self.rng.randrange(1192))
        return self.target.peer.seal(greeting.data(chunk_headers(self.rng) + part))

    def stranger(self) -> bytes:
        """Somebody new with the key, all the time."""
        name = f"s{self.rng.randrange(10_000)}"
        sealer = Sealer(KEY, "demo", name, self.rng.randrange(2**40), salt=self.rng.randbytes(16))
        payload = b"\x02\x00" + OWN_SALT if self.rng.random() < 0.5 else self.rng.randbytes(30)
        return sealer.seal(payload)

    def _whole(self, encoded: bytes) -> bytes:
        (piece,) = Splitter().split(encoded)
        return self.target.peer.seal(greeting.data(piece))


def cost_ns(datagrams: list[bytes]) -> float:
    """Of one datagram at a transport, on average."""
    target = Target()
    begin_ns = time.perf_counter_ns()
    for datagram in datagrams:
        target.receive(datagram)
    return (time.perf_counter_ns() - begin_ns) / len(datagrams)
