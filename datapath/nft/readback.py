"""What the kernel holds of ours, read and not remembered."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any

from datapath.engine import Address, Counter, SlotState
from datapath.netlink import Fields, KernelError, Socket
from datapath.nft.lease import Term
from datapath.nft.names import CHAIN_STATES, FIXED_SETS, LEASE, TABLE, Fate, Names, recognise
from datapath.nft.protocol import (
    CHAIN,
    ELEMENT_INTERVAL_END,
    ELEMENTS,
    GENERATION,
    OBJECT,
    OBJECT_COUNTER,
    RULE,
    SET,
    Family,
    Msg,
    message,
    payload_of,
)
from datapath.nft.protocol import TABLE as TABLE_FIELDS

_slot = Struct("=I")
_WHAT_OURS = "read its rule set back"


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
        found = (recognise(chain.get("userdata", b"")) for chain in self._chains(Family.NETDEV))
        return [address for address in found if address is not None]

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
        """The flows that a keep or mine set holds (ruleset.flow_key)."""
        return [element["key"]["value"] for element in self.elements(set_name)]

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

    def structure(self) -> frozenset[str]:
        """Chains, rules in their order, sets and counters of both tables as text: what nobody else may change.

        Elements of slots maps are not part of it: they are compared by meaning (`slots`).
        """
        parts: set[str] = set()
        for family in (Family.NETDEV, Family.ARP):
            for chain in self._chains(family):
                parts.add(f"{family} chain {sorted(chain.items())}")
            place: dict[str, int] = {}
            for rule in self._dump(Msg.GETRULE, family, RULE, {"table": TABLE}):
                if rule["table"] != TABLE:
                    continue
                chain_name = rule["chain"]
                place[chain_name] = place.get(chain_name, 0) + 1
                parts.add(f"{family} rule {chain_name} {place[chain_name]} {rule['expressions']}")
            for found in self._dump(Msg.GETSET, family, SET, {"table": TABLE}):
                parts.add(f"{family} set {sorted((k, v) for k, v in found.items() if k != 'id')}")
            for name in FIXED_SETS[family]:
                parts |= {f"{family} element {name} {element}" for element in self.elements(name, family)}
        for found in self._dump(Msg.GETOBJ, Family.NETDEV, OBJECT, {"table": TABLE, "type": OBJECT_COUNTER}):
            parts.add(f"counter {found['name']}")
        return frozenset(parts)

    def elements(self, set_name: str, family: Family = Family.NETDEV) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for answer in self._dump(Msg.GETSETELEM, family, ELEMENTS, {"table": TABLE, "set": set_name}):
            found += answer.get("elements", [])
        return found

    def _chains(self, family: Family) -> Iterator[dict[str, Any]]:
        return (chain for chain in self._dump(Msg.GETCHAIN, family, CHAIN, {}) if chain["table"] == TABLE)

    def _dump(self, kind: Msg, family: Family, fields: Fields, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        request = message(kind, family, fields.pack(wanted), _WHAT_OURS)
        try:
            return [fields.unpack(payload_of(body)) for body in self._netlink.dump(request)]
        except KernelError as refusal:
            if refusal.errno == errno.ENOENT:
                return []
            raise
