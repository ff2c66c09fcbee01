"""The engines are one function: every damaged frame has the same fate, and the same reason, in all of them.

`datapath.hashing` is the reference; against it the raw engine's judge, the BPF program as the kernel has compiled it
(BPF_PROG_TEST_RUN), and the nft engine's rules on a real cable.  What may differ is in docs/decisions/0020-sameness.md.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import getpid
from pathlib import Path

import pytest

from datapath.engine import Address, HashKind, HashOrder, SlotState, Wish
from datapath.hashing import (
    ICMPV6,
    PORT_PROTOCOLS,
    PORTS_IN_KEY,
    TCP,
    Unhashable,
    is_neighbour_discovery,
    look,
    slot_for,
)
from datapath.hold import datagrams
from datapath.hold.datagrams import read_utterance
from datapath.mac import pack_mac
from datapath.ports import parse
from datapath.raw.judge import OPEN, Compiled, Known, belongs, is_tcp_fragment, read_segment
from datapath.raw.rows import table_of
from datapath.raw.table import EMPTY
from datapath.raw.talks import Kept
from tests.netns import actions, named, wire_actions
from tests.netns.flow_vectors import Vector, read_flows
from tests.netns.frames import shapes, shapes6
from tests.netns.inside import Inside
from tests.property.bpf_run import Fate, TestRun
from tests.property.damage import ETHERNET, IPV4, IPV6, VIP4, VIP6, framed, frames_of, judged, odd_slots
from tests.property.talk import talk

pytestmark = pytest.mark.root

SEED = 20_260_101
FRAMES = 8_500
"""of each family and recipe: some 110,000 for each engine"""
FOREVER = 1 << 62
LEASE_MS = 600_000
RULES = parse("tcp/9:one:3 udp/0-9:refused 8000-8999:refused 80:shared udp/53:one:4 53:one:63 50000-65535:one")
"""the shapes of packets go to 9 and 8080, and quote what came from 53 and 80"""


@dataclass(frozen=True)
class Recipe:
    """How an address shares its packets out."""

    name: str
    kind: HashKind
    order: HashOrder = HashOrder.NETWORK
    rules: bool = False

    def of(self, address: Address) -> Address:
        slots = 64 if self.rules else address.slots
        rules = RULES if self.rules else ()
        return replace(address, hash_kind=self.kind, hash_order=self.order, port_rules=rules, slots=slots)


RECIPES = [
    *(Recipe(kind.value, kind) for kind in HashKind),
    Recipe("ports without a hash of ports", HashKind.SOURCEIP, rules=True),
    Recipe("ports with a hash of ports", HashKind.SOURCEIP_SOURCEPORT_DESTPORT, rules=True),
    Recipe("clusterip", HashKind.SOURCEIP, HashOrder.CLUSTERIP),
    Recipe("clusterip with ports", HashKind.SOURCEIP_SOURCEPORT_DESTPORT, HashOrder.CLUSTERIP),
]


@pytest.fixture(scope="module")
def cable() -> Iterator[Inside]:
    """A process in a namespace with an nft engine at the end of a cable."""
    namespace = f"vcsame{getpid()}"
    named.add(namespace)
    inside = Inside(namespace)
    try:
        inside.call(wire_actions.lay_cable)
        yield inside
    finally:
        inside.kill()
        named.delete(namespace)


@pytest.fixture
def nft(cable: Inside, tmp_path: Path) -> Iterator[Inside]:
    cable.call(actions.start_engine, "datapath.nft.engine:NftEngine", str(tmp_path))
    try:
        yield cable
    finally:
        cable.call(actions.remove)
        cable.call(actions.close)


def wishes_of(recipe: Recipe) -> list[Wish]:
    made = [odd_slots(recipe.of(VIP4))]
    if recipe.order is HashOrder.NETWORK:
        made.append(odd_slots(recipe.of(VIP6)))
    return made


def damaged_frames(recipe: Recipe, wishes: list[Wish]) -> Iterator[bytes]:
    dice = random.Random(f"{SEED} {recipe.name}")
    for wish in wishes:
        address = wish.address
        sent = shapes(address) if address.ip.version == 4 else shapes6(address)
        for frame in frames_of(dice, sent, FRAMES):
            # every frame a frame to the shared MAC, whatever else is wrong with it
            yield pack_mac(address.mac) + frame[6:]


def tally(reasons: Iterator[str] | list[str]) -> dict[str, int]:
    return dict(Counter(reason for reason in reasons if reason))


def counted(found: list[actions.Counter]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counter in found:
        total[counter.verdict] += counter.packets
    return {str(verdict): packets for verdict, packets in total.items() if packets}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_damaged_frame_has_the_same_fate_in_all_engines(recipe: Recipe, nft: Inside) -> None:
    wishes = wishes_of(recipe)
    frames = list(damaged_frames(recipe, wishes))
    by_ip = {wish.address.ip.packed: wish for wish in wishes}
    expected = [judged(frame, by_ip) for frame in frames]
    # the mixture tries everything in earnest
    assert min(tally([reason for _, reason in expected]).values()) > 50
    assert {reason for _, reason in expected} >= {"accepted", "foreign", "truncated", "malformed"}

    compiled = Compiled(table_of("", wishes, EMPTY))
    for frame, (fate, _) in zip(frames, expected, strict=True):
        if fate is not Fate.NOT_OURS:
            assert raw_accepts(compiled, frame) is (fate is Fate.ACCEPTED), frame.hex()

    with TestRun(wishes, FOREVER) as run:
        for frame, (fate, _) in zip(frames, expected, strict=True):
            assert run.fate(frame) is fate, frame.hex()
        assert counted(run.program.tables.counters()) == tally([reason for _, reason in expected])

    nft.call(actions.apply, wishes)
    nft.call(actions.renew, LEASE_MS)
    frames = [frame for frame in frames if not fragmented_twice(frame[untagged(frame) :])]
    found = nft.call(wire_actions.fates, frames)
    on_wire = [as_nft_reads(frame, by_ip) for frame in frames]
    for frame, letter, (fate, _) in zip(frames, found, on_wire, strict=True):
        if fate is Fate.NOT_OURS:
            # what the kernel itself gives up before its sockets does not come through either
            assert bytes((letter,)) != wire_actions.ACCEPTED, frame.hex()
            assert bytes((letter,)) == wire_actions.PASSED or frame[12:14] not in (IPV4, IPV6), frame.hex()
        else:
            accepted = bytes((letter,)) == wire_actions.ACCEPTED
            assert accepted is (fate is Fate.ACCEPTED), frame.hex()
            assert accepted or bytes((letter,)) == wire_actions.DROPPED, frame.hex()
    assert counted(nft.call(actions.counters)) == tally([reason for _, reason in on_wire])


def test_every_engine_meets_what_the_kernels_own_hash_said(nft: Inside) -> None:
    """tests/vectors/flows.json.  Each vector has an address of its own here: where a packet goes is not hashed."""
    flows = [replace(flow, address=own_address(number, flow)) for number, flow in enumerate(read_flows())]
    assert len(flows) > 150
    bases = {4: VIP4, 6: VIP6}
    addresses = [replace(flow.of(bases[flow.version]), resource=f"v{number}") for number, flow in enumerate(flows)]
    frames = [flow.frame(bytes(6), pack_mac(VIP4.mac)) for flow in flows]
    opened = [Wish(one, {flow.slot: SlotState.OPEN}) for one, flow in zip(addresses, flows, strict=True)]
    beside = [
        Wish(one, dict.fromkeys({(flow.slot + by) % flow.total for by in (-1, 1)} - {flow.slot}, SlotState.OPEN))
        for one, flow in zip(addresses, flows, strict=True)
    ]
    for wishes, fate, letter in (
        (opened, Fate.ACCEPTED, wire_actions.ACCEPTED),
        (beside, Fate.DROPPED, wire_actions.DROPPED),
    ):
        compiled = Compiled(table_of("", wishes, EMPTY))
        with TestRun(wishes, FOREVER) as run:
            for frame, flow in zip(frames, flows, strict=True):
                assert raw_accepts(compiled, frame) is (fate is Fate.ACCEPTED), flow
                assert run.fate(frame) is fate, flow
        nft.call(actions.apply, wishes)
        nft.call(actions.renew, LEASE_MS)
        found = nft.call(wire_actions.fates, frames)
        assert [flow for flow, got in zip(flows, found, strict=True) if bytes((got,)) != letter] == []


@pytest.mark.parametrize("shared", [VIP4, VIP6], ids=["IPv4", "IPv6"])
def test_udp_of_slots_on_the_move_has_the_fate_that_raw_gives_it(shared: Address, nft: Inside) -> None:
    """(The BPF program is held against raw in tests/property.)"""
    dice = random.Random(f"{SEED} {shared.ip} UDP")
    address = replace(shared, hash_kind=HashKind.SOURCEIP_SOURCEPORT)
    ip, slots = address.ip.packed, range(address.slots)
    sent = [packet for shape in (shapes if shared is VIP4 else shapes6)(address) for packet in shape.packets]
    packets = [packet for packet in talk(dice, shared, sent) if has_no_connection(packet, address)]
    assert sum(read_utterance(packet) is None for packet in packets) > 20, "fragments and pings"
    frames = [framed(packet, IPV4 if shared is VIP4 else IPV6, address.mac) for packet in packets]
    known = Known(has=lambda connection: False, half_open=lambda connection: False)
    noted: set[bytes] = set()
    known.hears = lambda to, name: to == ip and name in noted

    def fates_in(state: SlotState) -> list[bool]:
        nft.call(actions.apply, [Wish(address, dict.fromkeys(slots, state))])
        nft.call(actions.renew, LEASE_MS)
        return [bytes((letter,)) == wire_actions.ACCEPTED for letter in nft.call(wire_actions.fates, frames)]

    for state in (SlotState.KEEPING_UDP, SlotState.DRAINING, SlotState.LEAVING_UDP, SlotState.OPENING):
        if state is SlotState.OPENING:
            nft.call(actions.leave, address.resource, slots, noted)
            known.leave([Kept(ip, frozenset(slots), frozenset(noted))])
        found = fates_in(state)
        for packet, accepted in zip(packets, found, strict=True):
            assert accepted is belongs(state, packet, known, 0), (state, packet.hex())
        if state is SlotState.KEEPING_UDP:
            said = [read_utterance(packet) for packet in packets]
            noted |= {one.name for one in said if one is not None and not one.is_quote}
            heard = nft.call(actions.conversations, address.resource, slots, FOREVER)
            assert heard.slots == {name: datagrams.slot_of(name, address) for name in noted}


def has_no_connection(packet: bytes, address: Address) -> bool:
    return (
        read_segment(packet) is None
        and not is_tcp_fragment(packet)
        and not isinstance(slot_for(address, packet), Unhashable)
        and getattr(look(packet), "protocol", TCP) != TCP
        and not is_neighbour_discovery(packet)
    )


def own_address(number: int, flow: Vector) -> str:
    return f"10.77.{100 + number // 250}.{1 + number % 250}" if flow.version == 4 else f"fd77::{1 + number:x}"


def raw_accepts(compiled: Compiled, frame: bytes) -> bool:
    placed = compiled.place(frame[ETHERNET:])
    return placed is not None and not isinstance(placed[1], Unhashable) and placed[2] == OPEN


def as_nft_reads(frame: bytes, wishes: dict[bytes, Wish]) -> tuple[Fate, str]:
    """Where rules read otherwise, it is a packet that the host's stack discards whoever accepts it.

    They read a frame to its end, padding behind the packet's end included; believe the length of an extension header
    that is the last; and the length of a packet that is a fragment beginning with an extension header.
    """
    rightly = as_on_a_wire(frame, wishes)
    read = as_on_a_wire(with_padding_as_content(frame), wishes)
    if read == (Fate.DROPPED, "truncated") and trusted_by_nft(frame[untagged(frame) :], wishes):
        read = as_on_a_wire(without_extensions(frame), wishes)
    assert rightly in (read, (Fate.DROPPED, "truncated")), frame.hex()
    return read


def untagged(frame: bytes) -> int:
    """Where the packet begins."""
    return ETHERNET + 4 * (frame[12:14] in (b"\x81\x00", b"\x88\xa8"))


def trusted_by_nft(packet: bytes, wishes: dict[bytes, Wish]) -> bool:
    """An IPv6 packet that is shorter than its extension headers, or it itself, say, and that has an address to hash."""
    if len(packet) < 40 or packet[0] >> 4 != 6:
        return False
    is_whole = 40 + int.from_bytes(packet[4:6], "big") <= len(packet)
    protocol, at = packet[6], 40
    while protocol in (0, 43, 44, 51, 60):
        if at + (4 if protocol in (43, 44) else 2) > len(packet):
            return False
        if protocol == 44 and (packet[at + 2] or packet[at + 3] & 0xF9):
            # the kernel looks at half of a fragment header
            return packet[at] in (0, 43, 44, 51, 59, 60) or (is_whole and at + 8 > len(packet))
        if protocol == 51:
            break
        length = 8 if protocol == 44 else (packet[at + 1] + 1) * 8
        protocol, at = packet[at], at + length
    address = wishes[packet[24:40]].address
    looked_at = {ICMPV6, *(PORT_PROTOCOLS if PORTS_IN_KEY[address.hash_kind] or address.port_rules else ())}
    return is_whole and at > len(packet) and protocol not in looked_at


def fragmented_twice(packet: bytes) -> bool:
    """A fragment header behind an atomic one, which rules cannot look at: RFC 8200 knows one fragment header."""
    protocol, at, before = packet[6:7], 40, 0
    while protocol in (b"\0", b"\x2b", b"\x2c", b"\x3c") and at + 2 <= len(packet):
        before += protocol == b"\x2c"
        protocol, at = packet[at : at + 1], at + (8 if protocol == b"\x2c" else (packet[at + 1] + 1) * 8)
    return before > 1


def without_extensions(frame: bytes) -> bytes:
    """The same sender's packet of a protocol without ports."""
    at = untagged(frame)
    return frame[: at + 4] + b"\0\0\x3b" + frame[at + 7 : at + 40]


def with_padding_as_content(frame: bytes) -> bytes:
    at = untagged(frame)
    packet = bytearray(frame[at:])
    ethertype, whole = frame[at - 2 : at], len(packet)
    if ethertype == IPV4 and whole >= 20 and 4 * (packet[0] & 15) <= int.from_bytes(packet[2:4], "big") <= whole:
        packet[2:4] = whole.to_bytes(2, "big")
    elif ethertype == IPV6 and whole >= 40 and 40 + int.from_bytes(packet[4:6], "big") <= whole:
        packet[4:6] = (whole - 40).to_bytes(2, "big")
    return frame[:at] + bytes(packet)


def as_on_a_wire(frame: bytes, wishes: dict[bytes, Wish]) -> tuple[Fate, str]:
    """The kernel takes an outer tag off before anybody looks; of another VLAN a frame is not ours, a priority is."""
    if frame[12:14] in (b"\x81\x00", b"\x88\xa8") and len(frame) >= ETHERNET + 4:
        if int.from_bytes(frame[14:16], "big") & 0x0FFF:
            return Fate.NOT_OURS, ""
        return judged(frame[:12] + frame[16:], wishes)
    return judged(frame, wishes)
