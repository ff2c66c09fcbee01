"""Shared MACs: derived by the rule that mixed clusters depend on, and checked when given."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address, IPv6Address

import pytest

from datapath.engine import MacMode
from datapath.mac import format_mac, group_mac, igmp_group, is_group, pack_mac, parse_mac, shared_mac

VIP = IPv4Address("192.168.110.120")


def test_the_address_of_the_handbook_has_the_mac_of_the_handbook() -> None:
    assert shared_mac(VIP, 24) == "21:37:6f:88:c2:a0"
    assert shared_mac(VIP, 24, IPv4Address("192.168.110.255")) == "21:37:6f:88:c2:a0"


@pytest.mark.parametrize(
    ("ip", "prefixlen", "broadcast"),
    [
        ("192.168.110.120", 24, "192.168.110.255"),
        ("10.0.0.1", 8, "10.255.255.255"),
        ("172.16.5.9", 20, "172.16.15.255"),
        ("203.0.113.7", 32, "203.0.113.7"),
        ("192.168.110.120", 24, "192.168.110.127"),
    ],
)
def test_the_rule_is_what_a_shell_with_md5sum_computes(ip: str, prefixlen: int, broadcast: str) -> None:
    script = r"""echo $1 $2 $3 | md5sum | sed -e 's/^\(............\).*/\1/' -e 's/../&:/g; s/:$//' \
        -e 's/^\(.\)[02468ace]/\11/'"""
    shell = subprocess.run(
        ["sh", "-c", script, "sh", ip, str(prefixlen), broadcast], capture_output=True, text=True, check=True
    )
    assert shared_mac(IPv4Address(ip), prefixlen, IPv4Address(broadcast)) == shell.stdout.strip()


def test_every_derived_mac_is_of_its_modes_kind() -> None:
    for number in range(500):
        ip = VIP + number
        assert parse_mac(shared_mac(ip, 24)) == shared_mac(ip, 24)
        unicast = shared_mac(ip, 24, mode=MacMode.UNICAST)
        assert parse_mac(unicast, MacMode.UNICAST) == unicast
        assert int(unicast[:2], 16) & 3 == 2  # individual, locally administered
        igmp = shared_mac(ip, 24, mode=MacMode.IGMP)
        assert parse_mac(igmp, MacMode.IGMP) == igmp


def test_igmp_uses_the_last_two_octets_and_a_scoped_group() -> None:
    assert shared_mac(VIP, 24, mode=MacMode.IGMP) == "01:00:5e:7f:6e:78"
    assert igmp_group(VIP) == IPv4Address("239.255.110.120")
    assert group_mac(igmp_group(VIP)) == "01:00:5e:7f:6e:78"
    with pytest.raises(ValueError, match="IPv4 only"):
        shared_mac(IPv6Address("fd00::1"), 64, mode=MacMode.IGMP)


def test_ipv6_has_a_group_mac_too() -> None:
    assert is_group(shared_mac(IPv6Address("fd00::1"), 64))
    assert shared_mac(IPv6Address("fd00::1"), 64) != shared_mac(IPv6Address("fd00::1"), 65)


@pytest.mark.parametrize("text", ["21:37:6F:88:C2:A0", "21-37-6f-88-c2-a0", " 21:37:6f:88:c2:a0 "])
def test_spellings_of_administrators_become_ours(text: str) -> None:
    assert parse_mac(text) == "21:37:6f:88:c2:a0"


@pytest.mark.parametrize(
    ("text", "mode", "named"),
    [
        ("21:37:6f:88:c2", MacMode.MULTICAST, "not a MAC"),
        ("21:37-6f:88:c2:a0", MacMode.MULTICAST, "not a MAC"),
        ("21:37:6f:88:c2:a0:11", MacMode.MULTICAST, "not a MAC"),
        ("2g:37:6f:88:c2:a0", MacMode.MULTICAST, "not a MAC"),
        ("", MacMode.MULTICAST, "not a MAC"),
        ("20:37:6f:88:c2:a0", MacMode.MULTICAST, "group bit"),
        ("21:37:6f:88:c2:a0", MacMode.UNICAST, "group bit"),
        ("21:37:6f:88:c2:a0", MacMode.IGMP, "01:00:5e"),
        ("ff:ff:ff:ff:ff:ff", MacMode.MULTICAST, "broadcast"),
        ("00:00:00:00:00:00", MacMode.UNICAST, "not a usable"),
    ],
)
def test_a_wrong_mac_is_named_with_its_remedy(text: str, mode: MacMode, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_mac(text, mode)


def test_packing_is_undone_by_formatting() -> None:
    assert format_mac(pack_mac("21:37:6f:88:c2:a0")) == "21:37:6f:88:c2:a0"


def test_a_prefix_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="33"):
        shared_mac(VIP, 33)
    with pytest.raises(ValueError, match="not a multicast group"):
        group_mac(VIP)
