"""The BPF program against datapath.hashing and the raw engine's judge, run as the kernel has compiled it.

(BPF_PROG_TEST_RUN.)  That damaged frames have the same fate in all engines is shown by tests/netns/test_sameness.py.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from datapath.bpf.libbpf import libbpf
from datapath.bpf.tables import HEARD
from datapath.bpf.talks import Talks, _key
from datapath.engine import Address, HashKind, SlotState, Wish
from datapath.hashing import SLOTS_MAX, key_of, slot, slot_of_packet
from datapath.hold.datagrams import read_utterance
from datapath.raw.judge import TCP, Known, belongs, read_segment
from datapath.raw.talks import Kept
from tests.netns.frames import Shape, shapes, shapes6
from tests.netns.kernel_hash import read_vectors
from tests.property.bpf_run import Fate, TestRun
from tests.property.damage import (
    IPV4,
    IPV6,
    VIP4,
    VIP6,
    expected,
    extension_headers,
    framed,
    is_whole_header,
    odd_slots,
)
from tests.property.talk import talk

pytestmark = pytest.mark.root

SEED = 20_260_101
FOREVER = 1 << 62


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


@pytest.mark.parametrize("state", [state for state in SlotState if state.drains or state.opens])
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


@pytest.mark.parametrize("shared", [VIP4, VIP6], ids=["IPv4", "IPv6"])
def test_udp_of_slots_on_the_move_is_judged_as_by_the_raw_engine(shared: Address) -> None:
    """And by two hosts never both: whatever is said, and whoever is known."""
    dice = random.Random(f"{SEED} {shared.ip} UDP")
    address = replace(shared, hash_kind=HashKind.SOURCEIP_SOURCEPORT)
    known = Known(has=lambda connection: False, half_open=lambda connection: False)
    noted: set[bytes] = set()
    known.hears = lambda ip, name: ip == address.ip.packed and name in noted
    packets = [packet for shape in (shapes if shared is VIP4 else shapes6)(address) for packet in shape.packets]
    ethertype = IPV4 if shared is VIP4 else IPV6
    taken: dict[bytes, set[SlotState]] = {}
    with TestRun([Wish(address)], FOREVER) as run:
        for state in (SlotState.KEEPING_UDP, SlotState.DRAINING, SlotState.LEAVING_UDP, SlotState.OPENING):
            assert run.program.publish([Wish(address, dict.fromkeys(range(address.slots), state))])
            if state is SlotState.OPENING:
                (row,) = run.program.tables.rows()
                Talks(run.program).leave(row, range(address.slots), noted)
                known.leave([Kept(address.ip.packed, frozenset(range(address.slots)), frozenset(noted))])
            for packet in talk(dice, shared, packets):
                utterance = read_utterance(packet)
                if utterance is None:
                    continue
                fate = run.fate(framed(packet, ethertype))
                takes = belongs(state, packet, known, _now())
                assert fate is (Fate.ACCEPTED if takes else Fate.DROPPED), (state, packet.hex())
                if takes:
                    taken.setdefault(packet, set()).add(state)
                if state is SlotState.KEEPING_UDP and not utterance.is_quote:
                    noted.add(utterance.name)
            if state is SlotState.KEEPING_UDP:
                (row,) = run.program.tables.rows()
                lately = Talks(run.program).heard(row, range(address.slots), FOREVER, ())
                assert lately.slots.keys() == noted
                forgotten = set(dice.sample(sorted(noted), len(noted) // 3))
                libbpf().delete_all(run.program.maps[HEARD], [_key(name, row.index) for name in forgotten])
                noted -= forgotten
    both = [states for states in taken.values() if {SlotState.DRAINING, SlotState.OPENING} <= states]
    assert both == []
    assert sum(SlotState.DRAINING in states for states in taken.values()) > 50
    assert sum(SlotState.OPENING in states for states in taken.values()) > 50
    assert not any(SlotState.LEAVING_UDP in states for states in taken.values())


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
