"""One cluster, another engine on each host: they are the same function, and slots move between them unnoticed."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab import Lab, Traffic, wait_until
from tests.lab.answers import accepted_by, answered_twice, resets
from tests.lab.clients import client_range
from tests.lab.control import Status
from tests.lab.host import Host
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = pytest.mark.root

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}


@pytest.fixture
def mixed() -> Iterator[Lab]:
    with Lab(hosts=3, engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        yield lab


@pytest.mark.parametrize("kind", ["sourceip", "sourceip-sourceport-destport"])
def test_each_client_is_accepted_exactly_once_by_the_host_that_the_hash_names(mixed: Lab, kind: str) -> None:
    share_address(mixed, slots=6, hash_kind=kind)
    serve_web(mixed)
    address = shared(mixed)
    clients = list(client_range(900))
    with mixed.capture(f"tcp port 80 and host {ADDRESS}") as capture, Traffic(mixed.gw, ADDRESS) as traffic:
        attempts = traffic.once(clients)
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    assert [a for a in attempts if a.answer != address.owner_of(a.client)] == []
    segments = capture.segments()
    assert answered_twice(segments, ADDRESS) == {}
    assert resets(segments, ADDRESS) == 0
    taken = accepted_by(segments, ADDRESS)
    assert set(taken) == set(ENGINES)
    assert taken.total() == len(clients)
    for name, engine in ENGINES.items():
        status = Status.of(mixed[name])
        assert status is not None
        assert status.document["datapath"]["engine"] == engine


def test_each_of_ten_thousand_clients_is_accepted_exactly_once(mixed: Lab) -> None:
    share_address(mixed, slots=24, hash_kind="sourceip-sourceport")
    serve_web(mixed)
    address = shared(mixed)
    clients = list(client_range(10_000))
    # who takes a client says so by a SYN-ACK, who does not want it by an RST
    told = f"tcp port 80 and host {ADDRESS} and tcp[tcpflags] & (tcp-syn|tcp-rst) != 0"
    with mixed.capture(told) as capture, Traffic(mixed.gw, ADDRESS) as traffic:
        attempts = traffic.once(clients, timeout_ms=5000)
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    assert [a for a in attempts if a.answer != address.owner_of(a.client)] == []
    segments = capture.segments()
    assert answered_twice(segments, ADDRESS) == {}
    assert resets(segments, ADDRESS) == 0
    taken = accepted_by(segments, ADDRESS)
    assert taken.total() == len(clients)
    assert min(taken[name] for name in ENGINES) > len(clients) // 6
    for name in ENGINES:
        assert accepted_packets(mixed[name]) >= 2 * taken[name], "each client sent a SYN and its request"


def accepted_packets(host: Host) -> float:
    """As monitoring hears of them."""
    families = text_string_to_metric_families(host.vipcast("metrics").stdout)
    samples = [sample for family in families for sample in family.samples if sample.name == "vipcast_packets_total"]
    return sum(sample.value for sample in samples if sample.labels["verdict"] == "accepted")


@pytest.mark.parametrize("leaver", ENGINES)
def test_slots_move_from_one_engine_to_the_others_and_back_and_no_client_notices(mixed: Lab, leaver: str) -> None:
    share_address(mixed, slots=3)
    serve_web(mixed)
    address = shared(mixed)
    stayer = next(name for name in ENGINES if name != leaver)
    capture = mixed.capture(f"tcp port 80 and host {ADDRESS}")
    with capture, Traffic(mixed.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, address.slots, 0), 20, "traffic to every slot")
        assert mixed.daemons[leaver]["vipcastd"].end(signal.SIGTERM, timeout_s=80) == 0
        capture.poll()
        assert leaver not in set(shared(mixed, on=stayer).holders.values())
        mixed.start_daemon(leaver)
        await_status(
            mixed,
            lambda status: served(status) and leaver in set(shared(mixed, on=stayer).holders.values()),
            f"{leaver} serving a slot again",
            on=stayer,
        )
        attempts = traffic.halt()
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    assert answered_twice(capture.segments(), ADDRESS) == {}
