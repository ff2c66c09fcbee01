"""Drains by hand, with whole daemons and real connections; another engine on each host.

What is established goes on where it is until it ends or its time is up, what is new goes elsewhere at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.lab import Lab, Traffic
from tests.lab.clients import Client, client_range
from tests.lab.control import Status
from tests.lab.lasting import LastingConnections
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared
from tests.lab.talking import Talks, datagrams_served
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.root

_ports = count(20_000, 500)
PORT = 5_300

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    with Lab(hosts=3, engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=6, hash_kind="sourceip-sourceport")
        serve_web(lab)
        yield lab


@pytest.fixture
def lab(cluster: Lab) -> Iterator[Lab]:
    """As it was: nothing drained, each host with two slots."""
    assert cluster["a1"].vipcast("drain").stdout == "Nothing is drained\n"
    yield cluster
    for drain in drains(cluster):
        words = [drain["node"]] if drain["address"] is None else [drain["address"], *filter(None, [drain["node"]])]
        kind = "node" if drain["address"] is None else "address" if drain["slot"] is None else "slot"
        if kind == "slot":
            words[0] += f":{drain['slot']}"
        cluster["a1"].vipcast(f"undrain {kind} {' '.join(words)}").check()
    await_status(cluster, lambda s: served(s) and spread(s) == [2, 2, 2], "two slots on each host")


def spread(status: Status) -> list[int]:
    address = status.address("VIP")
    assert address is not None
    holders = list(address.holders.values())
    return sorted(holders.count(holder) for holder in set(holders))


def drains(lab: Lab, on: str = "a1") -> list[dict[str, Any]]:
    status = Status.of(lab[on])
    assert status is not None
    found: list[dict[str, Any]] = status.document["drains"]
    return found


def clients_of(lab: Lab, host: str, number: int) -> list[Client]:
    """Clients that nobody was before: a port that a test has closed is not free at once."""
    address = shared(lab)
    found = [c for c in client_range(200, first_port=next(_ports)) if address.owner_of(c) == host]
    return found[:number]


def connected(lab: Lab, clients: list[Client]) -> LastingConnections:
    """Connections that are established, each with the owner of its slot."""
    connections = LastingConnections(lab.gw, ADDRESS, clients)
    wanted = {f"{client.address}:{client.port}" for client in clients}

    def established() -> bool:
        shown = "".join(lab[name].run("ss", "-Htn", "state", "established").stdout for name in lab.names)
        return all(one in shown for one in wanted)

    wait_until(established, 10, "connections to be established")
    return connections


def await_drain(lab: Lab, slots: int, flows: int) -> dict[str, Any]:
    """As a1, who may be somebody else than the holder, is told of the one drain that there is."""

    def right(status: Status) -> bool:
        return [(d["slots_left"], d["flows_left"]) for d in status.document["drains"]] == [(slots, flows)]

    found = await_status(lab, right, f"{slots} slots and {flows} connections left", on="a1")
    drain: dict[str, Any] = found.document["drains"][0]
    return drain


@pytest.mark.parametrize("drained", ENGINES)
def test_what_is_established_stays_to_its_end_and_what_is_new_goes_elsewhere(lab: Lab, drained: str) -> None:
    lasting = clients_of(lab, drained, 3)
    mine = {n for n, holder in shared(lab).holders.items() if holder == drained}
    long, short = (connected(lab, some) for some in (lasting[:1], lasting[1:]))
    begun = lab["a1"].vipcast(f"drain node {drained}").check().stdout
    assert begun.startswith(f"{drained} drains: 2 slots left")
    left = len({shared(lab).slot_of(client) for client in lasting})
    drain = await_drain(lab, left, 3)
    assert 0 < drain["drain_left_ms"] <= 60_000
    with Traffic(lab.gw, ADDRESS) as traffic:
        attempts = traffic.once(list(client_range(120, first_port=40000)))
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    assert drained not in {attempt.answer for attempt in attempts}
    assert {shared(lab).slot_of(attempt.client) for attempt in attempts} > mine
    assert [one.error for one in short.end()] == ["", ""]
    await_drain(lab, 1, 1)
    shown = lab["a1"].vipcast("drain status").check().stdout
    assert f"{drained} drains: 1 slot left, 1 connection, " in shown
    (kept,) = long.end()
    assert (kept.error, kept.answers > 10) == ("", True)
    await_drain(lab, 0, 0)
    assert drained not in shared(lab).holders.values()
    status = Status.of(lab["a1"])
    assert status is not None
    assert drained in status.started("web"), "a drain stops nothing"
    lab[drained].vipcast("undrain node --wait=30").check()
    assert list(shared(lab, on=drained).holders.values()).count(drained) == 2


def test_a_conversation_of_udp_stays_while_it_talks_and_goes_elsewhere_after_its_time_out(lab: Lab) -> None:
    lab["a1"].vipcast("resource update VIP udp_timeout=500ms").check()
    clients = clients_of(lab, "a3", 40)
    talkers, pausers, late = range(10), range(10, 20), range(20, 40)
    assert len({shared(lab).slot_of(clients[n]) for n in late}) == 2, "to a1 and to a2"
    with datagrams_served([lab[name] for name in lab.names], ADDRESS, PORT):
        talks = Talks(lab.gw, ADDRESS, PORT, clients)
        talks.speak([*talkers, *pausers])
        lab["a1"].vipcast("drain node a3").check()
        await_talks(lab, 20)
        talks.speak(talkers)
        await_talks(lab, 10)
        assert ", 0 connections, 10 UDP conversations, " in lab["a1"].vipcast("drain status").check().stdout
        again = talks.speak([*talkers, *pausers, *late])
        time.sleep(0.2)
        ended = time.time()
        said = talks.end()
        await_drain(lab, 0, 0)

    def answers(numbers: Iterable[int], since_s: float = 0.0) -> set[tuple[str, ...]]:
        found = (one for number in numbers for one in said[number] if since_s <= one.when_s < ended - 0.05)
        return {tuple(one.answers) for one in found}

    assert answers(talkers) == {("a3",)}
    assert answers(pausers, again) | answers(late, again) == {("a1",), ("a2",)}
    assert {len(one.answers) for talk in said for one in talk} <= {0, 1}
    lab["a1"].vipcast("resource update VIP udp_timeout=").check()


def await_talks(lab: Lab, count: int) -> None:
    def right(status: Status) -> bool:
        return [d["udp_left"] for d in status.document["drains"]] == [count]

    await_status(lab, right, f"{count} conversations left", on="a1")


def test_when_its_time_is_up_a_connection_is_broken_and_the_log_says_how_many(lab: Lab) -> None:
    lab["a1"].vipcast("resource update VIP drain_timeout=1500ms").check()
    number = next(n for n, holder in shared(lab).holders.items() if holder == "a3")
    clients = [c for c in clients_of(lab, "a3", 60) if shared(lab).slot_of(c) == number][:2]
    connections = connected(lab, clients)
    ran = lab["a2"].vipcast(f"drain slot VIP:{number} --wait=30").check()
    assert ran.stdout.startswith(f"slot VIP:{number} on a3 is drained; ")
    assert "2 connections" in ran.stderr, "progress is told"
    assert all(one.error.startswith("ConnectionResetError") for one in connections.end())
    left = lab["a3"].run("ss", "-Htn", "state", "established").stdout
    assert not any(f"{client.address}:{client.port}" in left for client in clients), "nothing is left to wait for"
    log = lab["a1"].vipcast("cluster log").check().stdout
    assert f"a3 closed slot {number} of VIP: the drain time-out was over, and 2 connections were broken" in log
    assert shared(lab).holders[number] != "a3"
    lab["a1"].vipcast("resource update VIP drain_timeout=").check()


def test_an_address_that_is_drained_everywhere_ends_gently_and_comes_back(lab: Lab) -> None:
    clients = [clients_of(lab, host, 1)[0] for host in ENGINES]
    connections = connected(lab, clients)
    lab["a1"].vipcast(f"drain address {ADDRESS}").check()
    await_drain(lab, 3, 3)
    with Traffic(lab.gw, ADDRESS) as traffic:
        attempts = traffic.once(list(client_range(30, first_port=40000)), timeout_ms=500)
    assert {attempt.outcome for attempt in attempts} == {"timeout"}
    assert [one.error for one in connections.end()] == ["", "", ""]
    await_drain(lab, 0, 0)
    assert shared(lab).holders == {}
    lab["a1"].vipcast("undrain address VIP --wait=30").check()
    with Traffic(lab.gw, ADDRESS) as traffic:
        attempts = traffic.once(list(client_range(60, first_port=40000)))
    assert {attempt.outcome for attempt in attempts} == {"ok"}


def test_the_last_host_is_not_drained_and_all_come_back_in_any_order(lab: Lab) -> None:
    for name in ("a1", "a2"):
        lab["a1"].vipcast(f"drain node {name} --wait=30").check()
    refused = lab["a1"].vipcast("drain node a3")
    assert refused.returncode != 0
    assert "a3 is the last host that can hold 6 of its 6 slots of VIP" in refused.stderr
    assert set(shared(lab).holders.values()) == {"a3"}
    lab["a3"].vipcast("undrain node a2 --wait=30").check()
    lab["a3"].vipcast("undrain node a1 --wait=30").check()
    assert spread(await_status(lab, served, "every slot open")) == [2, 2, 2]


def test_a_host_that_is_back_waits_for_its_slots_until_they_are_given_back_by_hand(lab: Lab) -> None:
    lab["a1"].vipcast("resource meta VIP-clone failback=manual").check()
    try:
        lab.stop_daemon("a3")
        await_status(lab, lambda s: served(s) and spread(s) == [3, 3], "all slots on two hosts")
        lab.start_daemon("a3")
        waits = "waits for 'vipcast resource failback VIP-clone' (failback is manual)"
        told = lambda: lab["a1"].vipcast("explain VIP:0 a3").stdout  # noqa: E731
        wait_until(lambda: waits in told(), 20, "a3 to be back and to wait")
        status = Status.of(lab["a1"])
        assert status is not None
        assert spread(status) == [3, 3], "it was given slots although it has to wait"
        lab["a1"].vipcast("resource failback VIP-clone").check()
        await_status(lab, lambda s: served(s) and spread(s) == [2, 2, 2], "two slots on each host")
        lab["a1"].vipcast("node attribute a3 slot-weight=2").check()
        await_status(lab, lambda s: served(s) and spread(s) == [1, 2, 3], "slots by weight")
    finally:
        lab["a1"].vipcast("node attribute a3 slot-weight=")
        lab["a1"].vipcast("resource meta VIP-clone failback= failback-at=")
