"""Somebody else on the segment has our address: it is not taken, or it is told, until that is over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from datapath import frames, neighbours
from datapath.mac import pack_mac
from tests.lab import Lab, wait_until
from tests.lab.inject import send_frames
from tests.lab.ipv6 import give_ipv6
from tests.lab.service import ADDRESS, await_status, served, share_address

pytestmark = pytest.mark.root

PATIENCE_S = 20.0
SIX = "fd77:110::78"
FORGED = "52:54:00:00:00:66"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=2) as lab:
        for name in (*lab.names, "gw"):
            give_ipv6(lab, name)
        lab.start_daemons()
        lab.await_cluster()
        yield lab


def status(lab: Lab, name: str = "a1") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lab[name].run("vipcast", "status", "--json").stdout)
    return document


def claimants(lab: Lab, name: str = "a1") -> dict[tuple[str, str], dict[str, Any]]:
    return {(found["ip"], found["mac"]): found for found in status(lab, name)["datapath"]["duplicates"]}


def create(lab: Lab, resource: str, ip: str) -> None:
    """A shared address that nobody waits for."""
    prefixlen = 64 if ":" in ip else 24
    for command in (
        f"resource create {resource} ocf:heartbeat:IPaddr2 ip={ip} cidr_netmask={prefixlen} --disabled",
        f"resource clone {resource} clone-max=2 clone-node-max=2 globally-unique=true",
        f"resource enable {resource}",
    ):
        lab["a1"].vipcast(command).check()


def holders_of(lab: Lab, ip: str) -> list[str]:
    return [name for name in lab.names if ip in lab[name].run("ip", "-brief", "address").stdout]


@pytest.mark.parametrize(("resource", "ip"), [("OLD", "192.168.110.130"), ("OLD6", "fd77:110::82")])
def test_an_address_that_a_stranger_has_is_not_taken_unless_forced_or_he_is_gone(
    lab: Lab, resource: str, ip: str
) -> None:
    length = 64 if ":" in ip else 24
    stranger = lab.mac("gw")
    lab.gw.run("ip", "address", "add", f"{ip}/{length}", "dev", "eth0", *(["nodad"] if ":" in ip else [])).check()
    create(lab, resource, ip)
    refusal = f"{ip} is claimed by {stranger} on eth0"

    def refused() -> bool:
        reasons = [action["reason"] for action in status(lab)["failed_actions"] if resource in action["instance"]]
        return len(reasons) == 2 and all(refusal in reason for reason in reasons)

    wait_until(refused, PATIENCE_S, "both hosts' refusals")
    shown = lab["a1"].vipcast("status").stdout
    assert refusal in shown
    assert f"vipcast resource update {resource} duplicate_address=force" in shown
    assert holders_of(lab, ip) == []
    assert f"{ip} dev eth0 lladdr" not in lab.gw.run("ip", "neigh").stdout

    lab["a1"].vipcast(f"resource update {resource} duplicate_address=force").check()
    lab["a1"].vipcast(f"resource cleanup {resource}").check()
    await_status(lab, lambda found: served(found, resource), "served all the same", on="a1")
    assert holders_of(lab, ip) == lab.names

    lab["a1"].vipcast(f"resource disable {resource}-clone").check()
    wait_until(lambda: holders_of(lab, ip) == [], PATIENCE_S, "nobody has it")
    lab["a1"].vipcast(f"resource update {resource} duplicate_address=").check()
    lab.gw.run("ip", "address", "del", f"{ip}/{length}", "dev", "eth0").check()
    lab["a1"].vipcast(f"resource enable {resource}-clone").check()
    await_status(lab, lambda found: served(found, resource), "served once the stranger is gone", on="a1")
    lab["a1"].vipcast(f"resource delete {resource}").check()


@pytest.fixture(scope="module")
def serving(lab: Lab) -> Lab:
    share_address(lab, slots=2, on="a1")
    share_address(lab, "VIP6", SIX, slots=2, on="a1")
    return lab


def test_every_claim_of_a_held_address_raises_an_alarm_with_its_mac_and_is_answered_by_the_shared_one(
    serving: Lab,
) -> None:
    mac, source = pack_mac(FORGED), pack_mac(serving.mac("gw"))
    assert claimants(serving) == {}
    began = serving["a1"].log("vipcastd").read_text().count("is claimed by")
    with serving.capture("arp or icmp6", ["gw"]) as capture:
        for _ in range(5):
            send_frames(serving.gw, frames.gratuitous_arp(IPv4Address(ADDRESS), mac, source))
            send_frames(serving.gw, [neighbours.announcement(IPv6Address(SIX), mac, source)])
        for name in serving.names:
            wait_until(
                lambda name=name: claimants(serving, name).keys() >= {(ADDRESS, FORGED), (SIX, FORGED)},
                PATIENCE_S,
                f"the alarm of {name}",
            )
        time.sleep(0.2)
        capture.poll()
    found = claimants(serving)[ADDRESS, FORGED]
    assert (found["interface"], found["member"], found["frame_source"]) == ("eth0", "", serving.mac("gw"))
    assert (found["count"], claimants(serving)[SIX, FORGED]["count"]) == (10, 5)
    assert found["first_heard_ms"] >= found["last_heard_ms"] >= 0
    shown = serving["a1"].vipcast("status")
    assert shown.returncode == 3
    assert (
        f"ALARM: {ADDRESS} is claimed by {FORGED} on eth0 (its frames come from {serving.mac('gw')})"
        in shown.stdout
    )
    told = serving["a1"].log("vipcastd").read_text().count("is claimed by") - began
    assert told == 2, "once a minute for each MAC and address"
    defended = [
        arp
        for packet in capture.packets
        if (arp := frames.parse_arp(packet.frame)) is not None and arp.is_announcement and not packet.outgoing
    ]
    shared = {pack_mac(address["mac"]) for address in status(serving)["addresses"]}
    assert {arp.sender_mac for arp in defended} <= shared
    # each host as request and reply, and once in ten seconds
    assert len(defended) == 2 * len(serving.names)


def test_a_member_that_answers_with_its_own_mac_is_called_by_its_name(serving: Lab) -> None:
    mac = serving.mac("a2")
    send_frames(serving.gw, frames.gratuitous_arp(IPv4Address(ADDRESS), pack_mac(mac), pack_mac(mac)))
    wait_until(lambda: (ADDRESS, mac) in claimants(serving), PATIENCE_S, "the alarm of a1")
    assert claimants(serving)[ADDRESS, mac]["member"] == "a2"
    assert f"{ADDRESS} is claimed by {mac}, the own MAC of a2, on eth0" in serving["a1"].vipcast("status").stdout


def test_a_daemon_that_starts_again_does_not_ask_for_what_it_holds(serving: Lab) -> None:
    """Its host serves on under the restart lease; that somebody else claims the address is no reason to stop."""
    serving.gw.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0").check()
    try:
        serving.stop_daemon("a2")
        serving.start_daemon("a2")
        await_status(serving, lambda found: served(found) and "a2" in found.online, "a2 back", on="a2")
    finally:
        serving.gw.run("ip", "address", "del", f"{ADDRESS}/24", "dev", "eth0").check()
