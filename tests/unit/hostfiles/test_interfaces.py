"""Which interface a link takes that nobody has named."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from daemon.interfaces import Interface, NoInterfaceError, choose, default_route_in, find, of_this_host

LO = Interface("lo", (IPv4Interface("127.0.0.1/8"),), multicast=False, loopback=True)
LAN = Interface("eth0", (IPv4Interface("192.0.2.11/24"),))
BACK = Interface("eth1", (IPv4Interface("10.1.2.11/16"), IPv4Interface("10.9.0.11/24")))
DOWN = Interface("eth2", (IPv4Interface("198.51.100.1/24"),), up=False)
BARE = Interface("eth3", ())
SELF_MADE = Interface("eth4", (IPv4Interface("169.254.7.7/16"),))

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t00000000\t0102000A\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth5\t00000000\t010200C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.mark.parametrize("name", ["a\x1cb", "\x85", "\u2028", "\udcff"])
def test_names_that_only_the_kernel_takes_for_one_word_are_read_whole(name: str) -> None:
    assert default_route_in(TABLE.replace("eth0", name)) == name


def test_the_default_route_with_the_lowest_metric_that_is_up_counts() -> None:
    assert default_route_in(TABLE) == "eth0"
    assert default_route_in(TABLE.splitlines()[0]) is None


def test_a_founder_takes_the_interface_of_the_default_route() -> None:
    assert choose([LO, BACK, LAN], "eth0").interface == LAN
    assert "default route" in choose([LO, BACK, LAN], "eth0").why


def test_without_a_route_the_only_interface_with_an_address_is_taken() -> None:
    assert choose([LO, DOWN, BARE, SELF_MADE, LAN], None).interface == LAN


def test_a_joining_host_takes_the_interface_on_the_token_s_network() -> None:
    assert choose([LO, LAN, BACK], "eth0", IPv4Address("10.9.0.1")).interface == BACK


@pytest.mark.parametrize(("routed", "near"), [(None, None), ("eth9", None), ("eth0", "203.0.113.1")])
def test_where_several_would_do_the_choice_is_left_to_the_administrator(
    routed: str | None, near: str | None
) -> None:
    with pytest.raises(NoInterfaceError) as told:
        choose([LO, LAN, BACK, DOWN], routed, IPv4Address(near) if near else None)
    assert "--link" in str(told.value)
    assert "eth0 (192.0.2.11/24)" in str(told.value)
    assert "eth2 (198.51.100.1/24, down)" in str(told.value)
    assert "lo (" not in str(told.value)


def test_an_interface_that_is_not_there_is_said_with_those_that_are() -> None:
    assert find([LO, LAN], "eth0") == LAN
    with pytest.raises(NoInterfaceError, match="there is no interface 'eth7' on this host; there are: eth0, eth1"):
        find([LO, LAN, BACK], "eth7")


def test_this_host_s_loopback_is_found_as_it_is() -> None:
    (lo,) = (one for one in of_this_host() if one.name == "lo")
    assert lo.loopback
    assert not lo.is_candidate
