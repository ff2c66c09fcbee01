"""Signals, a core that hangs or dies again and again, a runner that is gone: `make test-systemd`."""

from __future__ import annotations

import pytest

from tests.lab import wait_until
from tests.lab.answers import answered_twice
from tests.lab.service import ADDRESS, await_status, served
from tests.systemd.clients import Clients
from tests.systemd.cluster import holders, losses, said, webservers, whole
from tests.systemd.lab import SERVICES, Machine, SystemdLab

pytestmark = [pytest.mark.root, pytest.mark.systemd]

DROP_IN = "/etc/systemd/system/vipcastd.service.d/fault.conf"
DIES = "[Service]\nExecStartPost=+/bin/sh -c 'sleep 0.3; kill -ABRT $MAINPID'\n"
DIES_BEFORE = "[Service]\nExecStartPre=+/bin/false\n"
NOT_IN_TIME = (
    "[Service]\nAmbientCapabilities=\nAmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_IPC_LOCK\n"
    "CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_IPC_LOCK\nLimitRTPRIO=0\n"
)

STUCK = """\
#!/bin/sh
case $1 in
start) sleep 86399 & touch /run/stuck ;;
stop) sleep 86399 ;;
monitor) test -e /run/stuck || exit 7 ;;
meta-data) echo '<resource-agent name="stuck"><version>1.0</version><actions/></resource-agent>' ;;
esac
"""
"""an agent that does not end what it has started"""


def drop_in(machine: Machine, text: str) -> None:
    if text:
        machine.write(DROP_IN, text)
    else:
        machine.run("rm", "-f", DROP_IN).check()
    machine.systemctl("daemon-reload").check()


def test_a_hung_core_is_killed_by_the_watchdog_and_takes_part_again(lab: SystemdLab) -> None:
    machine = lab.machine("a2")
    before = machine.main_pid("vipcastd")
    with lab.capture(f"host {ADDRESS} and tcp") as frames, Clients(lab) as clients:
        machine.systemctl("kill --signal=STOP vipcastd").check()

        def is_another() -> bool:
            frames.poll()
            return machine.main_pid("vipcastd") not in (0, before)

        wait_until(is_another, 30, "a new core")
        whole(lab, on="a2")
        frames.poll()
    print(clients.figures())
    assert answered_twice(frames.segments(), ADDRESS) == {}
    assert machine.property("vipcastd", "NRestarts") == "1"


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_an_administrators_signal_is_a_stop_and_breaks_nothing(lab: SystemdLab, signal: str) -> None:
    machine = lab.machine("a1")
    with Clients(lab) as clients:
        machine.systemctl(f"kill --signal={signal} vipcastd").check()
        wait_until(lambda: machine.property("vipcastd", "ActiveState") == "inactive", 100, "the end of the core")
        assert webservers(machine) == []
        assert "a1" not in set(holders(lab, on="a2").values())
    print(signal, clients.figures())
    assert clients.broken() == []
    assert machine.property("vipcastd", "Result") == "success"
    machine.systemctl("start vipcastd").check()
    whole(lab, on="a1")


def test_by_a_hangup_the_core_reads_its_settings_and_goes_on(lab: SystemdLab) -> None:
    machine = lab.machine("a1")
    pids = {unit: machine.main_pid(unit) for unit in ("vipcastd", "vipcast-runner")}
    with Clients(lab) as clients:
        machine.systemctl("kill --signal=HUP vipcastd").check()
        machine.systemctl("kill --kill-whom=main --signal=HUP vipcast-runner").check()
        wait_until(lambda: said(machine, "says what this daemon runs by"), 10, "the settings read")
        whole(lab, on="a1")
    print(clients.figures())
    assert clients.broken() == []
    assert {unit: machine.main_pid(unit) for unit in pids} == pids


@pytest.mark.parametrize("signal", ["KILL", "ABRT"])
def test_a_core_that_is_killed_is_started_again_and_others_serve_meanwhile(lab: SystemdLab, signal: str) -> None:
    machine = lab.machine("a3")
    servers = webservers(machine)
    before, starts = losses(lab), int(machine.property("vipcastd", "NRestarts"))
    with Clients(lab) as clients:
        machine.systemctl(f"kill --signal={signal} vipcastd").check()
        await_status(lab, lambda status: "a3" not in status.online, "a3 lost", on="a1")
        whole(lab, on="a1")
    print(signal, clients.figures())
    assert int(machine.property("vipcastd", "NRestarts")) == starts + 1
    assert losses(lab) > before
    assert set(servers) <= set(webservers(machine)), "no service was restarted for that"


@pytest.mark.parametrize("fault", [DIES, DIES_BEFORE], ids=["once it is ready", "before it runs"])
def test_a_core_that_dies_at_each_start_is_given_up_visibly_and_comes_back_when_mended(
    lab: SystemdLab, fault: str
) -> None:
    machine = lab.machine("a4")
    whole(lab, on="a1")
    drop_in(machine, fault)
    try:
        before = losses(lab)
        with lab.capture(f"host {ADDRESS} and tcp") as frames, Clients(lab) as clients:
            machine.systemctl("kill --signal=KILL vipcastd").check()

            def is_given_up() -> bool:
                frames.poll()
                return machine.property("vipcastd", "ActiveState") == "failed"

            wait_until(is_given_up, 90, "systemd gives it up")
            await_status(
                lab, lambda status: "a4" not in status.online and served(status), "served by others", on="a1"
            )
            frames.poll()
    finally:
        drop_in(machine, "")
    print(clients.figures(), "losses", losses(lab, on="a1") - before)
    assert answered_twice(frames.segments(), ADDRESS) == {}
    assert machine.property("vipcastd", "Result") in {"core-dump", "signal", "exit-code", "start-limit-hit"}
    assert "vipcastd.service" in machine.systemctl("--failed --plain --no-legend").stdout
    assert "a4" not in set(holders(lab, on="a1").values())
    machine.systemctl("reset-failed vipcastd").check()
    machine.systemctl("start vipcastd").check()
    whole(lab, on="a4", bound_s=150)


def test_one_word_restarts_and_stops_both_services_and_no_client_notices(lab: SystemdLab) -> None:
    machine = lab.machine("a4")
    whole(lab, on="a1")
    before, pids = holders(lab), [machine.main_pid(unit) for unit in SERVICES]
    servers = webservers(machine)
    with Clients(lab) as clients:
        machine.systemctl("restart vipcast.target").check()
        assert not {*pids} & {machine.main_pid(unit) for unit in SERVICES}
        whole(lab, on="a4")
        assert (holders(lab), webservers(machine)) == (before, servers)
        machine.systemctl("stop vipcast.target").check()
        wait_until(
            lambda: not [unit for unit in SERVICES if machine.main_pid(unit)],
            90,
            "both stopped: systemctl waits for the target alone",
        )
        assert "a4" not in set(holders(lab, on="a1").values())
        machine.systemctl("start vipcast.target").check()
        whole(lab, on="a4")
    print(clients.figures())
    assert clients.broken() == []


def test_an_address_that_has_waited_too_long_for_a_runner_is_served_elsewhere_until_there_is_one(
    lab: SystemdLab,
) -> None:
    machine = lab.machine("a2")
    with Clients(lab) as clients:
        lab["a1"].vipcast("node standby a2 --wait=60").check()
        machine.systemctl("stop vipcast-runner").check()
        lab["a1"].vipcast("node unstandby a2").check()
        wait_until(lambda: said(machine, "VIP cannot be served here: "), 30, "a2 without it")
        assert "vipcast-runner does not run on this host" in machine.vipcast("status").stdout
        assert "a2" not in set(holders(lab).values())
        machine.systemctl("start vipcast-runner").check()
        whole(lab, on="a2")
    print(clients.figures())
    assert clients.broken() == []


def test_a_core_that_starts_again_without_a_runner_keeps_what_its_kernel_holds(lab: SystemdLab) -> None:
    machine = lab.machine("a2")
    whole(lab, on="a2")
    before = holders(lab)
    machine.systemctl("stop vipcast-runner").check()
    machine.systemctl("mask --runtime vipcast-runner").check()  # else the core's start brings it back
    with Clients(lab) as clients:
        machine.systemctl("restart vipcastd").check()
        await_status(lab, lambda status: status.online == set(lab.names) and served(status), "served", on="a2")
    machine.systemctl("unmask --runtime vipcast-runner").check()
    machine.systemctl("start vipcast-runner").check()
    whole(lab, on="a2")
    print(clients.figures())
    assert clients.broken() == []
    assert holders(lab) == before


def test_without_a_runner_slots_are_served_and_a_restart_of_it_is_all_that_is_needed(lab: SystemdLab) -> None:
    """The host whose packets a helper of the runner moves gives its slots away; all others keep them."""
    whole(lab, on="a1")
    servers = {name: webservers(lab.machine(name)) for name in ("a1", "a3")}
    with Clients(lab) as clients:
        lab.machine("a1").systemctl("stop vipcast-runner").check()
        wait_until(
            lambda: said(lab.machine("a1"), "vipcast-runner has closed the connection"), 20, "the core knows"
        )
        assert "a1" in set(holders(lab, on="a2").values())
        lab.machine("a1").systemctl("start vipcast-runner").check()
        whole(lab, on="a1")
    print(clients.figures())
    assert clients.broken() == []
    assert set(servers["a1"]) <= set(webservers(lab.machine("a1")))


def test_where_real_time_is_refused_the_core_says_so_and_serves(lab: SystemdLab) -> None:
    machine = lab.machine("a2")
    drop_in(machine, NOT_IN_TIME)
    try:
        with Clients(lab) as clients:
            machine.systemctl("restart vipcastd").check()
            whole(lab, on="a2")
        print(clients.figures())
        pid = machine.main_pid("vipcastd")
        assert machine.run("ps", "-o", "cls=", "-p", str(pid)).stdout.strip() == "TS"
        assert said(machine, "heartbeats may be late when this host is busy")
    finally:
        drop_in(machine, "")
    machine.systemctl("restart vipcastd").check()
    whole(lab, on="a2")


def test_by_suicide_nothing_is_left_even_of_what_does_not_stop_and_the_host_comes_back(lab: SystemdLab) -> None:
    """`paths.agents` is read again by the runner when the core is told to reload."""
    machine = lab.machine("a3")
    file = "/etc/vipcast/vipcast.toml"
    settings = machine.read(file)
    machine.write("/etc/ocf/resource.d/lab/stuck", STUCK, mode=0o755)
    machine.write(file, settings + '[paths]\nagents = ["/etc/ocf", "/usr/lib/ocf"]\n')
    machine.systemctl("reload vipcastd").check()
    lab["a3"].vipcast("resource create stuck ocf:lab:stuck op stop timeout=15s --force").check()
    lab["a3"].vipcast("constraint location stuck prefers a3").check()
    await_status(lab, lambda status: status.started("stuck") == ["a3"], "the agent of the new folder", on="a1")
    lab["a1"].vipcast("property set no-quorum-policy=suicide --wait").check()
    starts = int(machine.property("vipcastd", "NRestarts"))
    try:
        lab.unplug("a3")
        await_status(lab, lambda s: "a3" not in s.online and served(s), "the others serving", on="a1")
        wait_until(lambda: int(machine.property("vipcastd", "NRestarts")) == starts + 1, 90, "a new core")
        assert said(machine, "not everything could be stopped: killing all of", unit="vipcast-runner")
        assert machine.run("pgrep", "-f", "sleep 86399").stdout == ""
        assert webservers(machine) == []
        lab["a1"].vipcast("resource delete stuck --force").check()
        machine.run("rm", "/run/stuck").check()
        lab.plug("a3")
        whole(lab, on="a3", bound_s=90)
    finally:
        lab["a1"].vipcast("property unset no-quorum-policy").check()
