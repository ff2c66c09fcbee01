"""Interfaces with names that the kernel allows and nobody expects: they hinder no address, and carry one if told to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from datapath.engine import DatapathError, SlotState, Wish
from tests.netns import actions, raw_runner
from tests.netns.engine_contract import ADDRESS, LONG_LEASE_MS, all_slots, until
from tests.netns.segment import CLIENT, CLIENTS, VIP, Member, Segment
from tests.netns.segment_contract import ADDRESS6, OPEN6

pytestmark = pytest.mark.root

MAKERS = {
    "bpf": "datapath.bpf.engine:BpfEngine",
    "nft": "datapath.nft.engine:NftEngine",
    "raw": "datapath.raw.engine:RawEngine",
}
BESIDE = (b"\xff\xfe", b"a\x1cb", b"\xc2\x85", "é{0}".encode(), b"-x'\"\\*", b"a.b", b"all.", b"\xe2\x80\xa8")
"""no UTF-8; what Python takes for white space or the end of a line and the kernel does not; quotes, braces, dots"""
OWN = 'é{0}".\x1c;'
"""what the interface of the address is called then"""


def ip(member: Member, *words: str | bytes) -> None:
    subprocess.run(["ip", "-n", member.namespace, *words], check=True)


@pytest.fixture(params=list(MAKERS))
def host(request: pytest.FixtureRequest, segment: Segment, tmp_path: Path) -> Iterator[Member]:
    member = segment.hosts[0]
    for number, name in enumerate(BESIDE):
        ip(member, "link", "add", name, "type", "veth", "peer", f"peer{number}")
        ip(member, "link", "set", name, "up")
    try:
        member.engine.call(actions.start_engine, MAKERS[request.param], str(tmp_path))
        if request.param == "raw":
            member.service.call(raw_runner.serve, str(tmp_path))
            assert until(lambda: member.engine.call(raw_runner.forwarder_is_well), 1) == 1
        yield member
        member.engine.call(actions.remove)
        member.engine.call(actions.close)
    finally:
        if request.param == "raw":
            member.service.call(raw_runner.unserve)
        for number in range(len(BESIDE)):
            ip(member, "link", "del", f"peer{number}")


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    with Segment(hosts=1) as segment:
        segment.hosts[0].service.call(actions.serve, "h1", VIP, 8080)
        segment.hosts[0].run("ip", "route", "add", CLIENTS, "via", CLIENT)
        segment.client.run("ip", "route", "add", "local", CLIENTS, "dev", "lo")
        segment.client.run("ip", "neigh", "add", VIP, "lladdr", ADDRESS.mac, "nud", "permanent", "dev", "eth0")
        yield segment


def both(interface: str) -> list[Wish]:
    return [
        Wish(replace(ADDRESS, interface=interface), all_slots(SlotState.OPEN)),
        Wish(replace(ADDRESS6, resource="VIP6", interface=interface), OPEN6.states),
    ]


def answers(segment: Segment) -> list[list[str]]:
    sources = [("10.80.3.1", 20_000), ("10.80.3.2", 20_001)]
    return list(segment.client.engine.call(actions.send_datagrams, sources, VIP, 8080, 0.3).values())


def test_strange_names_beside_hinder_no_address(host: Member, segment: Segment) -> None:
    host.engine.call(actions.apply, both("eth0"))
    host.engine.call(actions.renew, LONG_LEASE_MS)
    assert host.engine.call(actions.repair) == []
    assert answers(segment) == [["h1"], ["h1"]]
    with pytest.raises(DatapathError, match="there is no interface 'eth9'") as missing:
        host.engine.call(actions.apply, both("eth9"))
    assert r"\xff\xfe" in str(missing.value)
    assert str(missing.value).encode()  # text that can be sent to whoever asks


def test_an_interface_with_a_strange_name_carries_an_address(host: Member, segment: Segment) -> None:
    ip(host, "link", "set", "eth0", "name", OWN.encode())
    try:
        host.engine.call(actions.apply, both(OWN))
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert host.engine.call(actions.repair) == []
        assert {wish.address.interface for wish in host.engine.call(actions.state)} == {OWN}
        assert answers(segment) == [["h1"], ["h1"]]
    finally:
        host.engine.call(actions.remove)
        ip(host, "link", "set", OWN.encode(), "name", "eth0")
