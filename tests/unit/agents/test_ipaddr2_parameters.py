from __future__ import annotations

import hashlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.ipaddr2_parameters import KNOWN, Parsed, broadcast_of, parse
from agents.placement import Placement, PlacementError, Surroundings, place
from daemon.model.validation.ipaddr2 import PARAMETERS
from datapath.engine import HashKind, HashOrder
from datapath.host.links import Assigned
from datapath.mac import shared_mac
from datapath.ports import spell


def test_the_shortest_resource_has_the_agents_defaults() -> None:
    parsed = parse({"ip": "192.168.110.120"})
    assert parsed.parameters is not None
    assert parsed.errors == parsed.warnings == ()
    assert parsed.parameters.clusterip_hash is HashKind.SOURCEIP_SOURCEPORT
    assert (parsed.parameters.arp_count, parsed.parameters.arp_interval, parsed.parameters.hash_seed) == (5, 200, 0)


def test_everything_that_can_be_said_is_understood() -> None:
    parsed = parse(
        {
            "ip": "10.0.0.1",
            "cidr_netmask": "255.255.255.0",
            "nic": "eth0",
            "broadcast": "+",
            "iflabel": "vip",
            "mac": "21-37-6F-88-C2-A0",
            "clusterip_hash": "sourceip",
            "hash_seed": "0xdeadbeef",
            "mac_mode": "multicast",
            "arp_count": "0",
            "preferred_lft": "forever",
            "noprefixroute": "yes",
        }
    )
    assert parsed.errors == ()
    assert parsed.parameters is not None
    assert parsed.parameters.cidr_netmask == 24
    assert parsed.parameters.hash_seed == 0xDEADBEEF
    assert parsed.parameters.mac == "21:37:6f:88:c2:a0"
    assert parsed.parameters.noprefixroute


def test_all_mistakes_are_named_at_once_with_their_remedy() -> None:
    parsed = parse(
        {"ip": "300.1.1.1", "cidr_netmask": "33", "clusterip_hash": "magic", "nik": "eth0", "arp_count": "x"}
    )
    assert parsed.parameters is None
    assert parsed.warnings == ("IPaddr2 has no parameter 'nik', it has no effect; did you mean 'nic'?",)
    assert parsed.errors == (
        "ip=300.1.1.1: not an IP address; write it as 192.168.1.10 or 2001:db8::10",
        "cidr_netmask=33: not a length of a prefix; write a number from 1 to 32, for example 24",
        "clusterip_hash=magic: not known; one of "
        "sourceip, sourceip-sourceport, sourceip-sourceport-destport, sourcenet",
        "arp_count=x: not a number; write one from 0 to 1000",
    )


def test_a_parameter_far_from_any_is_answered_with_the_list() -> None:
    (warning,) = parse({"ip": "10.0.0.1", "zzzzzz": "1"}).warnings
    assert all(name in warning for name in KNOWN)


def test_an_empty_value_is_the_default_and_a_missing_ip_an_error() -> None:
    assert parse({"ip": "10.0.0.1", "nic": ""}).errors == ()
    assert parse({"ip": " "}).errors == ("IPaddr2 needs the parameter ip; for example ip=192.168.1.10",)


def test_what_has_no_effect_here_is_said() -> None:
    assert parse({"ip": "10.0.0.1", "lvs_support": "true", "arp_bg": ""}).warnings == (
        "lvs_support has no effect: an address that stops is not moved to the loopback",
    )


@pytest.mark.parametrize("ip", ["224.0.0.1", "0.0.0.0", "127.0.0.1", "fe80::1%eth0", "::1"])
def test_addresses_that_no_host_can_be_given_are_refused(ip: str) -> None:
    assert parse({"ip": ip}).parameters is None


@given(st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=8), st.text(max_size=20), max_size=6))
def test_no_parameters_make_it_raise(given_: dict[str, str]) -> None:
    parsed = parse(given_)
    assert isinstance(parsed, Parsed)
    assert (parsed.parameters is None) == bool(parsed.errors)


def subnet(text: str, interface: str, label: str = "") -> Assigned:
    ip, _, length = text.partition("/")
    return Assigned(ip_address(ip), int(length), interface, label)


HOST = [
    subnet("127.0.0.1/8", "lo"),
    subnet("192.168.110.121/24", "eth0", "eth0"),
    subnet("192.168.0.5/16", "eth1", "eth1"),
    subnet("10.9.9.9/32", "eth2", "eth2"),
]
INTERFACES = ["lo", "eth0", "eth1", "eth2"]


def placed(**given_: str) -> Placement:
    parameters = parse(given_).parameters
    assert parameters is not None
    return place(parameters, Surroundings.of(HOST, INTERFACES))


def test_the_interface_with_the_narrowest_subnet_is_found() -> None:
    assert placed(ip="192.168.110.120") == Placement("eth0", 24)
    assert placed(ip="192.168.7.7") == Placement("eth1", 16)
    assert placed(ip="192.168.110.120", nic="eth1") == Placement("eth1", 16)
    assert placed(ip="192.168.110.120", cidr_netmask="25") == Placement("eth0", 25)
    assert placed(ip="10.1.1.1", nic="eth2", cidr_netmask="24") == Placement("eth2", 24)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"ip": "10.1.1.1"}, "no interface of this host has a subnet with 10.1.1.1; set nic and cidr_netmask"),
        ({"ip": "10.1.1.1", "nic": "eth0"}, "no address of eth0 is in a subnet with 10.1.1.1"),
        (
            {"ip": "10.1.1.1", "nic": "eth7"},
            "nic=eth7: this host has no such interface; it has lo, eth0, eth1, eth2",
        ),
        ({"ip": "10.9.9.9"}, "no interface of this host has a subnet"),
    ],
)
def test_a_place_that_cannot_be_found_is_said_with_what_to_set(given_: dict[str, str], said: str) -> None:
    with pytest.raises(PlacementError, match=said.replace("(", r"\(")):
        placed(**given_)


def test_an_interface_whose_name_is_no_text_is_named_with_what_to_do() -> None:
    parameters = parse({"ip": "10.0.0.9"}).parameters
    assert parameters is not None
    around = Assigned(ip_address("10.0.0.1"), 24, "\udcff0", "")
    with pytest.raises(PlacementError, match=r"is called \\xff0, which is no UTF-8; give it another name"):
        place(parameters, Surroundings.of([around], ["lo", "\udcff0"]))


def test_an_address_that_is_up_already_does_not_decide_its_own_place() -> None:
    parameters = parse({"ip": "192.168.110.120"}).parameters
    assert parameters is not None
    there = [*HOST, subnet("192.168.110.120/28", "eth1", "eth1")]
    assert place(parameters, Surroundings.of(there, INTERFACES)) == Placement("eth0", 24)


def test_broadcast_addresses_follow_the_agents_rule() -> None:
    def broadcast(prefixlen: int, **given_: str) -> str:
        parameters = parse({"ip": "10.1.2.3", **given_}).parameters
        assert parameters is not None
        return str(broadcast_of(parameters, prefixlen))

    assert broadcast(24) == broadcast(24, broadcast="+") == "10.1.2.255"
    assert broadcast(24, broadcast="-") == "10.1.2.0"
    assert broadcast(24, broadcast="10.1.2.99") == "10.1.2.99"
    parameters = parse({"ip": "2001:db8::1"}).parameters
    assert parameters is not None
    assert broadcast_of(parameters, 64) is None


def test_every_parameter_that_an_edit_may_set_is_known_here() -> None:
    assert set(KNOWN) == PARAMETERS


def test_the_agents_seed_is_of_the_digest_of_which_the_mac_is() -> None:
    """`echo 192.168.110.120 24 192.168.110.255 | md5sum`, as Pacemaker's agent does it since 2026."""
    parsed = parse({"ip": "192.168.110.120", "cidr_netmask": "24", "hash_seed": "agent"})
    assert parsed.errors == ()
    assert parsed.parameters is not None
    assert parsed.parameters.hash_seed == 0x22376F88
    six = parse({"ip": "2001:db8::78", "cidr_netmask": "64", "hash_seed": "agent"}).parameters
    assert six is not None
    digest = hashlib.md5(b"2001:db8::78 64\n", usedforsecurity=False).hexdigest()
    assert six.hash_seed == int(digest[:8], 16)
    assert shared_mac(six.ip, 64) == ":".join(("33", "33", *(digest[at : at + 2] for at in range(4, 12, 2))))


def test_the_agents_own_name_for_the_seed_is_understood() -> None:
    parsed = parse({"ip": "10.0.0.1", "clusterip_hash_seed": "0x10"}).parameters
    assert parsed is not None
    assert parsed.hash_seed == 16
    assert parse({"ip": "10.0.0.1", "clusterip_hash_seed": "0x10", "hash_seed": "16"}).errors == ()
    (error,) = parse({"ip": "10.0.0.1", "clusterip_hash_seed": "0x10", "hash_seed": "17"}).errors
    assert "leave one out" in error
    (error,) = parse({"ip": "10.0.0.1", "hash_seed": "agent"}).errors
    assert "cidr_netmask must be given" in error


def test_the_order_of_clusterip_is_for_what_clusterip_had() -> None:
    parsed = parse({"ip": "10.0.0.1", "clusterip_hash_order": "clusterip"}).parameters
    assert parsed is not None
    assert parsed.clusterip_hash_order is HashOrder.CLUSTERIP
    (error,) = parse({"ip": "fd00::1", "clusterip_hash_order": "clusterip"}).errors
    assert "only IPv4" in error
    (error,) = parse({"ip": "10.0.0.1", "clusterip_hash_order": "clusterip", "clusterip_hash": "sourcenet"}).errors
    assert "sourcenet" in error


def test_rules_for_ports_are_read_and_what_is_wrong_with_them_is_said() -> None:
    parsed = parse({"ip": "10.0.0.1", "port_rules": "80:shared tcp/22:one *:refused"}).parameters
    assert parsed is not None
    assert spell(parsed.port_rules) == "80:shared tcp/22:one:0 *:refused"
    (error,) = parse({"ip": "10.0.0.1", "port_rules": "80:maybe"}).errors
    assert error == "port_rules=80:maybe: 80:maybe: 'maybe' is not known; ports are shared, one, refused"
