"""What is wanted of an engine: checked before anything is done, and compared with what is held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datapath.engine import Address, Change, DatapathError, SlotState, Wish
from datapath.hashing import SLOTS_MAX
from datapath.mac import parse_mac

_WORDS = {
    SlotState.CLOSED: "closed",
    SlotState.OPEN: "opened",
    SlotState.DRAINING: "draining",
    SlotState.OPENING: "opening",
}
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
        outside = [slot for slot in wish.states if not 0 <= slot < address.slots]
        if outside:
            raise DatapathError(
                f"{address.resource} has no slot {outside[0]}: its slots are 0 to {address.slots - 1}"
            )
        states = {slot: SlotState(state) for slot, state in wish.states.items() if state != SlotState.CLOSED}
        checked.append(Wish(address, states))
    return checked


def _check_address(address: Address) -> None:
    if not 1 <= address.slots <= SLOTS_MAX:
        raise DatapathError(f"{address.resource} wants {address.slots} slots; 1 to {SLOTS_MAX} are possible")
    if not 0 <= address.seed <= _SEED_MAX:
        raise DatapathError(f"{address.resource} has the seed {address.seed}; it is a number of 32 bits")
    try:
        spelled = parse_mac(address.mac, address.mac_mode)
    except ValueError as problem:
        raise DatapathError(f"{address.resource}: {problem}") from problem
    if spelled != address.mac:
        raise DatapathError(f"{address.resource}: write its MAC {address.mac!r} as {spelled}")


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
        changes += _slot_changes(old, wish)
    return changes


def _slot_changes(old: Wish, new: Wish) -> list[Change]:
    by_state: dict[SlotState, list[int]] = {}
    for slot in sorted({slot for slot, _ in old.states.items() ^ new.states.items()}):
        by_state.setdefault(new.states.get(slot, SlotState.CLOSED), []).append(slot)
    return [Change(new.address.resource, _WORDS[state], tuple(slots)) for state, slots in by_state.items()]
