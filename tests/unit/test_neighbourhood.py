"""Whose MAC it is, by the kernel's neighbour table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.neighbourhood import hosts_with

TABLE = """IP address       HW type     Flags       HW address            Mask     Device
192.168.110.122  0x1         0x2         52:54:00:00:00:02     *        eth0
192.168.110.123  0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.2         0x1         0x2         52:54:00:00:00:02     *        eth1
"""


def test_every_address_of_a_mac_is_found() -> None:
    assert list(hosts_with("52:54:00:00:00:02", TABLE)) == ["192.168.110.122", "10.0.0.2"]
    assert list(hosts_with("52:54:00:00:00:09", TABLE)) == []


@given(st.text())
def test_whatever_the_table_says_is_read_or_passed_over(text: str) -> None:
    assert all(isinstance(host, str) for host in hosts_with("52:54:00:00:00:02", text))
