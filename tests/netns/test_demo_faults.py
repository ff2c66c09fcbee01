"""Steps 8 and 9 of the transcript, on both engines: a host dies under traffic, a host is stopped and continued."""

from __future__ import annotations

import time

import pytest

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.answers import answered_twice
from tests.lab.clients import gap_of
from tests.lab.control import SharedAddress
from tests.lab.service import ADDRESS, await_status, served, shared

pytestmark = pytest.mark.root

VICTIM = "a4"
INTERVAL_MS = 20


def slot_of_host(address: SharedAddress, name: str) -> int:
    return next(number for number, holder in address.holders.items() if holder == name)


def streams(address: SharedAddress) -> list[Stream]:
    return [Stream(str(slot), clients, INTERVAL_MS) for slot, clients in address.clients_by_slot(1000).items()]


def all_well(traffic: Traffic, slots: int, since_ns: int, each: int = 15) -> bool:
    """The newest attempts of every slot succeeded, all of them started after a moment."""
    for slot in range(slots):
        newest = [a for a in traffic.attempts if a.stream == str(slot) and a.started_ns > since_ns][-each:]
        if len(newest) < each or not all(attempt.ok for attempt in newest):
            return False
    return True


def test_a_dead_hosts_slot_moves_others_lose_nothing_and_it_gets_a_slot_back(serving: Lab) -> None:
    address = shared(serving)
    slot = slot_of_host(address, VICTIM)
    with Traffic(serving.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, address.slots, 0), 20, "traffic to every slot")
        serving.kill(VICTIM)
        killed_ns = time.time_ns()
        wait_until(lambda: all_well(traffic, address.slots, killed_ns), 30, f"slot {slot} served again")
        attempts = traffic.halt()
    gap = gap_of([attempt for attempt in attempts if attempt.stream == str(slot)])
    assert gap is not None
    assert [a for a in attempts if a.stream != str(slot) and not a.ok] == []
    listing = serving["a2"].vipcast("resource").check().stdout
    assert "Started: [ a1 a2 a3 ]" in listing
    assert f"Started {VICTIM}" not in listing

    serving.boot(VICTIM)
    serving.start_daemon(VICTIM)
    await_status(
        serving,
        lambda status: served(status) and VICTIM in set(shared(serving, on="a2").holders.values()),
        f"{VICTIM} serving a slot again",
        on="a2",
    )


def test_a_stopped_host_is_replaced_and_answers_nothing_twice_when_it_goes_on(serving: Lab) -> None:
    address = shared(serving)
    capture = serving.capture(f"tcp port 80 and host {ADDRESS}")
    with capture, Traffic(serving.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, address.slots, 0), 20, "traffic to every slot")
        capture.poll()
        serving[VICTIM].stop()
        stopped_ns = time.time_ns()
        wait_until(lambda: all_well(traffic, address.slots, stopped_ns), 30, "every slot served by the other three")
        capture.poll()
        serving[VICTIM].cont()
        await_status(serving, lambda status: VICTIM in status.online and served(status), "all four back", on="a2")
        capture.poll()
        continued_ns = time.time_ns()
        wait_until(lambda: all_well(traffic, address.slots, continued_ns), 20, "every slot served at the end")
        traffic.halt()
    segments = capture.segments()
    assert {packet.host for packet, _ in segments if packet.outgoing} == set(serving.names)
    assert answered_twice(segments, ADDRESS) == {}
