"""IPv6 from end to end: one address of each family, on hosts with different engines, for clients of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.answers import accepted_by, answered_twice, resets
from tests.lab.clients import client_range, client_range6
from tests.lab.ipv6 import PREFIX, address6, give_ipv6
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared

pytestmark = pytest.mark.root

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}
ADDRESS6 = f"{PREFIX}::78"
SHARED6 = "33:33:"


@pytest.fixture
def both() -> Iterator[Lab]:
    """A cluster that serves an address of each family."""
    with Lab(hosts=3, engine=ENGINES) as lab:
        for name in ("gw", *lab.names):
            give_ipv6(lab, name)
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, "VIP", ADDRESS, slots=6, hash_kind="sourceip-sourceport")
        share_address(lab, "VIP6", ADDRESS6, slots=6, hash_kind="sourceip-sourceport")
        serve_web(lab, after="VIP6", options="address=::")
        yield lab


def neighbour(lab: Lab, ip: str) -> str:
    """What the client's kernel believes where an address is."""
    return lab.gw.run("ip", "neigh", "show", ip).stdout


def test_clients_of_both_families_are_each_accepted_once_by_the_host_that_the_hash_names(both: Lab) -> None:
    for resource, ip, clients in (
        ("VIP", ADDRESS, list(client_range(400))),
        ("VIP6", ADDRESS6, list(client_range6(400))),
    ):
        address = shared(both, resource)
        with both.capture(f"tcp port 80 and host {ip}") as capture, Traffic(both.gw, ip) as traffic:
            attempts = traffic.once(clients)
        assert {attempt.outcome for attempt in attempts} == {"ok"}
        assert [a for a in attempts if a.answer != address.owner_of(a.client)] == []
        segments = capture.segments()
        assert answered_twice(segments, ip) == {}
        assert resets(segments, ip) == 0
        taken = accepted_by(segments, ip)
        assert set(taken) == set(ENGINES)
        assert taken.total() == len(clients)
    learnt = neighbour(both, ADDRESS6)
    assert SHARED6 in learnt
    assert "FAILED" not in learnt
    # hosts talk to their neighbours, and to the address, as before: no cache learns another MAC
    for host in both:
        host.run("ping", "-6", "-c", "1", "-W", "2", address6(both, "gw")).check()
        host.run("ping", "-6", "-c", "1", "-W", "2", ADDRESS6).check()
    assert SHARED6 in neighbour(both, ADDRESS6)


def test_one_host_answers_each_ping_of_ipv6(both: Lab) -> None:
    done = both.gw.run("ping", "-6", "-c", "5", "-i", "0.1", "-W", "2", ADDRESS6)
    assert done.returncode == 0
    assert "DUP" not in done.stdout
    assert "5 received" in done.stdout


def test_when_a_host_dies_others_serve_its_slots_of_both_families(both: Lab) -> None:
    with both.capture(f"tcp port 80 and (host {ADDRESS} or host {ADDRESS6})") as capture:
        both.kill("a2")
        capture.poll()
        await_status(
            both,
            lambda status: "a2" not in status.online and served(status, "VIP") and served(status, "VIP6"),
            "all slots on the two that are left",
            on="a1",
        )
        for ip, clients in ((ADDRESS, list(client_range(200))), (ADDRESS6, list(client_range6(200)))):
            with Traffic(both.gw, ip) as traffic:
                attempts = traffic.once(clients)
            assert {attempt.outcome for attempt in attempts} == {"ok"}
            assert {attempt.answer for attempt in attempts} == {"a1", "a3"}
            assert answered_twice(capture.segments(), ip) == {}


def test_without_the_address_nobody_answers_solicitations_any_more(both: Lab) -> None:
    both["a1"].vipcast("resource delete VIP6-clone").check()

    def forgotten() -> bool:
        return all(ADDRESS6 not in host.run("ip", "-6", "address").stdout for host in both)

    wait_until(forgotten, 20, "every host without the address")
    both.gw.run("ip", "neigh", "flush", "dev", "eth0")
    assert both.gw.run("ping", "-6", "-c", "1", "-W", "2", ADDRESS6).returncode != 0
    assert "lladdr" not in neighbour(both, ADDRESS6)
    for host in both:
        groups = host.run("ip", "-6", "maddr", "show", "dev", "eth0").stdout
        assert "ff02::1:ff00:78" not in groups
