"""A running cluster of Pacemaker's agent of 2026 is taken over host by host: each client has one host at any time.

The agent's rules are written here as nft(8) would list them on a host of its: at prerouting, one for each instance,
by jhash of the source address, with nodes counted from 1 and a seed of the address' digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.netns.engine_contract")

from datapath.engine import HashKind, SlotState, Wish  # noqa: E402
from datapath.mac import agents_seed  # noqa: E402
from tests.netns import actions, raw_runner  # noqa: E402
from tests.netns.engine_contract import (  # noqa: E402
    ADDRESS,
    LONG_LEASE_MS,
    PATIENCE_S,
    PORT,
    many_sources,
    slot_of_source,
    until,
)
from tests.netns.frames import breaking_resets, tcp_flags  # noqa: E402
from tests.netns.segment import CLIENT, CLIENTS, PREFIXLEN, VIP, Member, Segment  # noqa: E402

pytestmark = pytest.mark.root

HOSTS = 3
SHARED = replace(ADDRESS, hash_kind=HashKind.SOURCEIP, seed=agents_seed(ADDRESS.ip, PREFIXLEN), slots=HOSTS)
ENGINES = {
    "nft": "datapath.nft.engine:NftEngine",
    "bpf": "datapath.bpf.engine:BpfEngine",
    "raw": "datapath.raw.engine:RawEngine",
}
AGENTS_RULES = """
table ip IPaddr2_peer {{
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
        iif "eth0" ip daddr {vip} jhash ip saddr mod {total} seed {seed:#x} offset 1 == {node} \\
            meta pkttype set host accept
        iif "eth0" ip daddr {vip} drop
    }}
}}
table arp IPaddr2_peer {{
    chain output {{
        type filter hook output priority 0; policy accept;
        arp saddr ip {vip} arp saddr ether set {mac}
    }}
}}
"""


def start_agent(host: Member, node: int) -> None:
    rules = AGENTS_RULES.format(vip=VIP, total=HOSTS, seed=SHARED.seed, node=node, mac=SHARED.mac)
    host.run("ip", "maddr", "add", SHARED.mac, "dev", "eth0")
    host.run("sh", "-c", f"echo '{rules}' | nft -f -")
    host.run("ip", "addr", "add", f"{VIP}/{PREFIXLEN}", "dev", "eth0")


def stop_agent(host: Member) -> None:
    host.run("ip", "addr", "del", f"{VIP}/{PREFIXLEN}", "dev", "eth0")
    for family in ("ip", "arp"):
        host.run("nft", "delete", "table", family, "IPaddr2_peer")
    host.run("ip", "maddr", "del", SHARED.mac, "dev", "eth0")


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment(HOSTS) as segment:
        for host in segment.hosts:
            host.service.call(actions.serve, host.name, VIP, PORT)
            host.run("ip", "route", "add", CLIENTS, "via", CLIENT)
        segment.client.run("ip", "route", "add", "local", CLIENTS, "dev", "lo")
        segment.client.run("ip", "neigh", "add", VIP, "lladdr", SHARED.mac, "nud", "permanent", "dev", "eth0")
        yield segment


@pytest.mark.parametrize("engine", ENGINES)
def test_hosts_of_the_agent_are_taken_over_one_by_one_and_no_client_changes_its_host(
    segment: Segment, tmp_path: Path, engine: str
) -> None:
    for number, host in enumerate(segment.hosts):
        start_agent(host, number + 1)
    assert_each_client_has_its_host(segment, first_port=20_000)
    for number, host in enumerate(segment.hosts):
        stop_agent(host)
        start_engine(host, engine, str(tmp_path / host.name))
        host.engine.call(actions.apply, [Wish(SHARED, {number: SlotState.OPEN})])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        # so many hosts are ours by now, the others the agent's
        assert_each_client_has_its_host(segment, first_port=30_000 + 1000 * number)
    for host in segment.hosts:
        host.engine.call(actions.remove)
        host.engine.call(actions.close)
        host.service.call(raw_runner.unserve)


def start_engine(host: Member, engine: str, run_dir: str) -> None:
    host.engine.call(actions.start_engine, ENGINES[engine], run_dir)
    if engine == "raw":
        host.service.call(raw_runner.serve, run_dir)
        assert until(lambda: host.engine.call(raw_runner.forwarder_is_well), 1) == 1


def assert_each_client_has_its_host(segment: Segment, first_port: int) -> None:
    """Instance k of the agent is slot k: answered once, by the host that has it."""
    sources = [(ip, first_port + number) for number, (ip, _) in enumerate(many_sources(300))]
    segment.client.service.call(actions.start_tap)
    attempts = segment.client.engine.call(actions.connect_all, sources, VIP, PORT, PATIENCE_S)
    frames = segment.client.service.call(actions.stop_tap)
    expected = [segment.hosts[slot_of_source(SHARED, source)].name for source in sources]
    assert [attempt.outcome for attempt in attempts] == expected
    assert set(expected) == {host.name for host in segment.hosts}
    assert [tcp_flags(frame) for frame in frames].count("SA") == len(sources)
    assert breaking_resets(frames) == []
