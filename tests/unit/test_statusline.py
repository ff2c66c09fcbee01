"""The line of `systemctl status`."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from daemon.cluster.core.effects import CoreStatus, Role
from daemon.statusline import sentence
from datapath.engine import Address, HashKind, SlotState, Wish

CORE = CoreStatus(
    name="a1",
    incarnation=1,
    role=Role.FOLLOWER,
    leader="a2",
    term=3,
    last_index=9,
    commit=9,
    applied=9,
    quorate=True,
    lease_until_ns=1000,
    outstanding_proposals=0,
    peers=(),
)


def wish(name: str, states: dict[int, SlotState]) -> Wish:
    address = Address(
        resource=name,
        ip=IPv4Address("192.0.2.1"),
        prefixlen=24,
        interface="eth0",
        mac="01:00:5e:00:00:01",
        hash_kind=HashKind.SOURCEIP,
        seed=1,
        slots=4,
    )
    return Wish(address, states)


def test_what_is_open_here_is_counted_by_address() -> None:
    serving = [wish("W", {}), wish("VIP", {0: SlotState.OPEN, 3: SlotState.OPEN, 1: SlotState.DRAINING})]
    assert sentence(CORE, serving, 999) == "in quorum, a2 leads; serves 2 of 4 slots of VIP, 0 of 4 slots of W"
    assert sentence(CORE, [], 999) == "in quorum, a2 leads; serves no address"


def test_what_the_kernel_does_not_accept_any_more_is_not_served() -> None:
    serving = [wish("VIP", {0: SlotState.OPEN})]
    alone = replace(CORE, quorate=False, leader=None)
    assert sentence(alone, serving, 1000) == "WITHOUT quorum; no lease: this host serves nothing"
    assert sentence(replace(CORE, lease_until_ns=None), serving, 0).startswith("in quorum, a2 leads; no lease")
