"""The raw engine's two processes: what becomes of packets when one is stopped, late, replaced or gone."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from datapath.engine import HelperAwayError, SlotState, UnconfirmedError, Wish
from datapath.responder import boot_clock_ns
from tests.netns.raw_bench import (
    ALL_OPEN,
    CLIENT,
    CLIENT_MAC,
    ROOT,
    SHARED,
    SLOTS,
    VIP,
    Bench,
    address,
    bench_of,
    greeting,
    port_of_slot,
    syn,
)
from tests.netns.raw_segment import ip, wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def solo(tmp_path: Path) -> Iterator[Bench]:
    with bench_of(1, tmp_path) as bench:
        yield bench


def test_after_the_lease_nothing_is_accepted(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    solo.send(syn(20000), tap)
    assert len(tap.heard()) >= 1
    host.engine.renew(boot_clock_ns())
    for port in range(20001, 20021):
        solo.send(syn(port), tap)
    wait_for("the forwarder to have seen them", lambda: host.count("expired") >= 20)
    answered = {packet[TCP].dport for packet in tap.heard(0.2)}
    tap.close()
    assert not answered & set(range(20001, 20021))


def test_a_forwarder_that_was_stopped_accepts_nothing_after_the_deadline(solo: Bench) -> None:
    """Packets wait in its queue, the lease ends, it goes on: every one of them is dropped."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    host.signal(signal.SIGSTOP)
    host.engine.renew(boot_clock_ns() + 50_000_000)
    for port in range(20001, 20101):
        solo.send(syn(port), tap)
    wait_for("the lease's end", lambda: host.engine._opened().words[2] < boot_clock_ns())
    host.signal(signal.SIGCONT)
    wait_for("the forwarder to have seen them", lambda: host.count("expired") == 100)
    assert tap.heard(0.2) == []
    tap.close()
    assert host.accepted() == 0


def test_however_a_forwarder_is_stopped_no_answer_leaves_after_the_deadline(solo: Bench) -> None:
    """Stopped at a random moment of a storm, once a round; heard is what it answers after it goes on."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    storm_ended = threading.Event()
    frame = bytes(Ether(src=CLIENT_MAC, dst=SHARED) / IP(src=CLIENT, dst=str(VIP)) / ICMP() / Raw(b"x" * 20))

    def storm() -> None:
        with contextlib.closing(solo.client.wire(0)) as wire:
            while not storm_ended.wait(0.001):
                wire.send(frame)

    thread = threading.Thread(target=storm)
    thread.start()
    moments = random.Random(1)
    answered, late = 0, 0
    try:
        for _ in range(30):
            deadline_ns = boot_clock_ns() + moments.randint(3_000_000, 12_000_000)
            host.engine.renew(deadline_ns)
            time.sleep(moments.random() * 0.012)
            host.signal(signal.SIGSTOP)
            wait_for("the lease's end", lambda ends=deadline_ns: boot_clock_ns() > ends)
            answered += len(tap.heard(0.002))
            host.signal(signal.SIGCONT)
            late += len(tap.heard(0.01))
    finally:
        storm_ended.set()
        thread.join()
        tap.close()
    assert answered > 0
    assert late == 0


def test_what_was_queued_while_the_slot_was_elsewhere_is_not_accepted_when_it_comes_back(solo: Bench) -> None:
    """The forwarder misses that its slots were closed and opened again: another host answered those packets."""
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    tap = solo.tap()
    host.signal(signal.SIGSTOP)
    shared = host.engine._opened()
    _, table = shared.read()
    closed = type(table)(table.device, tuple(type(r)(**{**_fields(r), "states": bytes(SLOTS)}) for r in table.rows))
    shared.publish(closed)
    for port in range(20001, 20051):
        solo.send(syn(port), tap)
    shared.publish(table)
    host.signal(signal.SIGCONT)
    wait_for("the forwarder to have seen them", lambda: host.count("stale") == 50)
    assert tap.heard(0.2) == []
    solo.send(syn(20101), tap)
    assert {packet[TCP].dport for packet in tap.heard(0.3)} == {20101}
    tap.close()


def test_what_is_queued_is_heard_out_although_the_same_table_takes_away_the_last_address_of_a_socket(
    solo: Bench,
) -> None:
    """The socket that is closed then has no queue left, and the others have."""
    host = solo.hosts[0]
    other = replace(address(), resource="VIP6", ip=IPv6Address("fd00::120"), prefixlen=64)
    states = dict.fromkeys(range(SLOTS), SlotState.NOTING)
    tap = solo.tap()
    host.insist([Wish(address(), states), Wish(other, ALL_OPEN)])
    host.signal(signal.SIGSTOP)
    for port in range(20001, 20051):
        solo.send(syn(port), tap)
    drained = dict.fromkeys(range(SLOTS), SlotState.DRAINING)
    with pytest.raises(UnconfirmedError):
        host.apply_once(drained)
    host.signal(signal.SIGCONT)
    host.apply(drained)
    assert len({packet[TCP].dport for packet in tap.heard(0.5)}) == 50
    tap.close()


def _fields(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}  # type: ignore[attr-defined]


def test_a_change_that_closes_is_not_said_to_be_done_before_the_forwarder_has_confirmed_it(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    host.signal(signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(HelperAwayError, match="has not taken the new slot table"):
            host.apply_once({})
    host.signal(signal.SIGCONT)
    wait_for("the forwarder", lambda: host.engine.ailment() is None)
    changes = host.apply({})
    assert [(change.what, change.slots) for change in changes] == [("closed", tuple(ALL_OPEN))]
    assert host.engine.state()[0].states == {}


def test_what_opens_waits_for_no_forwarder_unless_something_closed_before(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply({})
    host.signal(signal.SIGSTOP)
    host.apply({0: SlotState.OPEN})
    host.apply({0: SlotState.OPEN, 1: SlotState.OPEN})
    with pytest.raises(HelperAwayError):
        host.apply_once({1: SlotState.OPEN})
    with pytest.raises(HelperAwayError):
        host.apply_once(ALL_OPEN)
    host.signal(signal.SIGCONT)
    wait_for("the forwarder", lambda: host.engine.ailment() is None)
    host.apply(ALL_OPEN)


def test_a_closing_that_the_former_process_did_not_see_confirmed_is_waited_for(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    host.signal(signal.SIGSTOP)
    with pytest.raises(HelperAwayError):
        host.apply_once({})
    with host.station.inside():
        host.engine.close()
        host.engine.start()
    with pytest.raises(HelperAwayError):
        host.apply_once({})
    host.signal(signal.SIGCONT)
    wait_for("the forwarder", lambda: host.engine.ailment() is None)
    host.apply({})


def test_a_slot_that_is_closed_accepts_nothing_from_the_moment_that_apply_returns(solo: Bench) -> None:
    host = solo.hosts[0]
    tap = solo.tap()
    stop = threading.Event()

    def storm() -> None:
        frame = bytes(Ether(src=CLIENT_MAC, dst=SHARED) / IP(src=CLIENT, dst=str(VIP)) / ICMP() / Raw(b"x" * 20))
        while not stop.is_set():
            tap.sock.send(frame)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for _ in range(20):
            host.apply(ALL_OPEN)
            before = host.accepted()
            wait_for("packets", lambda before=before: host.accepted() > before)
            host.apply({})
            closed = host.accepted()
            time.sleep(0.005)
            assert host.accepted() == closed
    finally:
        stop.set()
        thread.join()
        tap.close()


def test_a_restart_of_the_forwarder_breaks_no_connection(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    with solo.connect(timeout_s=10) as sock:
        assert greeting(sock) == host.name
        host.end_forwarder()
        assert host.engine.ailment() is not None
        host.start_forwarder()
        sock.sendall(b"after")
        assert sock.recv(100) == b"after"


def test_a_new_engine_inherits_what_the_former_left_under_its_lease(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply({1: SlotState.OPEN, 2: SlotState.DRAINING})
    host.engine.close()
    with host.station.inside():
        host.engine.start()
    assert host.engine.state() == [Wish(address(), {1: SlotState.OPEN, 2: SlotState.DRAINING})]
    with solo.connect(source_port=port_of_slot(1)) as sock:
        assert greeting(sock) == host.name


def test_remove_leaves_the_host_as_it_was(solo: Bench) -> None:
    host = solo.hosts[0]

    def looks() -> tuple[str, str, str]:
        names = ("all", "eth0")
        words = [f"net.ipv4.conf.{n}.{s}" for n in names for s in ("arp_ignore", "arp_announce")]
        settings = host.station.run("sysctl", *words, "net.ipv4.conf.eth0.drop_unicast_in_l2_multicast").stdout
        links = [line.split(":")[1] for line in ip("-n", host.station.namespace, "-o", "link").splitlines()]
        addresses = ip("-n", host.station.namespace, "-4", "-br", "address", "show", "dev", "eth0")
        return settings, " ".join(links), addresses

    before = looks()
    host.apply(ALL_OPEN)
    assert looks() != before
    assert host.forwarder is not None
    with host.station.inside():
        host.engine.remove()
    assert host.forwarder.wait(5) != 0
    settings, links, addresses = looks()
    assert (settings, links, addresses) == (before[0], before[1].replace(" vipraw", "").rstrip(), before[2])
    assert list(host.engine._path.parent.iterdir()) == []


def test_repair_brings_back_a_device_and_an_address_that_somebody_removed(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    with host.station.inside():
        assert host.engine.repair() == []
        ip("-n", host.station.namespace, "link", "delete", "vipraw")
        assert host.forwarder is not None
        assert host.forwarder.wait(5) != 0
        assert "vipraw" in " ".join(change.detail for change in host.engine.repair())
    host.end_forwarder()
    host.start_forwarder()
    with solo.connect() as sock:
        assert greeting(sock) == host.name


def test_an_interface_that_goes_and_comes_back_is_served_again(solo: Bench) -> None:
    host = solo.hosts[0]
    host.apply(ALL_OPEN)
    for change in ("down", "up"):
        ip("-n", host.station.namespace, "link", "set", "eth0", change)
    wait_for("the segment", lambda: solo._reaches(host.station))
    accepted = host.accepted()
    tap = solo.tap()

    def answered() -> bool:
        solo.send(IP(src=CLIENT, dst=str(VIP)) / ICMP() / Raw(b"x"), tap)
        return host.accepted() > accepted

    wait_for("the forwarder to hear the interface again", answered)
    tap.close()


def test_a_second_forwarder_refuses_to_start(solo: Bench) -> None:
    host = solo.hosts[0]
    done = subprocess.run(
        ["ip", "netns", "exec", host.station.namespace, *host.engine.helper_argv()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1
    assert "another forwarder" in done.stderr


def test_the_forwarder_needs_a_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datapath.raw.forwarder", "--table", str(tmp_path / "raw.table")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 1
    assert "vipcastd makes it" in done.stderr
    assert "Traceback" not in done.stderr
