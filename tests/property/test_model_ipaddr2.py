"""The checks of an address by the configuration and by its agent agree: what an edit lets in, a node can do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ipaddr2_parameters import KNOWN, parse
from daemon.model.configuration import AttributeSet, Configuration, Primitive
from daemon.model.findings import errors_of
from daemon.model.validation import validate
from daemon.model.validation.ipaddr2 import PARAMETERS

VALUES = {
    "ip": ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "127.0.0.1", "224.0.0.1", "::", "192.0.2", " 192.0.2.9 "],
    "cidr_netmask": ["24", "0", "32", "33", "64", "129", "255.255.255.0", "255.0.255.0", "x", "-1"],
    "nic": ["eth0", "a/b", "an-interface-too-long", "vlan.100", "."],
    "iflabel": ["0", "vipcast", "toolonglabel1", "a b"],
    "broadcast": ["+", "-", "192.0.2.255", "::1", "x"],
    "mac": ["21:37:6f:88:c2:a0", "01-00-5E-7F-00-01", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "0:1:2:3:4:5"],
    "mac_mode": ["multicast", "igmp", "unicast", "Unicast", ""],
    "clusterip_hash": [
        "sourceip",
        "sourceip-sourceport",
        "sourceip-sourceport-destport",
        "sourcenet",
        "source",
        "",
    ],
    "clusterip_hash_order": ["network", "clusterip", "host", ""],
    "hash_seed": ["0", "0x1234abcd", "4294967295", "4294967296", "-1", "seed", "agent"],
    "clusterip_hash_seed": ["0", "305441741", "007", "agent", "x", ""],
    "port_rules": ["80:shared", "80:shared,*:refused", "tcp/22:one:3 *:refused", "80", "x/80:one", "90-80:one", ""],
    "clusterip_firewall": ["nft", "whatever"],
    "arp_count": ["0", "1000", "1001", "five"],
    "arp_interval": ["0", "1", "60000", "60001"],
    "arp_count_refresh": ["0", "3", "-3"],
    "preferred_lft": ["forever", "0", "60", "x"],
    "noprefixroute": ["true", "OFF", "perhaps"],
    "nodad": ["y", "2"],
    "lvs_support": ["true", "whatever"],
}


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}))
def test_the_model_and_the_agent_find_the_same_parameters_wrong_or_right(parameters: dict[str, str]) -> None:
    stated = (AttributeSet(id="s", values=parameters),)
    address = Primitive(id="v", standard="ocf", provider="heartbeat", type="IPaddr2", instance=stated)
    found = errors_of(validate(Configuration(resources=(address,))))
    assert bool(found) == bool(parse(parameters).errors), (found, parse(parameters).errors)


def test_the_model_and_the_agent_know_the_same_names() -> None:
    assert set(KNOWN) == PARAMETERS
