"""The BPF program against datapath.hashing and the raw engine's judge: the same verdict for every byte pattern.

The program runs as the kernel has compiled it (BPF_PROG_TEST_RUN).  Frames begin as packets of every shape that
clients send and are then damaged: bytes changed, lengths wrong, headers cut off, fragments, options, tags.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from datapath.engine import Address, HashKind, SlotState, Wish
from datapath.hashing import SLOTS_MAX, key_of, slot, slot_of_packet
from datapath.mac import shared_mac
from datapath.raw.judge import TCP, Known, belongs, read_segment
from tests.netns.frames import CLIENT_MAC, Shape, shapes, shapes6
from tests.netns.kernel_hash import read_vectors
from tests.property.bpf_run import FRAME_BYTES_MAX, Fate, TestRun

pytestmark = pytest.mark.root

SEED = 20_260_101
FRAMES_OF_EACH_KIND = 25_000
"""for each of three kinds and two families: 150,000, less those that are cut within the IP header"""
FOREVER = 1 << 62
ETHERNET = 14
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")

VIP4 = Address(
    resource="VIP4",
    ip=IPv4Address("10.77.255.1"),
    prefixlen=16,
    interface="eth0",
    mac=shared_mac(IPv4Address("10.77.255.1"), 16),
    hash_kind=HashKind.SOURCEIP,
    seed=0x1234ABCD,
    slots=64,
)
VIP6 = replace(
    VIP4,
    resource="VIP6",
    ip=IPv6Address("fd77::1"),
    prefixlen=64,
    mac=shared_mac(IPv6Address("fd77::1"), 64),
    seed=0xFFFF_FFFE,
    slots=63,
)


def odd_slots(address: Address, state: SlotState = SlotState.OPEN) -> Wish:
    return Wish(address, dict.fromkeys(range(1, address.slots, 2), state))


def framed(packet: bytes, ethertype: bytes, mac: str = VIP4.mac) -> bytes:
    return bytes.fromhex(mac.replace(":", "")) + bytes.fromhex(CLIENT_MAC.replace(":", "")) + ethertype + packet


def expected(frame: bytes, wishes: dict[bytes, Wish]) -> Fate:
    """By datapath.hashing alone."""
    packet = frame[ETHERNET:]
    if frame[12:14] == IPV4 and len(packet) >= 20:
        version, destination = 4, packet[16:20]
    elif frame[12:14] == IPV6 and len(packet) >= 40:
        version, destination = 6, packet[24:40]
    else:
        return Fate.NOT_OURS
    wish = wishes.get(destination)
    if wish is None or wish.address.ip.version != version:
        return Fate.NOT_OURS
    address = wish.address
    if packet[0] >> 4 != version:
        return Fate.DROPPED
    number = slot_of_packet(packet, address.hash_kind, address.seed, address.slots)
    is_open = isinstance(number, int) and wish.states.get(number) is SlotState.OPEN
    return Fate.ACCEPTED if is_open else Fate.DROPPED


def damaged(dice: random.Random, packet: bytes, ethertype: bytes) -> bytes:
    """A frame of this packet with zero to four things wrong with it, most of them in its first 100 bytes."""
    made = bytearray(framed(packet, ethertype))
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        what = dice.randrange(9)
        if what == 0:  # a byte
            made[dice.randrange(ETHERNET, min(len(made), 114))] = dice.randrange(256)
        elif what == 1:  # cut off
            del made[dice.randrange(ETHERNET, len(made)) :]
        elif what == 2:  # padded
            made += dice.randbytes(dice.randrange(1, 60))
        elif what == 3 and len(made) > ETHERNET + 6:  # a wrong length
            at = ETHERNET + (2 if ethertype == IPV4 else 4)
            made[at : at + 2] = dice.choice((dice.randrange(200), dice.randrange(65_536))).to_bytes(2, "big")
        elif what == 4 and len(made) > ETHERNET + 8:  # fragment bits, or the next header of IPv6
            made[ETHERNET + 6] = dice.randrange(256)
        elif what == 5:  # version and header length
            made[ETHERNET : ETHERNET + 1] = bytes((dice.choice((0x45, 0x46, 0x4F, 0x44, 0x60, 0x65, 0x00)),))
        elif what == 6 and len(made) > ETHERNET + 12:  # another protocol
            at = ETHERNET + (9 if ethertype == IPV4 else 6)
            made[at] = dice.choice((0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60, 132, dice.randrange(256)))
        elif what == 7 and dice.randrange(4) == 0:  # one or two tags, or another ethertype
            tags = b"".join(dice.choice(TAGS) + dice.randbytes(2) for _ in range(dice.choice((1, 2))))
            made[12:12] = dice.choice((tags, dice.randbytes(2)))
        elif what == 8 and len(made) > ETHERNET + 60:  # a random stretch
            at = dice.randrange(ETHERNET, ETHERNET + 60)
            size = dice.randrange(1, 9)
            made[at : at + size] = dice.randbytes(size)
        if len(made) <= ETHERNET:
            break
    return bytes(made[:FRAME_BYTES_MAX])


def frames_of(dice: random.Random, sent: list[Shape], count: int) -> Iterator[bytes]:
    packets = [packet for shape in sent for packet in shape.packets]
    for _ in range(count):
        packet = dice.choice(packets)
        frame = damaged(dice, packet, IPV4 if packet[0] >> 4 == 4 else IPV6)
        if is_whole_header(frame):
            yield frame


def is_whole_header(frame: bytes) -> bool:
    """What is shorter the kernel does not give to a program in a test run; tests/netns sends it over a wire."""
    return len(frame) >= ETHERNET + {IPV4: 20, IPV6: 40}.get(frame[12:14], 1)


def extension_headers(dice: random.Random) -> Iterator[bytes]:
    """IPv6 packets behind chains of extension headers, some longer than anybody follows."""
    for _ in range(2000):
        protocols = [dice.choice((0, 43, 60, 60, 60, 44)) for _ in range(dice.choice((1, 2, 5, 63, 64, 65, 70)))]
        last = dice.choice((6, 17, 58, 59, 132))
        chain = b""
        for protocol, following in zip(protocols, [*protocols[1:], last], strict=True):
            atomic = b"\0\0\0" if dice.randrange(3) else dice.randbytes(3)
            rest = atomic + dice.randbytes(4) if protocol == 44 else dice.choice((b"\0", b"\0", b"\1")) + bytes(6)
            chain += bytes((following,)) + rest
        upper = dice.randbytes(dice.choice((0, 2, 4, 8, 20, 60)))
        source = IPv6Address(dice.getrandbits(128)).packed
        payload = chain + upper
        yield (
            b"\x60\0\0\0"
            + len(payload).to_bytes(2, "big")
            + bytes((protocols[0], 64))
            + source
            + VIP6.ip.packed
            + (payload)
        )


def vector_cases() -> Iterator[tuple[Address, bytes, int]]:
    """(address, frame of a client, slot) of each stored vector whose key a packet can have."""
    kinds = {0: HashKind.SOURCEIP, 4: HashKind.SOURCEIP_SOURCEPORT, 8: HashKind.SOURCEIP_SOURCEPORT_DESTPORT}
    for vector in read_vectors():
        key = bytes.fromhex(vector.key)
        base = VIP6 if len(key) >= 16 else VIP4
        source, ports = key[: len(base.ip.packed)], key[len(base.ip.packed) :]
        if vector.slots > SLOTS_MAX or len(ports) not in kinds or any(ports[2:4] + ports[6:8]):
            continue
        address = replace(base, hash_kind=kinds[len(ports)], seed=vector.seed, slots=vector.slots)
        segment = (ports[0:2] or b"\x04\0") + (ports[4:6] or b"\0\x50") + bytes(16)
        if base is VIP6:
            frame = framed(b"\x60\0\0\0\0\x14\x11\x40" + source + address.ip.packed + segment, IPV6)
        else:
            frame = framed(b"\x45\0\0\x28\0\0\0\0\x40\x11\0\0" + source + address.ip.packed + segment, IPV4)
        assert vector.slot is not None
        yield address, frame, vector.slot


def test_the_program_gives_the_stored_vectors_again() -> None:
    """tests/vectors: what the kernel's own hash said."""
    cases = list(vector_cases())
    assert len(cases) > 50
    for address, frame, number in cases:
        with TestRun([Wish(address, {number: SlotState.OPEN})], FOREVER) as run:
            assert run.fate(frame) is Fate.ACCEPTED, (address, number)
            neighbours = {n % address.slots for n in (number - 1, number + 1)} - {number}
            assert run.program.publish([Wish(address, dict.fromkeys(neighbours, SlotState.OPEN))])
            assert run.fate(frame) is Fate.DROPPED, (address, number)


@pytest.mark.parametrize("kind", list(HashKind))
def test_every_byte_pattern_is_judged_as_the_pure_hash_says(kind: HashKind) -> None:
    dice = random.Random(f"{SEED} {kind}")
    four, six = replace(VIP4, hash_kind=kind), replace(VIP6, hash_kind=kind)
    wishes = {wish.address.ip.packed: wish for wish in (odd_slots(four), odd_slots(six))}
    fates = dict.fromkeys(Fate, 0)
    with TestRun(list(wishes.values()), FOREVER) as run:
        for sent in (shapes(four), shapes6(six)):
            for frame in frames_of(dice, sent, FRAMES_OF_EACH_KIND):
                fate = run.fate(frame)
                assert fate is expected(frame, wishes), frame.hex()
                fates[fate] += 1
    # the mixture tries all three in earnest
    assert min(fates.values()) > FRAMES_OF_EACH_KIND // 50, fates


@pytest.mark.parametrize("kind", list(HashKind))
def test_chains_of_extension_headers_are_followed_as_far_as_the_pure_hash_does(kind: HashKind) -> None:
    dice = random.Random(f"{SEED} {kind} extensions")
    six = replace(VIP6, hash_kind=kind)
    wishes = {six.ip.packed: odd_slots(six)}
    accepted = 0
    with TestRun(list(wishes.values()), FOREVER) as run:
        for packet in extension_headers(dice):
            frame = framed(packet, IPV6)
            fate = run.fate(frame)
            assert fate is expected(frame, wishes), frame.hex()
            accepted += fate is Fate.ACCEPTED
    assert accepted > 100


def test_random_bytes_to_our_address_are_judged_alike() -> None:
    dice = random.Random(SEED)
    kinds = list(HashKind)
    for kind in kinds:
        four, six = replace(VIP4, hash_kind=kind), replace(VIP6, hash_kind=kind)
        wishes = {wish.address.ip.packed: wish for wish in (odd_slots(four), odd_slots(six))}
        with TestRun(list(wishes.values()), FOREVER) as run:
            for _ in range(5000):
                packet = bytearray(dice.randbytes(dice.randrange(0, 120)))
                ethertype = dice.choice((IPV4, IPV6))
                at, destination = (16, four.ip.packed) if ethertype == IPV4 else (24, six.ip.packed)
                packet[at : at + len(destination)] = destination
                frame = framed(bytes(packet), ethertype)
                if not is_whole_header(frame):
                    continue
                assert run.fate(frame) is expected(frame, wishes), frame.hex()


def test_a_lease_in_the_past_accepts_nothing() -> None:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    everything = Wish(VIP4, dict.fromkeys(range(VIP4.slots), SlotState.OPEN))
    frames = [frame for shape in shapes(VIP4) for frame in shape.frames]
    with TestRun([everything], FOREVER) as run:
        served = [frame for frame in frames if run.fate(frame) is Fate.ACCEPTED]
        assert len(served) > 200
        for deadline in (0, 1, now - 1, now):
            run.program.tables.deadline_ns = deadline
            assert {run.fate(frame) for frame in frames} == {Fate.DROPPED}
        run.program.tables.deadline_ns = FOREVER
        assert {run.fate(frame) for frame in served} == {Fate.ACCEPTED}


@pytest.mark.parametrize("state", [SlotState.DRAINING, SlotState.OPENING])
def test_slots_on_the_move_are_judged_as_by_the_raw_engine(state: SlotState) -> None:
    """This namespace has no connections to the address: what both remember are the SYNs that they let in."""
    dice = random.Random(f"{SEED} {state}")
    address = replace(VIP4, hash_kind=HashKind.SOURCEIP_SOURCEPORT)
    known = Known(has=lambda connection: False, half_open=lambda connection: False)
    sent = [
        shape
        for shape in shapes(address)
        # cut off before its flags: raw lets the kernel refuse what of it is new, bpf does so itself
        if shape.name not in ("TCP of one byte", "TCP without ports", "unreachable about a later fragment")
    ]
    fates = dict.fromkeys(Fate, 0)
    with TestRun([Wish(address, dict.fromkeys(range(address.slots), SlotState.OPENING))], FOREVER) as run:
        for packet in _conversation(dice, sent):
            if run.fate(framed(packet, IPV4)) is Fate.ACCEPTED:
                _note(known, packet)
        assert run.program.publish([Wish(address, dict.fromkeys(range(address.slots), state))])
        for packet in _conversation(dice, sent):
            fate = run.fate(framed(packet, IPV4))
            number = slot_of_packet(packet, address.hash_kind, address.seed, address.slots)
            taken = isinstance(number, int) and belongs(state, packet, known, _now())
            assert fate is (Fate.ACCEPTED if taken else Fate.DROPPED), packet.hex()
            if taken:
                _note(known, packet)
            fates[fate] += 1
    assert fates[Fate.ACCEPTED] > 30
    assert fates[Fate.DROPPED] > 200


def _conversation(dice: random.Random, sent: list[Shape]) -> Iterator[bytes]:
    """Packets of all shapes and TCP segments of few clients with few sequence numbers, in any order."""
    packets = [packet for shape in sent for packet in shape.packets]
    for _ in range(3000):
        if dice.randrange(2):
            yield dice.choice(packets)
            continue
        ports = dice.randrange(1024, 1060).to_bytes(2, "big") + b"\0\x50"
        flags = dice.choice((0x02, 0x02, 0x12, 0x10, 0x11, 0x04, 0xC2))
        head = ports + dice.randrange(3).to_bytes(4, "big") + bytes(4) + bytes((0x50, flags)) + bytes(6)
        yield b"\x45\0\0\x28\0\0\0\0\x40\x06\0\0" + IPv4Address("10.80.0.7").packed + VIP4.ip.packed + head


def _note(known: Known, packet: bytes) -> None:
    if packet[9] == TCP and (segment := read_segment(packet)) is not None and segment.begins:
        assert segment.sequence is not None
        known.note_syn(segment.connection.key, segment.sequence, _now())


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_a_change_of_thousands_of_slots_is_one_step() -> None:
    """Every packet of a client is accepted before and after, while its slot's table is written again and again."""
    address = replace(VIP4, slots=4096)
    client = IPv4Address("10.80.0.9")
    number = slot(key_of(address.hash_kind, client), address.seed, address.slots)
    packet = b"\x45\0\0\x1c\0\0\0\0\x40\x11\0\0" + client.packed + address.ip.packed + b"\0\x50\0\x50\0\x08\0\0"
    frame = framed(packet, IPV4)
    with TestRun([Wish(address, {number: SlotState.OPEN})], FOREVER) as run:
        for turn in range(50):
            states = dict.fromkeys(range(turn % 2, address.slots, 2), SlotState.OPEN) | {number: SlotState.OPEN}
            rows = run.program.tables.rows()
            arranged = run.program.tables.arrange([Wish(address, states)], rows)
            assert arranged is not None
            assert run.fate(frame) is Fate.ACCEPTED
            run.program.tables.publish(arranged)
            assert run.fate(frame) is Fate.ACCEPTED
            assert run.program.tables.rows()[0].wish.states == states
