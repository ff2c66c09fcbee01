"""Messages that change what an address's maps and sets hold: its slots' states, flows, conversations and SYNs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Any

from datapath.netlink import Message
from datapath.nft.blocks import flush_set, list_element, packed_elements
from datapath.nft.names import STATE_CHAINS, Names, Part
from datapath.nft.protocol import ELEMENT, Family, Msg, Verdict
from datapath.nft.states import HEARD_TIMEOUT_MS, SYN_TIMEOUT_MS
from datapath.wishes import Transition

_port = Struct("!Hxx")


def set_slots(ip: IPv4Address | IPv6Address, ways: Mapping[Transition, Sequence[int]]) -> list[Message]:
    """Move slots from state to state: an element cannot be changed, but replaced within a transaction."""
    leaving = [slot for (before, _), slots in ways.items() if before for slot in slots]
    entering: dict[Part, list[int]] = {}
    for (_, after), slots in ways.items():
        if after:
            entering.setdefault(STATE_CHAINS[after], []).extend(slots)
    return _replace(ip, leaving, entering)


def note_syns(ip: IPv4Address | IPv6Address, slots: Iterable[int]) -> list[Message]:
    """Slots that are open go on so, and each new SYN to them is noted (the first step of draining)."""
    chosen = list(slots)
    return _replace(ip, chosen, {Part.NOTING: chosen})


def reopen(ip: IPv4Address | IPv6Address, slots: Iterable[int]) -> list[Message]:
    """Take `note_syns` back."""
    chosen = list(slots)
    return _replace(ip, chosen, {Part.OPEN: chosen})


def _replace(
    ip: IPv4Address | IPv6Address, leaving: Sequence[int], entering: Mapping[Part, Sequence[int]]
) -> list[Message]:
    own = Names.of(ip)
    additions: list[bytes] = []
    for part, slots in entering.items():
        to_chain = {"verdict": {"code": Verdict.GOTO, "chain": own.chain(part)}}
        additions += _elements_of_slots({"data": to_chain}, slots)
    return [
        *packed_elements(Msg.DELSETELEM, own.slots, _elements_of_slots({}, leaving), "close slots"),
        *packed_elements(Msg.NEWSETELEM, own.slots, additions, "open slots"),
    ]


def _elements_of_slots(more: Mapping[str, Any], slots: Sequence[int]) -> list[bytes]:
    """Elements of a slots map: thousands differ in four bytes only, and the rest is packed once."""
    sample = list_element(ELEMENT.pack({"key": {"value": b"slot"}, **more}))
    head, tail = sample.split(b"slot")
    pack = Struct(f"={len(head)}sI{len(tail)}s").pack
    return [pack(head, slot, tail) for slot in slots]


def keep_flows(ip: IPv4Address | IPv6Address, flows: Iterable[bytes]) -> list[Message]:
    """Flows (see `flow_key`) of local sockets stay here while their slot moves."""
    elements = [list_element(ELEMENT.pack({"key": {"value": flow}})) for flow in flows]
    return packed_elements(Msg.NEWSETELEM, Names.of(ip).keep, elements, "keep the flows of local sockets")


def note_flows(ip: IPv4Address | IPv6Address, flows: Iterable[bytes]) -> list[Message]:
    """Half-open flows: their SYN was taken here, and may be repeated."""
    return packed_elements(Msg.NEWSETELEM, Names.of(ip).mine, _timed(flows), "note half-open flows")


def know_heard(ip: IPv4Address | IPv6Address, lasting_ms: Mapping[bytes, int]) -> list[Message]:
    """Conversations of UDP (see `flow_key`), and what is left of HEARD_TIMEOUT_MS for each."""
    elements = [
        list_element(ELEMENT.pack({"key": {"value": key}, "timeout": HEARD_TIMEOUT_MS, "expiration": max(1, left)}))
        for key, left in lasting_ms.items()
    ]
    return packed_elements(Msg.NEWSETELEM, Names.of(ip).heard, elements, "note conversations")


def leave_conversations(ip: IPv4Address | IPv6Address, keys: Iterable[bytes]) -> list[Message]:
    elements = [list_element(ELEMENT.pack({"key": {"value": key}})) for key in keys]
    return packed_elements(Msg.NEWSETELEM, Names.of(ip).left, elements, "leave conversations with their old owner")


def refuse_syns(ip: IPv4Address | IPv6Address, flows: Iterable[bytes], syns: Iterable[bytes]) -> list[Message]:
    """Flows, and SYNs by flow and number, that another host has taken."""
    own = Names.of(ip)
    return [
        message
        for name, keys in ((own.never, flows), (own.never_syns, syns))
        for message in packed_elements(Msg.NEWSETELEM, name, _timed(keys), "refuse what another host has taken")
    ]


def _timed(keys: Iterable[bytes]) -> list[bytes]:
    """Elements that are forgotten after SYN_TIMEOUT_MS.  Only their keys differ: the rest is packed once."""
    tail = ELEMENT.pack({"timeout": SYN_TIMEOUT_MS})
    heads: dict[int, bytes] = {}
    elements = []
    for key in keys:
        length = len(key)
        if length not in heads:
            heads[length] = ELEMENT.pack({"key": {"value": bytes(length)}})[:-length]
        elements.append(list_element(heads[length] + key + tail))
    return elements


def forget_refused(ip: IPv4Address | IPv6Address) -> list[Message]:
    own = Names.of(ip)
    return [flush_set(Family.NETDEV, own.never), flush_set(Family.NETDEV, own.never_syns)]


def forget_all_flows(ip: IPv4Address | IPv6Address) -> list[Message]:
    own = Names.of(ip)
    return [flush_set(Family.NETDEV, own.keep), flush_set(Family.NETDEV, own.mine)]


def forget_flows(set_name: str, flows: Iterable[bytes]) -> list[Message]:
    elements = [list_element(ELEMENT.pack({"key": {"value": flow}})) for flow in flows]
    return packed_elements(Msg.DELSETELEM, set_name, elements, "forget flows")


def flow_key_of(name: bytes) -> bytes:
    """A flow or a SYN as hosts tell it each other (datapath.hold.syns), as keep, mine and never hold it."""
    length = 4 if len(name) < 16 else 16
    client, ports, number = name[:length], name[length : length + 4], name[length + 4 :]
    return client + ports[:2] + b"\0\0" + ports[2:] + b"\0\0" + number


def name_of(key: bytes) -> bytes:
    """The inverse of `flow_key_of`, of a flow."""
    return key[:-8] + key[-8:-6] + key[-4:-2]


def flow_key(client: IPv4Address | IPv6Address, client_port: int, local_port: int) -> bytes:
    """A flow as keep and mine hold it; the same bytes as the key of sourceip-sourceport-destport."""
    return client.packed + _port.pack(client_port) + _port.pack(local_port)
