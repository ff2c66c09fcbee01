"""ocf:heartbeat:IPaddr2 as a plain resource: the address on a real interface, and what the segment hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from agents.ipaddr2 import ParameterError, PlainAddress, shared_address, surroundings
from datapath.frames import Arp, ArpOperation, parse_arp
from tests.lab.namespaces import CLONE_NEWNET, setns
from tests.netns import named

pytestmark = pytest.mark.root

PATIENCE_S = 20
ARP = 0x0806


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and so the agent under test, is in the namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(there, CLONE_NEWNET)
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(there)
        os.close(home)


class Pair:
    """A host with eth0 = 192.168.110.121/24, and a client at the other end of its cable that listens to ARP."""

    def __init__(self) -> None:
        token = f"vp{os.getpid()}{secrets.token_hex(2)}"
        self.host, self.client = f"{token}h", f"{token}c"
        self.tap: socket.socket | None = None

    def build(self) -> None:
        for namespace in (self.host, self.client):
            named.add(namespace)
        ip("-n", self.host, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", self.client)
        ip("-n", self.host, "addr", "add", "192.168.110.121/24", "dev", "eth0")
        for namespace in (self.host, self.client):
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "link", "set", "eth0", "up")
        with inside(self.client):
            self.tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ARP))
            self.tap.bind(("eth0", ARP))

    def remove(self) -> None:
        if self.tap is not None:
            self.tap.close()
        for namespace in (self.host, self.client):
            named.delete(namespace)

    def addresses(self) -> list[dict[str, object]]:
        return [
            address
            for link in json.loads(ip("-n", self.host, "-j", "addr", "show"))
            for address in link["addr_info"]
            if link["ifname"] == "eth0" and address["family"] == "inet"
        ]

    def mac(self) -> bytes:
        (link,) = json.loads(ip("-n", self.host, "-j", "link", "show", "dev", "eth0"))
        return bytes.fromhex(link["address"].replace(":", ""))

    async def announced(self, count: int, address: str = "192.168.110.120") -> list[Arp]:
        """The next `count` announcements of the address."""
        assert self.tap is not None
        found: list[Arp] = []
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < count:
                arp = parse_arp(await loop.sock_recv(self.tap, 2048))
                if arp is not None and str(arp.sender_ip) == address and arp.is_announcement:
                    found.append(arp)
        return found


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    one = Pair()
    try:
        one.build()
        with inside(one.host):
            yield one
    finally:
        one.remove()


def agent(**parameters: str) -> PlainAddress:
    return PlainAddress("VIP", {"ip": "192.168.110.120", "arp_interval": "1", **parameters})


async def test_start_puts_the_address_up_and_stop_takes_only_it_down(pair: Pair) -> None:
    vip = agent()
    assert (await vip.run("monitor"))[0] == 7
    assert await vip.run("start") == (0, "")
    (own, added) = pair.addresses()
    assert (added["local"], added["prefixlen"], added["broadcast"], added["label"]) == (
        "192.168.110.120",
        24,
        "192.168.110.255",
        "eth0",
    )
    assert added["scope"] == "global"
    assert await vip.run("monitor") == (0, "")
    assert await vip.run("start") == (0, ""), "idempotent"
    assert await vip.run("stop") == (0, "")
    assert pair.addresses() == [own]
    assert await vip.run("stop") == (0, ""), "idempotent"
    assert (await vip.run("monitor"))[0] == 7


async def test_the_segment_hears_gratuitous_arp_as_request_and_as_reply(pair: Pair) -> None:
    await agent(arp_count="3").run("start")
    heard = await pair.announced(6)
    assert [arp.operation for arp in heard] == [ArpOperation.REQUEST, ArpOperation.REPLY] * 3
    for arp in heard:
        assert arp.destination == b"\xff" * 6
        assert arp.source == arp.sender_mac == pair.mac()
        assert str(arp.target_ip) == "192.168.110.120"


async def test_a_neighbour_with_an_old_entry_learns_the_new_place(pair: Pair) -> None:
    ip("-n", pair.client, "addr", "add", "192.168.110.1/24", "dev", "eth0")
    ip(
        "-n",
        pair.client,
        "neigh",
        "add",
        "192.168.110.120",
        "lladdr",
        "02:00:00:00:00:99",
        "nud",
        "stale",
        "dev",
        "eth0",
    )
    await agent().run("start")
    await pair.announced(10)
    (entry,) = json.loads(ip("-n", pair.client, "-j", "neigh", "show", "192.168.110.120"))
    assert entry["lladdr"] == pair.mac().hex(":")


async def test_a_stop_ends_the_announcements(pair: Pair) -> None:
    vip = agent(arp_count="1000", arp_interval="20")
    await vip.run("start")
    await pair.announced(2)
    await vip.run("stop")
    await asyncio.sleep(0)
    assert pair.tap is not None
    with contextlib.suppress(BlockingIOError):
        while True:
            pair.tap.recv(2048)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await pair.announced(1)


async def test_no_announcement_is_sent_where_none_is_wanted_and_monitor_sends_them_where_it_shall(
    pair: Pair,
) -> None:
    await agent(arp_count="0", arp_count_refresh="1").run("start")
    await agent(arp_count="0", arp_count_refresh="1").run("monitor")
    assert len(await pair.announced(2)) == 2


async def test_label_prefix_and_broadcast_follow_the_parameters(pair: Pair) -> None:
    vip = agent(nic="eth0", cidr_netmask="28", iflabel="vip", broadcast="-", noprefixroute="true")
    assert await vip.run("start") == (0, "")
    (_, added) = pair.addresses()
    assert (added["prefixlen"], added["label"], added["broadcast"]) == (28, "eth0:vip", "192.168.110.112")
    assert added["noprefixroute"] is True
    assert await vip.run("stop") == (0, "")
    assert len(pair.addresses()) == 1


async def test_ipv6_is_added_and_removed(pair: Pair) -> None:
    vip = PlainAddress("VIP", {"ip": "2001:db8::120", "nic": "eth0", "cidr_netmask": "64", "nodad": "true"})
    assert await vip.run("start") == (0, "")
    assert "2001:db8::120/64" in ip("-n", pair.host, "-6", "addr", "show", "dev", "eth0")
    assert await vip.run("monitor") == (0, "")
    assert await vip.run("stop") == (0, "")
    assert "2001:db8::120" not in ip("-n", pair.host, "-6", "addr", "show", "dev", "eth0")


async def test_the_loopback_is_used_where_it_is_named(pair: Pair) -> None:
    ip("-n", pair.host, "addr", "add", "192.168.110.120/32", "dev", "lo")
    assert (await agent().run("monitor"))[0] == 7, "what is on the loopback is not on the segment"
    ip("-n", pair.host, "addr", "del", "192.168.110.120/32", "dev", "lo")
    vip = agent(nic="lo", cidr_netmask="32")
    assert await vip.run("start") == (0, "")
    assert await vip.run("monitor") == (0, "")
    assert await vip.run("stop") == (0, "")
    assert (await vip.run("monitor"))[0] == 7


async def test_an_address_on_another_interface_is_not_taken_over_in_silence(pair: Pair) -> None:
    ip("-n", pair.host, "link", "add", "eth1", "type", "veth", "peer", "eth1", "netns", pair.client)
    ip("-n", pair.host, "addr", "add", "192.168.110.120/32", "dev", "eth1")
    code, reason = await agent().run("start")
    assert code == 1
    assert "is on eth1 already; remove it: ip address del 192.168.110.120/32 dev eth1" in reason


async def test_wrong_parameters_are_not_configured_and_change_nothing(pair: Pair) -> None:
    before = pair.addresses()
    for wrong in ({"nic": "eth7"}, {"cidr_netmask": "99"}, {"arp_count": "many"}, {"ip": "10.99.0.1"}):
        code, reason = await agent(**wrong).run("start")
        assert code == 6
        assert next(iter(wrong.values())) in reason
    assert pair.addresses() == before
    assert (await agent(arp_count="many").run("stop"))[0] == 0
    assert (await agent().run("promote"))[0] == 3
    assert await agent().run("validate-all") == (0, "")


async def test_the_shared_address_of_a_clone_is_placed_and_has_the_mac_that_every_host_computes(pair: Pair) -> None:
    given = {"ip": "192.168.110.120", "cidr_netmask": "24", "clusterip_hash": "sourceip"}
    found = shared_address("VIP", given, 4, surroundings())
    assert (found.interface, found.prefixlen, found.slots, found.seed) == ("eth0", 24, 4, 0)
    assert found.mac == "21:37:6f:88:c2:a0"
    with pytest.raises(ParameterError, match="clone-max=0"):
        shared_address("VIP", {"ip": "192.168.110.120"}, 0, surroundings())


@pytest.mark.parametrize(("address", "prefixlen"), [("192.168.110.120", 24), ("fd77:110::78", 64)])
async def test_an_address_that_somebody_else_has_is_not_taken_unless_forced(
    pair: Pair, address: str, prefixlen: int
) -> None:
    nodad = ["nodad"] if ":" in address else []
    ip("-n", pair.client, "addr", "add", f"{address}/{prefixlen}", "dev", "eth0", *nodad)
    (link,) = json.loads(ip("-n", pair.client, "-j", "link", "show", "dev", "eth0"))
    wanted = {"ip": address, "nic": "eth0", "cidr_netmask": str(prefixlen)}
    code, reason = await agent(**wanted).run("start")
    assert code == 1
    assert reason.startswith(f"{address} is claimed by {link['address']} on eth0")
    assert "duplicate_address=force" in reason
    assert (await agent(**wanted).run("monitor"))[0] == 7
    assert await agent(**wanted, duplicate_address="force").run("start") == (0, "")
    assert await agent(**wanted).run("stop") == (0, "")
