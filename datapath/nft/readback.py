"""What the kernel holds of ours, read and not remembered."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from struct import Struct
from typing import Any

from datapath.engine import Address, Counter, SlotState
from datapath.netlink import Fields, KernelError, Socket
from datapath.nft.lease import Term
from datapath.nft.names import (
    CHAIN_STATES,
    FIXED_SETS,
    LEASE,
    TABLE,
    Fate,
    Names,
    Part,
    recognise,
    recognise_ports,
)
from datapath.nft.protocol import (
    CHAIN,
    ELEMENT_INTERVAL_END,
    ELEMENTS,
    GENERATION,
    OBJECT,
    OBJECT_COUNTER,
    RULE,
    Family,
    Msg,
    message,
    payload_of,
)
from datapath.nft.protocol import TABLE as TABLE_FIELDS

_slot = Struct("=I")
_milliseconds = Struct(">Q")
_attribute = Struct("=HH")
_first_key = Struct("=HHHHHH")
"""of an element of a set: its own attribute's header, its key's, its key's value's"""
_length = Struct("=H")
_TABLE_AT = 4
"""in the body of a rule: behind nfgenmsg, which tells the generation (nf_tables_fill_rule_info)"""
_OF_OUR_TABLE = _attribute.pack(4 + len(TABLE) + 1, 1) + TABLE.encode() + b"\0"
_CHAIN_AT = _TABLE_AT + (len(_OF_OUR_TABLE) + 3 & ~3)
_READS_MAX = 4
_KIND = 0x3FFF
_ELEMENT_LIST, _ELEMENT_KEY, _ELEMENT_EXPIRATION, _DATA_VALUE = 3, 1, 5, 1
_WHAT_OURS = "read its rule set back"


def flows_by_parts(beside: Socket, set_name: str) -> Iterator[list[bytes]]:
    """The keys of a set of flows, some hundreds at a time; `beside` is a socket that nobody else uses."""
    request = message(Msg.GETSETELEM, Family.NETDEV, ELEMENTS.pack({"table": TABLE, "set": set_name}), _WHAT_OURS)
    try:
        for answers in beside.parts(request):
            yield _keys_of(answers)
    except KernelError as refusal:
        if refusal.errno != errno.ENOENT:
            raise


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """An entry of a slots map."""

    state: SlotState
    packets: int
    bytes: int


class Reader:
    """Asks one nf_tables socket; what is not there reads as empty."""

    def __init__(self, netlink: Socket) -> None:
        self._netlink = netlink

    def generation(self) -> int:
        """A number that every change of anybody's rules raises by one."""
        body = self._netlink.get(message(Msg.GETGEN, Family.NETDEV, b"", "tell the generation of its rules"))
        return int(GENERATION.unpack(payload_of(body))["id"])

    def has_table(self, family: Family) -> bool:
        return any(table["name"] == TABLE for table in self._dump(Msg.GETTABLE, family, TABLE_FIELDS, {}))

    def addresses(self) -> list[Address]:
        """The addresses that our chains describe."""
        said = {chain["name"]: chain.get("userdata", b"") for chain in self._chains(Family.NETDEV)}
        found = (recognise(userdata) for userdata in said.values())
        return [
            replace(address, port_rules=recognise_ports(said.get(Names.of(address.ip).chain(Part.PORTS), b"")))
            for address in found
            if address is not None
        ]

    def slots(self, address: Address) -> dict[int, HeldSlot]:
        """State and counter of each slot that is not closed."""
        names = Names.of(address.ip)
        by_chain = {names.chain(part): state for part, state in CHAIN_STATES.items()}
        held = {}
        for element in self.elements(names.slots):
            (slot,) = _slot.unpack(element["key"]["value"])
            target = element.get("data", {}).get("verdict", {}).get("chain", "")
            counter = element.get("expression", ("", {}))[1]
            state = by_chain.get(target, SlotState.CLOSED)
            held[slot] = HeldSlot(state, counter.get("packets", 0), counter.get("bytes", 0))
        return held

    def flows(self, set_name: str) -> list[bytes]:
        """The keys of a set of flows or SYNs (contents.flow_key); thousands in a few milliseconds."""
        return _keys_of(self._elements_of(set_name))

    def _elements_of(self, set_name: str) -> Sequence[bytes]:
        """The answers in which they are listed."""
        request = message(
            Msg.GETSETELEM, Family.NETDEV, ELEMENTS.pack({"table": TABLE, "set": set_name}), _WHAT_OURS
        )
        try:
            return self._netlink.dump(request)
        except KernelError as refusal:
            if refusal.errno == errno.ENOENT:
                return []
            raise

    def all_flows(self, set_name: str) -> set[bytes]:
        """The same, and none is missing.

        A list that does not fit into one answer goes on by counting elements, and the kernel may have rehashed the set
        in between (nft_set_hash.c): it is read until it brings nothing new.
        """
        found: set[bytes] = set()
        for _ in range(_READS_MAX):
            before, answers = len(found), self._elements_of(set_name)
            found.update(_keys_of(answers))
            if len(answers) <= 1 or len(found) == before:
                break
        return found

    def lasting(self, set_name: str) -> dict[bytes, int]:
        """Key → what is left of its timeout, in ms, of a set whose elements all have one.

        None is missing (`all_flows`).
        """
        found: dict[bytes, int] = {}
        for _ in range(_READS_MAX):
            before, answers = len(found), self._elements_of(set_name)
            for body in answers:
                found.update(_lasting(payload_of(body)))
            if len(answers) <= 1 or len(found) == before:
                break
        return found

    def lease(self) -> Term:
        """The lease with what is left of its timeout; 0 ms where there is none."""
        wall_ns = 0
        left_ms = 0
        for element in self.elements(LEASE):
            if element.get("flags", 0) & ELEMENT_INTERVAL_END:
                wall_ns = int.from_bytes(element["key"]["value"], "big")
            else:
                left_ms = element.get("expiration", 0)
        return Term(wall_ns, left_ms if wall_ns else 0)

    def counters(self) -> list[Counter]:
        """Packets of each address by fate, each packet once.

        Open slots say for themselves what they have accepted since they were opened; what the address has accepted
        besides, in slots that move or were open earlier, is its own.
        """
        counters = []
        for address in self.addresses():
            names = Names.of(address.ip)
            # slots before totals would be short of packets in between; the remainder never is negative so
            is_open = {slot: held for slot, held in self.slots(address).items() if held.state is SlotState.OPEN}
            by_slot = [
                Counter(address.resource, slot, Fate.ACCEPTED, held.packets, held.bytes)
                for slot, held in sorted(is_open.items())
            ]
            totals = self._totals()
            for fate in Fate:
                total = totals.get(names.counter(fate), {"packets": 0, "bytes": 0})
                own = by_slot if fate is Fate.ACCEPTED else []
                packets = max(0, total["packets"] - sum(counter.packets for counter in own))
                octets = max(0, total["bytes"] - sum(counter.bytes for counter in own))
                counters.append(Counter(address.resource, None, fate, packets, octets))
            counters += by_slot
        return counters

    def _totals(self) -> dict[str, dict[str, int]]:
        request = {"table": TABLE, "type": OBJECT_COUNTER}
        return {found["name"]: found["data"] for found in self._dump(Msg.GETOBJ, Family.NETDEV, OBJECT, request)}

    def frame(self) -> frozenset[str]:
        """The chains that packets come in by, and what our fixed sets hold, as text: what hangs on no address."""
        parts = {f"{family} chain {sorted(chain.items())}" for family, chain in self._hooked()}
        for name in FIXED_SETS:
            parts |= {f"element {name} {element}" for element in self.elements(name)}
        return frozenset(parts)

    def base_chains(self) -> frozenset[tuple[Family, str]]:
        return frozenset((family, chain["name"]) for family, chain in self._hooked())

    def _hooked(self) -> Iterator[tuple[Family, dict[str, Any]]]:
        return ((family, chain) for family in Family for chain in self._chains(family) if "hook" in chain)

    def rules(self, family: Family | None = None, chain: str | None = None) -> dict[tuple[Family, str], bytes]:
        """Chain → a digest of its rules in their order, as the kernel lists them; of one chain, or of all.

        A thousand addresses have some seventy thousand rules: they are not looked into.
        """
        found: dict[tuple[Family, str], list[bytes]] = {}
        for own in Family if family is None else (family,):
            wanted = {"table": TABLE} if chain is None else {"table": TABLE, "chain": chain}
            for body in self._bodies(Msg.GETRULE, own, RULE.pack(wanted)):
                length = _length.unpack_from(body, _CHAIN_AT)[0]
                if body.startswith(_OF_OUR_TABLE, _TABLE_AT):
                    name = body[_CHAIN_AT + 4 : _CHAIN_AT + length - 1].decode()
                    found.setdefault((own, name), []).append(body[_TABLE_AT:])
        return {place: blake2b(b"".join(bodies), digest_size=16).digest() for place, bodies in found.items()}

    def pairs(self, family: Family, set_name: str) -> frozenset[tuple[bytes, bytes | str]]:
        """Key and data, or the chain that it leads to, of each element."""
        return frozenset(
            (
                element["key"]["value"],
                data.get("value", b"") if "verdict" not in data else data["verdict"].get("chain", ""),
            )
            for element in self.elements(set_name, family)
            for data in (element.get("data", {}),)
        )

    def elements(self, set_name: str, family: Family = Family.NETDEV) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for answer in self._dump(Msg.GETSETELEM, family, ELEMENTS, {"table": TABLE, "set": set_name}):
            found += answer.get("elements", [])
        return found

    def _chains(self, family: Family) -> Iterator[dict[str, Any]]:
        return (chain for chain in self._dump(Msg.GETCHAIN, family, CHAIN, {}) if chain["table"] == TABLE)

    def _dump(self, kind: Msg, family: Family, fields: Fields, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        return [fields.unpack(payload_of(body)) for body in self._bodies(kind, family, fields.pack(wanted))]

    def _bodies(self, kind: Msg, family: Family, wanted: bytes) -> list[bytes]:
        try:
            return self._netlink.dump(message(kind, family, wanted, _WHAT_OURS))
        except KernelError as refusal:
            if refusal.errno == errno.ENOENT:
                return []
            raise


def _lists(payload: bytes) -> Iterator[bytes]:
    at = 0
    while at + _attribute.size <= len(payload):
        length, kind = _attribute.unpack_from(payload, at)
        if length < _attribute.size:
            return
        if kind & _KIND == _ELEMENT_LIST:
            yield payload[at + _attribute.size : at + length]
        at += length + 3 & ~3


def _keys_of(answers: Sequence[bytes]) -> list[bytes]:
    return [key for body in answers for key in _keys(payload_of(body))]


def _keys(payload: bytes) -> Iterator[bytes]:
    """Keys of a list of elements; of each only what comes first is looked at, which is its key."""
    for elements in _lists(payload):
        yield from _keys_of_elements(elements)


def _lasting(payload: bytes) -> Iterator[tuple[bytes, int]]:
    """Keys with what is left of their timeouts.  Elements of one length are alike: where it is, one of them shows."""
    places: dict[int, int] = {}
    for elements in _lists(payload):
        at = 0
        while at + _first_key.size <= len(elements):
            length, _, _, key, value_length, value = _first_key.unpack_from(elements, at)
            if length < _first_key.size or key & _KIND != _ELEMENT_KEY or value & _KIND != _DATA_VALUE:
                return
            if length not in places:
                places[length] = _expiration_at(elements[at : at + length])
            if places[length]:
                (left_ms,) = _milliseconds.unpack_from(elements, at + places[length])
                start = at + _first_key.size
                yield elements[start : start + value_length - _attribute.size], left_ms
            at += length + 3 & ~3


def _expiration_at(element: bytes) -> int:
    """Where an element says what is left of its timeout; 0: it does not."""
    at = _attribute.size
    while at + _attribute.size <= len(element):
        length, kind = _attribute.unpack_from(element, at)
        if kind & _KIND == _ELEMENT_EXPIRATION:
            return at + _attribute.size
        if length < _attribute.size:
            break
        at += length + 3 & ~3
    return 0


def _keys_of_elements(elements: bytes) -> Iterator[bytes]:
    at = 0
    while at + _first_key.size <= len(elements):
        length, _, _, key, value_length, value = _first_key.unpack_from(elements, at)
        if length < _first_key.size or key & _KIND != _ELEMENT_KEY or value & _KIND != _DATA_VALUE:
            return
        yield elements[at + _first_key.size : at + _first_key.size + value_length - _attribute.size]
        at += length + 3 & ~3
