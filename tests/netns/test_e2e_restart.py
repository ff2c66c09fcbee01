"""`systemctl restart` as the daemon sees it: SIGUSR1 and a new process keep every slot, and every connection."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from daemon.cluster.timers import RESTART_MS_MAX
from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.answers import answered_twice, last_accepted_ns
from tests.lab.control import Status
from tests.lab.lasting import LastingConnections
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared

pytestmark = pytest.mark.root

INTERVAL_MS = 10
PATIENCE_MS = 10_000
"""with a new connection: a busy machine is no dark one, whose figure is printed"""
LASTING_A_SLOT = 3
RESTART_NS = 1_500_000_000
"""a restart lease that runs out soon"""


def restart(lab: Lab, name: str) -> float:
    """What systemd does; how long no daemon was there, in seconds."""
    assert lab.daemons[name]["vipcastd"].end(signal.SIGUSR1, timeout_s=20) == 0
    began = time.monotonic()
    with lab[name].log("vipcastd").open("ab") as log:
        lab.daemons[name]["vipcastd"] = lab[name].popen("vipcastd", stdout=log, stderr=log)
    await_status(lab, lambda status: name in status.online and served(status), f"{name} back", on=name)
    return time.monotonic() - began


@pytest.fixture
def serving(engine: str) -> Iterator[Lab]:
    """A restart may take long on a busy machine, so its lease is the longest that there is."""
    with Lab(hosts=4, engine=engine, timers={"restart_ms": RESTART_MS_MAX}) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab)
        serve_web(lab)
        await_status(lab, is_spread, "a slot on each host")
        yield lab


def is_spread(status: Status) -> bool:
    address = status.address("VIP")
    return address is not None and set(address.holders.values()) == status.online and len(status.online) == 4


def test_a_restart_keeps_every_slot_and_connection_and_answers_new_ones_all_the_while(serving: Lab) -> None:
    leader = await_status(serving, lambda status: status.leader is not None, "a leader").leader
    assert leader is not None
    follower = max(set(serving.names) - {leader})
    before = shared(serving)
    slots = before.clients_by_slot(100)
    lasting = [client for clients in slots.values() for client in clients[-LASTING_A_SLOT:]]
    with (
        serving.capture(f"tcp port 80 and host {ADDRESS}") as capture,
        Traffic(serving.gw, ADDRESS) as traffic,
    ):
        connections = LastingConnections(serving.gw, ADDRESS, lasting)
        traffic.start(
            *(Stream(str(slot), clients[:-3], INTERVAL_MS, PATIENCE_MS) for slot, clients in slots.items())
        )
        wait_until(lambda: len(traffic.attempts) > 100, 20, "traffic")
        lost = serving[follower].vipcast("cluster log").check().stdout.count(" is lost")
        away_s = [restart(serving, name) for name in (follower, leader)]
        attempts = traffic.halt()
        lasted = connections.end()
        capture.poll()
        segments = capture.segments()

    longest_ms = max(connection.longest_ms for connection in lasted)
    new_ms = max(attempt.ended_ns - attempt.started_ns for attempt in attempts) / 1e6
    waits = f"longest wait {longest_ms:.1f} ms, of a new connection {new_ms:.1f} ms"
    print(f"{serving.engines[leader]}: daemons away {away_s} s, {waits}", flush=True)
    assert [connection for connection in lasted if connection.error or connection.answers < 10] == []
    assert [attempt for attempt in attempts if not attempt.ok] == []
    assert answered_twice(segments, ADDRESS) == {}
    assert shared(serving, on=follower).holders == before.holders
    log = serving[follower].vipcast("cluster log").check().stdout
    assert f"the daemon of {follower} starts again" in log
    assert log.count(" is lost") == lost, "nobody was lost for it"


def test_a_daemon_that_does_not_come_back_is_silenced_by_its_kernel_and_others_take_over() -> None:
    """Its restart lease is 1.5 s here; that each engine ends with its deadline is in the engines' contract."""
    with Lab(hosts=4, engine="nft", timers={"restart_ms": RESTART_NS // 1_000_000}) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab)
        serve_web(lab)
        victim = max(lab.names)
        with lab.capture(f"tcp port 80 and host {ADDRESS}") as capture, Traffic(lab.gw, ADDRESS) as traffic:
            slots = shared(lab).clients_by_slot(100)
            traffic.start(*(Stream(str(slot), clients, INTERVAL_MS) for slot, clients in slots.items()))
            wait_until(lambda: len(traffic.attempts) > 100, 20, "traffic")
            assert lab.daemons[victim]["vipcastd"].end(signal.SIGUSR1, timeout_s=20) == 0
            ended_ns = time.time_ns()
            await_status(lab, lambda status: victim not in status.online and served(status), "a takeover", on="a1")
            traffic.halt()
            capture.poll()
            segments = capture.segments()
        newest_ns = last_accepted_ns(segments, ADDRESS, victim, time.time_ns())
        assert newest_ns is not None
        assert ended_ns < newest_ns < ended_ns + RESTART_NS
        assert answered_twice(segments, ADDRESS) == {}
