"""A daemon that does not run cannot keep its host answering: the kernel's deadline does not ask it."""

from __future__ import annotations

import time

import pytest

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.answers import answered_twice, last_accepted_ns
from tests.lab.service import ADDRESS, await_status, served, shared

pytestmark = pytest.mark.root

LEASE_NS = 350_000_000
VICTIM = "a3"


def test_a_stopped_daemon_goes_silent_within_its_lease_and_nothing_is_answered_twice(serving: Lab) -> None:
    """Only vipcastd (and, with raw, its forwarder) stops: the web server and the host's kernel go on."""
    address = shared(serving)
    slot = next(number for number, holder in address.holders.items() if holder == VICTIM)
    programs = [serving.daemons[VICTIM]["vipcastd"]]
    capture = serving.capture(f"tcp port 80 and host {ADDRESS}")
    with capture, Traffic(serving.gw, ADDRESS) as traffic:
        traffic.start(Stream("mine", address.clients_by_slot(2000)[slot], interval_ms=5))
        wait_until(lambda: sum(a.ok for a in traffic.attempts) > 30, 10, "traffic to the slot")
        capture.poll()
        for program in programs:
            program.stop()
        stopped_ns = time.time_ns()
        wait_until(
            lambda: (
                [a.answer for a in traffic.attempts if a.ok and a.started_ns > stopped_ns][-20:].count(VICTIM) == 0
                and len([a for a in traffic.attempts if a.ok and a.started_ns > stopped_ns + LEASE_NS]) > 20
            ),
            20,
            "the slot served by another host",
        )
        capture.poll()
        continued_ns = time.time_ns()
        for program in programs:
            program.cont()
        await_status(serving, lambda status: VICTIM in status.online and served(status), f"{VICTIM} back", on="a2")
        capture.poll()
        traffic.halt()
    segments = capture.segments()
    last_ns = last_accepted_ns(segments, ADDRESS, VICTIM, continued_ns)
    assert last_ns is not None
    assert last_ns <= stopped_ns + LEASE_NS
    assert answered_twice(segments, ADDRESS) == {}


def test_a_host_without_quorum_falls_silent_and_the_others_take_its_slots(serving: Lab) -> None:
    serving.partition([VICTIM], [name for name in serving.names if name != VICTIM])
    await_status(
        serving,
        lambda status: served(status) and VICTIM not in set(shared(serving, on="a2").holders.values()),
        "every slot on the other three",
        on="a2",
    )
    with serving.capture(f"tcp port 80 and host {ADDRESS}") as capture, Traffic(serving.gw, ADDRESS) as traffic:
        clients = shared(serving, on="a2").clients_by_slot(20)
        attempts = traffic.once([client for one in clients.values() for client in one])
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    segments = capture.segments()
    assert VICTIM not in {packet.host for packet, _ in segments if packet.outgoing}
    assert VICTIM in {packet.host for packet, _ in segments}, "it hears the clients and stays silent"
    serving.heal()
    await_status(serving, lambda status: VICTIM in status.online and served(status), "a healed cluster", on="a2")
