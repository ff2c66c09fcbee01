"""Many flows placed at once, against the hash that takes one after the other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapath.engine import Address, HashKind, HashOrder, PortFate, PortRule
from datapath.hashing import SLOTS_MAX, slot_of_flow
from datapath.lanes import slots_of

EXTREMES = st.sampled_from([b"\0", b"\xff", b"\x80", b"\x7f"])
PORTS = st.integers(0, 65_535)
RULES = st.builds(
    lambda ends, fate, slot, protocol: PortRule(min(ends), max(ends), fate, slot, protocol),
    *(st.tuples(PORTS, PORTS), st.sampled_from(list(PortFate)), st.integers(0, 3), st.sampled_from([0, 6, 17])),
)


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    return Address(
        resource="VIP",
        ip=draw(st.sampled_from([IPv4Address("192.168.110.120"), IPv6Address("fd00::7")])),
        prefixlen=24,
        interface="eth0",
        mac="21:37:6f:88:c2:a0",
        hash_kind=draw(st.sampled_from(list(HashKind))),
        seed=draw(st.integers(0, 0xFFFF_FFFF)),
        slots=draw(st.one_of(st.integers(1, 8), st.integers(1, SLOTS_MAX))),
        hash_order=draw(st.sampled_from(list(HashOrder))),
        port_rules=tuple(draw(st.lists(RULES, max_size=3))),
    )


def names_of(address: Address, draw: st.DrawFn) -> list[bytes]:
    length = len(address.ip.packed) + 4
    one = st.one_of(st.binary(min_size=length, max_size=length), EXTREMES.map(lambda byte: byte * length))
    return draw(st.lists(one, max_size=40))


@given(st.data())
def test_many_flows_have_the_slots_that_each_of_them_has_alone(data: st.DataObject) -> None:
    address = data.draw(addresses())
    names = names_of(address, data.draw)
    alone = [
        slot_of_flow(address, name[:-4], int.from_bytes(name[-4:-2], "big"), int.from_bytes(name[-2:], "big"))
        for name in names
    ]
    assert list(slots_of(address, b"".join(names))) == alone


@given(addresses(), st.binary(min_size=1, max_size=7))
def test_what_is_no_row_of_names_is_refused(address: Address, rest: bytes) -> None:
    with pytest.raises(ValueError, match="no names of flows"):
        slots_of(address, rest)
