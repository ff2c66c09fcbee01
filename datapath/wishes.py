"""What is wanted of an engine: checked before anything is done, and compared with what is held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from datapath import ports
from datapath.engine import (
    Address,
    Change,
    DatapathError,
    HashKind,
    HashOrder,
    PortFate,
    SlotState,
    Wish,
)
from datapath.hashing import SLOTS_MAX
from datapath.mac import parse_mac

_WORDS = {
    SlotState.CLOSED: "closed",
    SlotState.OPEN: "opened",
    SlotState.DRAINING: "draining",
    SlotState.OPENING: "opening",
    SlotState.NOTING: "noting",
    SlotState.KEEPING_UDP: "draining, UDP kept",
    SlotState.LEAVING_UDP: "opening, but for UDP",
}
_STATES = tuple(SlotState)
"""by their numbers; CLOSED is 0"""
_SEED_MAX = 0xFFFFFFFF


def check(wishes: Sequence[Wish]) -> list[Wish]:
    """The wishes without slots that are named as closed; DatapathError names the first thing that cannot be."""
    resources: set[str] = set()
    ips = set()
    checked = []
    for wish in wishes:
        address = wish.address
        if address.resource in resources:
            raise DatapathError(f"the address {address.resource} is wanted twice")
        if address.ip in ips:
            raise DatapathError(
                f"{address.ip} is wanted by two resources, {address.resource} is one; remove either"
            )
        _check_address(address)
        resources.add(address.resource)
        ips.add(address.ip)
        if wish.states and not (min(wish.states) >= 0 and max(wish.states) < address.slots):
            outside = [slot for slot in wish.states if not 0 <= slot < address.slots]
            raise DatapathError(
                f"{address.resource} has no slot {outside[0]}: its slots are 0 to {address.slots - 1}"
            )
        checked.append(Wish(address, {slot: _STATES[state] for slot, state in wish.states.items() if state}))
    return checked


@lru_cache(maxsize=8192)
def _check_address(address: Address) -> None:
    if not 1 <= address.slots <= SLOTS_MAX:
        raise DatapathError(f"{address.resource} wants {address.slots} slots; 1 to {SLOTS_MAX} are possible")
    if not 0 <= address.seed <= _SEED_MAX:
        raise DatapathError(f"{address.resource} has the seed {address.seed}; it is a number of 32 bits")
    if address.hash_order is HashOrder.CLUSTERIP:
        _check_clusterip(address)
    _check_port_rules(address)
    try:
        spelled = parse_mac(address.mac, address.mac_mode)
    except ValueError as problem:
        raise DatapathError(f"{address.resource}: {problem}") from problem
    if spelled != address.mac:
        raise DatapathError(f"{address.resource}: write its MAC {address.mac!r} as {spelled}")


def _check_clusterip(address: Address) -> None:
    if address.ip.version != 4:
        raise DatapathError(
            f"{address.resource}: clusterip_hash_order=clusterip is for IPv4, ipt_CLUSTERIP had no IPv6; leave it out"
        )
    if address.hash_kind is HashKind.SOURCENET:
        raise DatapathError(
            f"{address.resource}: ipt_CLUSTERIP had no hash {address.hash_kind.value}; "
            "choose another clusterip_hash, or leave clusterip_hash_order out"
        )


def _check_port_rules(address: Address) -> None:
    try:
        understood = ports.parse(ports.spell(address.port_rules))
    except (ValueError, KeyError) as problem:
        raise DatapathError(f"{address.resource}: {problem}") from problem
    if understood != address.port_rules:
        raise DatapathError(f"{address.resource}: {ports.spell(address.port_rules)!r} are no rules for ports")
    for rule in address.port_rules:
        if rule.fate is PortFate.ONE and not 0 <= rule.slot < address.slots:
            raise DatapathError(
                f"{address.resource}: ports {rule.first} to {rule.last} are to go to slot {rule.slot}, "
                f"but its slots are 0 to {address.slots - 1}"
            )


def differences(held: Iterable[Wish], wanted: Iterable[Wish]) -> list[Change]:
    """From held to wanted as sentences' parts: addresses added and removed, slots by their new state."""
    before = {wish.address.ip: wish for wish in held}
    after = {wish.address.ip: wish for wish in wanted}
    changes = [
        Change(wish.address.resource, "removed", detail=str(ip))
        for ip, wish in before.items()
        if ip not in after or after[ip].address != wish.address
    ]
    for ip, wish in after.items():
        old = before.get(ip)
        if old is None or old.address != wish.address:
            detail = f"{ip}/{wish.address.prefixlen} on {wish.address.interface}, {wish.address.mac}"
            changes.append(Change(wish.address.resource, "added", detail=detail))
            old = Wish(wish.address)
        if old.states != wish.states:
            changes += _slot_changes(old, wish)
    return changes


def whom_it_concerns(prepared: frozenset[Address] | None, after: Sequence[Address]) -> tuple[list[Address], bool]:
    """(addresses that the host is to be set up for, whether there may be something to take back).

    `prepared` are those that it was last set up for; None: that is not known, so all are looked at.
    """
    if prepared is None:
        return list(after), True
    return [address for address in after if address not in prepared], not prepared.issubset(after)


Transition = tuple[SlotState, SlotState]
"""state before, state after"""


def transitions(before: Mapping[int, SlotState], after: Mapping[int, SlotState]) -> dict[Transition, list[int]]:
    """Slots whose state differs, by how; what is not named is closed.

    Thousands of slots change at once, in a handful of ways: what is asked of each way need not be asked of each slot.
    """
    closed = SlotState.CLOSED
    was, is_ = before.get, after.get
    found: dict[Transition, list[int]] = {}
    way: Transition = (closed, closed)
    slots: list[int] = []
    for slot in sorted(before.keys() | after.keys()) if before and after else sorted(before or after):
        old, new = was(slot, closed), is_(slot, closed)
        if old is new:
            continue
        if old is not way[0] or new is not way[1]:  # neighbours mostly go the same way, and to hash it is dear
            way = old, new
            slots = found.setdefault(way, [])
        slots.append(slot)
    return found


def _slot_changes(old: Wish, new: Wish) -> list[Change]:
    by_state: dict[SlotState, list[int]] = {}
    for (_, state), slots in transitions(old.states, new.states).items():
        by_state.setdefault(state, []).extend(slots)
    return [Change(new.address.resource, _WORDS[state], tuple(sorted(slots))) for state, slots in by_state.items()]
