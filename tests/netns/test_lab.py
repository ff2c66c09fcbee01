"""The laboratory itself: isolated, faithful in its faults, and gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Host, Lab, Stream, Traffic, wait_until
from tests.lab.clients import client_range, gap_of
from tests.lab.host import REPOSITORY
from tests.lab.namespaces import network_of, processes_of, status_of

pytestmark = pytest.mark.root


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=3) as lab:
        yield lab


def hears(listener: Host, address: str) -> bool:
    return listener.run("ping", "-c", "1", "-W", "1", "-n", address).returncode == 0


def serve(host: Host, text: str) -> None:
    host.write("/tmp/www/index.html", f"{text}\n")
    host.popen(sys.executable, "-m", "http.server", "--directory", "/tmp/www", "80")
    wait_until(lambda: host.run("curl", "-sf", "http://127.0.0.1/").stdout == f"{text}\n", 10, "the web server")


def interfaces_of_the_machine() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def test_hosts_have_names_networks_and_process_tables_of_their_own(lab: Lab) -> None:
    networks = {host.network for host in (*lab, lab.gw)} | {network_of("self")}
    assert len(networks) == 5
    assert [host.run("hostname").stdout for host in lab] == ["a1\n", "a2\n", "a3\n"]
    assert lab["a1"].shell("echo $$; cat /proc/1/comm").stdout.split()[0].isdigit()
    assert int(lab["a1"].shell("echo $$").stdout) < 100
    boot_ids = {host.run("cat", "/proc/sys/kernel/random/boot_id").stdout for host in lab}
    assert len(boot_ids) == 3


def test_the_address_plan_is_that_of_the_documentation(lab: Lab) -> None:
    assert "192.168.110.121/24" in lab["a1"].run("ip", "-br", "address").stdout
    assert hears(lab["a1"], "192.168.110.123")
    assert hears(lab.gw, "192.168.110.122")
    assert hears(lab["a1"], "10.64.3.4"), "every address of 10.64.0.0/16 is a client's"


def test_nothing_appears_in_the_machines_own_network(lab: Lab) -> None:
    before = interfaces_of_the_machine()
    with Lab(hosts=2):
        assert interfaces_of_the_machine() == before


def test_what_a_host_writes_to_etc_survives_its_reboot_and_never_reaches_the_machine(lab: Lab) -> None:
    host = lab["a1"]
    host.write("/etc/vipcast/mark", "kept\n")
    host.write("/run/mark", "lost\n")
    boot_id = host.read("/proc/sys/kernel/random/boot_id")
    lab.kill("a1")
    lab.boot("a1")
    assert host.read("/etc/vipcast/mark") == "kept\n"
    assert not host.path("/run/mark").exists()
    assert host.read("/proc/sys/kernel/random/boot_id") != boot_id
    assert not Path("/etc/vipcast/mark").exists()


def test_a_killed_host_takes_its_processes_and_interfaces_with_it(lab: Lab) -> None:
    process = lab["a1"].popen("sleep", "600")
    pid = process.pid
    lab.kill("a1")
    assert status_of(pid) is None
    assert not lab["a1"].up
    assert not hears(lab.gw, lab.address("a1"))
    lab.boot("a1")
    wait_until(lambda: hears(lab.gw, lab.address("a1")), 10, "the host again")


def test_a_stopped_host_answers_pings_by_its_kernel_but_none_of_its_programs_runs(lab: Lab) -> None:
    host = lab["a1"]
    serve(host, "a1")
    host.stop()
    states = [status_of(pid) for pid in processes_of(host.init)]
    assert {state[0] for state in states if state} == {"T"}
    assert hears(lab.gw, lab.address("a1"))
    with Traffic(lab.gw, lab.address("a1")) as traffic:
        (attempt,) = traffic.once(list(client_range(1)), timeout_ms=300)
        assert attempt.outcome == "timeout"
        host.cont()
        (attempt,) = traffic.once(list(client_range(1, first_port=30000)), timeout_ms=3000)
        assert attempt.answer == "a1"


def test_an_unplugged_host_sees_no_carrier_until_it_is_plugged_in_again(lab: Lab) -> None:
    lab.unplug("a2")
    wait_until(lambda: "NO-CARRIER" in lab["a2"].run("ip", "link", "show", "eth0").stdout, 5, "no carrier at a2")
    assert not hears(lab["a1"], lab.address("a2"))
    lab.plug("a2")
    wait_until(lambda: hears(lab["a1"], lab.address("a2")), 5, "a2 heard again")


def test_a_partition_cuts_between_its_groups_and_nowhere_else(lab: Lab) -> None:
    lab.partition(["a1"], ["a2", "a3"])
    assert not hears(lab["a1"], lab.address("a2"))
    assert not hears(lab["a3"], lab.address("a1"))
    assert hears(lab["a2"], lab.address("a3"))
    assert hears(lab.gw, lab.address("a1")), "the client is in no group and hears everyone"
    lab.heal()
    wait_until(lambda: hears(lab["a1"], lab.address("a2")), 5, "a healed segment")


def test_loss_drops_some_frames_and_full_loss_all(lab: Lab) -> None:
    assert hears(lab.gw, lab.address("a1"))
    lab.loss(50, "a1")
    received = lab.gw.run("ping", "-c", "60", "-i", "0.002", "-W", "1", "-n", lab.address("a1")).stdout
    assert 0 < received.count("bytes from") < 60
    assert hears(lab.gw, lab.address("a2")), "only the named port loses"
    lab.loss(100)
    assert not hears(lab.gw, lab.address("a2"))
    lab.loss(0)
    wait_until(lambda: hears(lab.gw, lab.address("a2")), 5, "a segment without loss")


def test_a_second_network_is_cut_apart_and_darkened_by_itself() -> None:
    with Lab(hosts=3, links=2) as lab:
        one, two = lab["a1"], lab["a2"]
        assert "192.168.111.121/24" in one.run("ip", "-br", "address", "show", "eth1").stdout
        assert "eth1" not in lab.gw.run("ip", "-br", "link").stdout
        assert hears(one, "192.168.111.122")
        lab.partition(["a1"], ["a2"], link=1)
        assert not hears(one, "192.168.111.122")
        assert hears(one, "192.168.111.123")
        assert hears(one, "192.168.110.122")
        lab.heal()
        lab.loss(100, "a1", link=0)
        assert not hears(one, "192.168.110.122")
        assert hears(one, "192.168.111.122")
        lab.loss(0)
        lab.unplug("a2", link=1)
        assert carriers(two) == ["1", "0"]
        lab.plug("a2", link=1)
        lab.unplug("a2")
        assert carriers(two) == ["0", "0"]
        lab.kill("a2")
        lab.boot("a2")
        wait_until(lambda: hears(one, "192.168.111.122"), 5, "a2 on the second network again")


def carriers(host: Host) -> list[str]:
    return host.shell("cat /sys/class/net/eth0/carrier /sys/class/net/eth1/carrier").stdout.split()


def test_captures_see_both_directions_on_every_host_in_order_of_time(lab: Lab) -> None:
    with lab.capture("icmp", ["gw", "a1"]) as capture:
        assert hears(lab.gw, lab.address("a1"))
    seen = [(packet.host, packet.outgoing, packet.frame[34]) for packet in capture.packets]
    assert seen == [("gw", True, 8), ("a1", False, 8), ("a1", True, 0), ("gw", False, 0)]
    times = [packet.time_ns for packet in capture.packets]
    assert times == sorted(times)
    assert times[0] > 0
    assert capture.packets[1].scapy()["ICMP"].type == 8


def test_a_thousand_clients_connect_from_addresses_and_ports_of_their_own(lab: Lab) -> None:
    serve(lab["a1"], "a1")
    clients = list(client_range(1000))
    assert len(set(clients)) == 1000
    with (
        lab.capture("tcp[tcpflags] & tcp-syn != 0", ["a1"]) as capture,
        Traffic(lab.gw, lab.address("a1")) as traffic,
    ):
        attempts = traffic.once(clients, timeout_ms=10_000, parallel=4)
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    assert {attempt.answer for attempt in attempts} == {"a1"}
    seen = {(tcp.source, tcp.source_port) for packet, tcp in capture.segments() if not packet.outgoing}
    assert seen == set(clients)


def test_a_gap_is_measured_from_the_first_failure_to_the_first_success_after_it(lab: Lab) -> None:
    serve(lab["a1"], "a1")
    with Traffic(lab.gw, lab.address("a1")) as traffic:
        traffic.start(Stream("one", list(client_range(500)), interval_ms=20))
        wait_until(lambda: sum(a.ok for a in traffic.attempts) > 10, 10, "traffic")
        lab.loss(100, "a1")
        wait_until(lambda: sum(not a.ok for a in traffic.attempts) > 10, 10, "failures")
        lab.loss(0)
        recovered = len(traffic.attempts)
        wait_until(lambda: sum(a.ok for a in traffic.attempts[recovered:]) > 10, 10, "recovery")
        gap = gap_of(traffic.halt())
    assert gap is not None
    assert gap.failed > 10
    assert gap.ms >= 10 * 20


def test_two_laboratories_run_side_by_side(lab: Lab) -> None:
    with Lab(hosts=3) as other:
        assert not {host.network for host in lab} & {host.network for host in other}
        serve(lab["a1"], "one")
        serve(other["a1"], "two")
        assert lab.gw.run("curl", "-s", f"http://{lab.address('a1')}/").stdout == "one\n"
        assert other.gw.run("curl", "-s", f"http://{other.address('a1')}/").stdout == "two\n"
    assert hears(lab.gw, lab.address("a2"))


KILLED = """
import sys, time
from tests.lab import Lab
with Lab(hosts=2) as lab:
    lab["a1"].popen("sleep", "600")
    sleeper = lab["a2"].popen("sleep", "600")
    sleeper.pid
    lab["a2"].stop()
    print(lab.directory, lab["a1"].init, lab["a2"].init, lab.gw.init, sleeper.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_laboratory_whose_process_was_killed(number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        directory, *pids = owner.stdout.readline().split()
    owner.send_signal(number)
    owner.wait(10)
    for pid in pids:
        wait_until(lambda pid=pid: status_of(int(pid)) is None, 10, f"end of process {pid}")  # type: ignore[misc]
    wait_until(lambda: not Path(directory).exists(), 10, f"removal of {directory}")


def test_a_command_that_does_not_end_is_ended_and_named(lab: Lab) -> None:
    with pytest.raises(TimeoutError, match=r"sleep 600: no end within 0\.2 s"):
        lab["a1"].run("sleep", "600", timeout_s=0.2)
    wait_until(lambda: "sleep" not in lab["a1"].run("ps", "-e").stdout, 5, "the end of sleep")


def test_a_host_that_is_down_says_so(lab: Lab) -> None:
    lab.kill("a1")
    with pytest.raises(RuntimeError, match="a1 is down"):
        lab["a1"].run("true")
