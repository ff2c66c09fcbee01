"""The rules of one address made of another's: the same as if they had been packed for it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.engine import Address, HashKind, HashOrder, PortFate, PortRule
from datapath.nft import ruleset
from datapath.nft.rules import chains_of
from datapath.nft.templates import TEMPLATES_MAX, Templates

ips = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.integers(0, 255).map(lambda last: IPv6Address(f"fd00::{last:x}")),
)
addresses = st.builds(
    Address,
    resource=st.just("VIP"),
    ip=ips,
    prefixlen=st.just(24),
    interface=st.just("eth0"),
    mac=st.just("21:37:6f:88:c2:a0"),
    hash_kind=st.sampled_from(HashKind),
    seed=st.sampled_from((0, 0x3031_2E31)),
    slots=st.sampled_from((1, 8)),
    hash_order=st.just(HashOrder.NETWORK),
    port_rules=st.sampled_from(((), (PortRule(22, 22, PortFate.ONE, 0),), (PortRule(25, 25, PortFate.REFUSED),))),
)


@settings(deadline=None)
@given(st.lists(addresses, min_size=2, max_size=4))
def test_they_are_those_that_would_be_packed_for_it(several: list[Address]) -> None:
    for pack in (ruleset._begin, ruleset._end):
        templates = Templates(pack)
        for address in several:
            assert templates.messages(address) == pack(address)


@given(addresses)
def test_every_chain_of_an_address_is_looked_at(address: Address) -> None:
    assert sorted(ruleset.chain_names(address)) == sorted(chains_of(address))


def test_as_many_are_kept_as_there_is_room_for() -> None:
    packed = []
    templates = Templates(lambda address: packed.append(address) or ruleset._begin(address)[:1])
    first = Address("VIP", IPv4Address("10.0.0.1"), 24, "eth0", "21:37:6f:88:c2:a0", HashKind.SOURCEIP, 0, 1)
    shapes = [Address(*[*_fields(first)[:7], slots]) for slots in range(1, TEMPLATES_MAX + 2)]
    for shape in [*shapes, shapes[-1], shapes[0]]:
        templates.messages(shape)
    assert packed == [*shapes, shapes[0]]


def _fields(address: Address) -> tuple[object, ...]:
    return tuple(getattr(address, name) for name in Address.__match_args__)
