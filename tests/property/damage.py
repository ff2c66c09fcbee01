"""Frames with things wrong with them, and what datapath.hashing says becomes of each.

They begin as packets of every shape that clients send and are then damaged: bytes changed, lengths wrong, headers
cut off, fragments, options, extension headers, tags.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from datapath.engine import Address, HashKind, SlotState, Wish
from datapath.hashing import Unhashable, is_neighbour_discovery, slot_for
from datapath.mac import shared_mac
from tests.netns.frames import CLIENT_MAC, Shape
from tests.property.bpf_run import FRAME_BYTES_MAX, Fate

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


def expected(frame: bytes, wishes: Mapping[bytes, Wish]) -> Fate:
    """By datapath.hashing alone."""
    return judged(frame, wishes)[0]


def judged(frame: bytes, wishes: Mapping[bytes, Wish]) -> tuple[Fate, str]:
    """(fate, what it is counted as), the second empty for what is not ours."""
    packet = frame[ETHERNET:]
    if frame[12:14] == IPV4 and len(packet) >= 20:
        version, destination = 4, packet[16:20]
    elif frame[12:14] == IPV6 and len(packet) >= 40:
        version, destination = 6, packet[24:40]
    else:
        return Fate.NOT_OURS, ""
    wish = wishes.get(destination)
    if wish is None or wish.address.ip.version != version or is_neighbour_discovery(packet):
        return Fate.NOT_OURS, ""
    if packet[0] >> 4 != version:
        return Fate.DROPPED, "malformed"
    number = slot_for(wish.address, packet)
    if isinstance(number, Unhashable):
        return Fate.DROPPED, REASONS[number]
    if wish.states.get(number) is SlotState.OPEN:
        return Fate.ACCEPTED, "accepted"
    return Fate.DROPPED, "foreign"


REASONS = {
    Unhashable.TRUNCATED: "truncated",
    Unhashable.MALFORMED: "malformed",
    Unhashable.PORT_REFUSED: "refused-port",
}


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
        elif what == 4 and ethertype == IPV6 and dice.randrange(2):  # Neighbour Discovery, or nearly
            made[ETHERNET + 7 : ETHERNET + 8] = b"\xff"
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
