"""What is listed of connections before and while slots move, when the slots change in the middle of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from datapath.engine import Address, SlotState, Wish
from datapath.netlink import Message
from datapath.nft import contents, kept
from datapath.nft.kept import Kept
from datapath.nft.moves import LocalFlows, movement
from datapath.nft.names import Names
from datapath.nft.protocol import Msg
from tests.unit.datapath_hold.taps import ADDRESS

OPEN, NOTING, DRAINING = SlotState.OPEN, SlotState.NOTING, SlotState.DRAINING
OTHER = replace(ADDRESS, resource="VIP2", ip=IPv4Address("192.168.110.121"))
NAMES = [bytes((10, 0, 0, 1)) + port.to_bytes(2, "big") + bytes((0, 80)) for port in range(2000, 2040)]
"""of connections to each address, in all of its slots"""


@dataclass(frozen=True)
class Answer:
    """Of the kernel: some of the connections."""

    names: list[bytes]

    @property
    def half_open(self) -> list[bool]:
        return [False] * len(self.names)


class Sets:
    """The kernel's sets, as far as messages of elements change them."""

    def __init__(self) -> None:
        self.of: dict[str, set[bytes]] = {}
        self.said: list[Message] = []

    def transact(self, messages: Sequence[Message]) -> None:
        self.said += messages


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch) -> Sets:
    def connections(_: IPv4Address | IPv6Address) -> Iterator[Answer]:
        for at in range(0, len(NAMES), 10):
            yield Answer(NAMES[at : at + 10])

    class Beside:
        def __init__(self, _: int) -> None: ...

        def close(self) -> None: ...

    sets = Sets()
    monkeypatch.setattr(kept, "connections", connections)
    monkeypatch.setattr(kept, "Socket", Beside)
    monkeypatch.setattr(kept, "flows_by_parts", lambda _, of_set: iter([sorted(sets.of.get(of_set, ()))]))
    return sets


def step(job: Iterator[None], times: int = 1) -> None:
    for _ in range(times):
        next(job)


def finish(jobs: Iterable[None]) -> None:
    for _ in jobs:
        pass


def lists_at_once(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """The addresses whose connections are listed within `apply` from now on."""
    asked: list[Address] = []

    def local_flows(address: Address) -> LocalFlows:
        asked.append(address)
        return LocalFlows({}, set())

    monkeypatch.setattr(kept, "local_flows", local_flows)
    return asked


def states(*of_slots: SlotState) -> Wish:
    return Wish(ADDRESS, {number: state for number, state in enumerate(of_slots) if state})


def test_a_drain_that_ends_beside_it_does_not_undo_what_was_listed(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, noting = Kept(sets.transact), states(NOTING, NOTING, DRAINING, DRAINING)
    job = listed.prepare(noting)
    step(job, 2)
    fewer = states(NOTING, NOTING, DRAINING)
    listed.follow(noting, fewer)
    finish(job)
    asked = lists_at_once(monkeypatch)
    listed.messages(movement(fewer, states(DRAINING, DRAINING, DRAINING)))
    assert asked == []


def test_a_slot_that_was_open_in_between_is_listed_anew(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, noting = Kept(sets.transact), states(NOTING, NOTING)
    job = listed.prepare(noting)
    step(job, 2)
    for before, after in ((noting, states(NOTING, OPEN)), (states(NOTING, OPEN), noting)):
        listed.follow(before, after)
    finish(job)
    asked = lists_at_once(monkeypatch)
    listed.messages(movement(noting, states(DRAINING, NOTING)))
    assert asked == [], "slot 0 was listed"
    listed.messages(movement(noting, states(NOTING, DRAINING)))
    assert asked == [ADDRESS]


def test_sets_that_somebody_has_destroyed_meanwhile_count_as_empty(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, noting = Kept(sets.transact), states(NOTING, NOTING)
    job = listed.prepare(noting)
    step(job, 2)
    listed.inherit([ADDRESS.ip])
    finish(job)
    asked = lists_at_once(monkeypatch)
    listed.messages(movement(noting, states(DRAINING, DRAINING)))
    assert asked == [ADDRESS]


def test_an_address_that_moves_on_while_another_is_tidied_loses_no_flow(sets: Sets) -> None:
    listed = Kept(sets.transact)
    draining = Wish(ADDRESS, {0: DRAINING})
    held = {ADDRESS.ip: draining, OTHER.ip: Wish(OTHER, {0: DRAINING, 1: OPEN})}
    flows = set(map(contents.flow_key_of, NAMES))
    job = listed.tidy(lambda: held)
    step(job)
    moved = Wish(OTHER, dict.fromkeys(range(OTHER.slots), DRAINING))
    listed.follow(held[OTHER.ip], moved)
    held[OTHER.ip] = moved
    sets.of[Names.of(OTHER.ip).keep] = flows
    sets.said.clear()
    finish(job)
    assert [m for m in sets.said if m.type & 0xFF == Msg.DELSETELEM and Names.of(OTHER.ip).keep in m.what] == []
