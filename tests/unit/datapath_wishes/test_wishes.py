"""Wishes are checked before anything is done, and compared slot by slot."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from datapath.engine import Address, Change, DatapathError, HashKind, SlotState, Wish
from datapath.wishes import check, differences

ADDRESS = Address(
    resource="VIP",
    ip=IPv4Address("192.168.110.120"),
    prefixlen=24,
    interface="eth0",
    mac="21:37:6f:88:c2:a0",
    hash_kind=HashKind.SOURCEIP,
    seed=1,
    slots=4,
)
OTHER = replace(ADDRESS, resource="B", ip=IPv4Address("192.168.110.121"))


def test_closed_slots_are_as_good_as_unnamed() -> None:
    assert check([Wish(ADDRESS, {0: SlotState.OPEN, 1: SlotState.CLOSED})]) == [Wish(ADDRESS, {0: SlotState.OPEN})]


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ([Wish(ADDRESS), Wish(replace(OTHER, resource="VIP"))], "wanted twice"),
        ([Wish(ADDRESS), Wish(replace(OTHER, ip=ADDRESS.ip))], "two resources"),
        ([Wish(ADDRESS, {4: SlotState.OPEN})], "no slot 4: its slots are 0 to 3"),
        ([Wish(ADDRESS, {-1: SlotState.OPEN})], "no slot -1"),
        ([Wish(replace(ADDRESS, slots=0))], "0 slots"),
        ([Wish(replace(ADDRESS, slots=70_000))], "70000 slots"),
        ([Wish(replace(ADDRESS, seed=1 << 32))], "seed"),
        ([Wish(replace(ADDRESS, mac="20:37:6f:88:c2:a0"))], "group bit"),
        ([Wish(replace(ADDRESS, mac="21:37:6F:88:C2:A0"))], "write its MAC"),
    ],
)
def test_what_cannot_be_is_named(wishes: list[Wish], named: str) -> None:
    with pytest.raises(DatapathError, match=named):
        check(wishes)


def test_differences_name_addresses_and_slots_by_their_new_state() -> None:
    held = [Wish(ADDRESS, {0: SlotState.OPEN, 1: SlotState.OPEN, 2: SlotState.DRAINING})]
    wanted = [
        Wish(ADDRESS, {0: SlotState.OPEN, 1: SlotState.DRAINING, 3: SlotState.OPENING}),
        Wish(OTHER, {0: SlotState.OPEN}),
    ]
    found = [(change.address, change.what, change.slots) for change in differences(held, wanted)]
    assert sorted(found) == sorted(
        [
            ("VIP", "draining", (1,)),
            ("VIP", "closed", (2,)),
            ("VIP", "opening", (3,)),
            ("B", "added", ()),
            ("B", "opened", (0,)),
        ]
    )


def test_an_address_with_other_parameters_is_removed_and_added() -> None:
    changed = replace(ADDRESS, seed=2)
    found = differences([Wish(ADDRESS, {0: SlotState.OPEN})], [Wish(changed, {0: SlotState.OPEN})])
    assert [(change.what, change.slots) for change in found] == [("removed", ()), ("added", ()), ("opened", (0,))]
    assert differences([Wish(ADDRESS)], [Wish(ADDRESS)]) == []
    assert isinstance(found[0], Change)
