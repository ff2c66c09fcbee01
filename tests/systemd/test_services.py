"""The essential of vipcast under systemd, four hosts with an engine each: `make test-systemd` has the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import wait_until
from tests.lab.service import await_status, shared
from tests.systemd.clients import Clients
from tests.systemd.cluster import holders, losses, said, webservers, whole
from tests.systemd.lab import Machine, SystemdLab

pytestmark = pytest.mark.root

CAPABILITIES = {"cap_net_admin", "cap_net_raw", "cap_bpf", "cap_sys_nice", "cap_ipc_lock"}
UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE_MAX = 2.5


def arp_announce(machine: Machine) -> str:
    return machine.run("sysctl", "-n", "net.ipv4.conf.all.arp_announce").stdout.strip()


def test_the_core_is_no_root_has_five_capabilities_and_is_scheduled_in_time(lab: SystemdLab) -> None:
    for machine in lab.machines:
        pid = machine.main_pid("vipcastd")
        said = machine.run("ps", "-o", "user=,cls=,rtprio=", "-p", str(pid)).stdout.split()
        assert said == ["vipcast", "RR", "1"], machine.name
        status = machine.read(f"/proc/{pid}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(fields["VmLck"].split()[0]) > 10_000
        assert fields["NoNewPrivs"] == "1"
        for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
            shown = machine.run("capsh", f"--decode={fields[kind]}").stdout.strip()
            assert set(shown.partition("=")[2].split(",")) == CAPABILITIES, (machine.name, kind, shown)


def test_the_units_expose_no_more_than_they_have_to() -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / "vipcastd.service")],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    figure = float(said.rstrip().splitlines()[-1].partition("vipcastd.service:")[2].split()[0])
    print(f"exposure of vipcastd.service: {figure}")
    assert figure <= EXPOSURE_MAX


def test_who_is_in_neither_group_may_not_even_ask(lab: SystemdLab) -> None:
    machine = lab.machine("a1")
    for user, groups, expected in (("nobody", "nogroup", 1), ("nobody", "vipcast-ro", 0), ("nobody", "vipcast", 0)):
        asked = machine.run(
            *("setpriv", f"--reuid={user}", f"--regid={groups}", "--clear-groups"), "vipcast", "status"
        )
        assert asked.returncode == expected, (groups, asked.stderr)
    refused = machine.run(
        *("setpriv", "--reuid=nobody", "--regid=vipcast-ro", "--clear-groups"),
        *("vipcast", "property", "set", "maintenance-mode=true"),
    )
    assert refused.returncode != 0
    assert "vipcast-ro" in refused.stderr
    knock = "import socket; socket.socket(socket.AF_UNIX).connect('/run/vipcast-runner/runner.sock')"
    in_the_group = machine.run(
        *("setpriv", "--reuid=nobody", "--regid=vipcast", "--clear-groups", "/usr/bin/python3", "-c", knock)
    )
    assert "PermissionError" in in_the_group.stderr


def test_the_journal_tells_of_one_resource_by_a_field(lab: SystemdLab) -> None:
    entries = lab.machine("a2").journal("VIPCAST_RESOURCE=VIP")
    messages = [entry["MESSAGE"] for entry in entries]
    assert any("opened slots" in message for message in messages)
    assert all("vipcastd" in entry["SYSLOG_IDENTIFIER"] for entry in entries)
    of_web = [entry["MESSAGE"] for entry in lab.machine("a2").journal("VIPCAST_RESOURCE=web")]
    assert any(message.endswith("start of web on a2 ended: ok") for message in of_web)
    assert not [message for message in of_web if "start of VIP" in message]


def test_a_restart_of_core_or_runner_moves_nothing_and_breaks_no_connection(lab: SystemdLab) -> None:
    whole(lab)
    before = holders(lab)
    lost = losses(lab)
    servers = {machine.name: webservers(machine) for machine in lab.machines}
    assert all(servers.values())
    assert [machine.run("hostname").stdout.strip() for machine in lab.machines] == [m.name for m in lab.machines]
    with Clients(lab, lasting=True) as clients:
        for name in ("a3", "a1"):
            pid = lab.machine(name).main_pid("vipcastd")
            lab.machine(name).systemctl("restart vipcastd").check()
            assert lab.machine(name).main_pid("vipcastd") != pid
            whole(lab, on=name)
            lab.machine(name).systemctl("restart vipcast-runner").check()
            wait_until(lambda: lab.machine(name).is_active("vipcast-runner"), 10, "the runner again")  # noqa: B023
    print(clients.figures())
    assert clients.broken() == []
    # not even late, also by bpf, whose maps a core without CAP_SYS_ADMIN cannot open; raw's forwarder is the runner's
    assert {one.answer for one in clients.repeated()} <= {"a3"}
    assert holders(lab) == before
    assert {machine.name: webservers(machine) for machine in lab.machines} == servers
    assert losses(lab) == lost


def test_a_reload_takes_what_may_change_and_a_wrong_file_changes_nothing(lab: SystemdLab) -> None:
    machine = lab.machine("a3")
    pid, file = machine.main_pid("vipcastd"), "/etc/vipcast/vipcast.toml"
    settings = machine.read(file)
    try:
        machine.write(file, settings.replace('name = "a3"', 'name = "a3"\nsuicide = "reboot"', 1))
        machine.systemctl("reload vipcastd").check()
        assert said(machine, "node.suicide: end → reboot")
        machine.write(file, settings.replace('engine = "raw"', 'engine = "nft"'))
        machine.systemctl("reload vipcastd").check()
        assert said(machine, "datapath.engine: raw → nft takes effect after a restart")
        machine.write(file, settings.replace("[timers]", "[timers]\nheartbeat = 5"))
        refused = machine.systemctl("reload vipcastd")
        assert refused.returncode != 0
        told = machine.run("journalctl", "--no-pager", "-u", "vipcastd").stdout
        assert "unknown key 'heartbeat'" in told
        assert "Nothing has changed" in told
        machine.systemctl("kill --signal=HUP vipcastd").check()
        wait_until(lambda: said(machine, "unknown key 'heartbeat'"), 10, "the same by SIGHUP")
    finally:
        machine.write(file, settings)
    machine.systemctl("reload vipcastd").check()
    assert machine.main_pid("vipcastd") == pid
    assert machine.property("vipcastd", "ActiveState") == "active"


def test_an_address_that_comes_while_the_runner_is_away_waits_for_it_and_does_not_fail(lab: SystemdLab) -> None:
    machine = lab.machine("a2")
    with Clients(lab) as clients:
        lab["a1"].vipcast("node standby a2").check()
        wait_until(lambda: arp_announce(machine) == "0", 20, "a2 as it was without the address")
        await_status(lab, lambda status: "a2" not in status.started("web"), "no web server on a2")
        machine.systemctl("stop vipcast-runner").check()
        lab["a1"].vipcast("node unstandby a2").check()
        wait_until(lambda: said(machine, "VIP waits: "), 20, "a2 waiting")
        assert "a2" not in set(holders(lab).values())
        machine.systemctl("start vipcast-runner").check()
        whole(lab, on="a2")
    print(clients.figures())
    assert clients.broken() == []
    assert arp_announce(machine) == "2"
    assert not said(machine, "cannot be served here")
    of_the_address = [str(entry["MESSAGE"]) for entry in machine.journal("VIPCAST_RESOURCE=VIP")]
    assert any(message.startswith("VIP waits: cannot set net/") for message in of_the_address)


def test_a_stop_hands_everything_over_and_a_start_takes_its_share_again(lab: SystemdLab) -> None:
    whole(lab)
    machine = lab.machine("a4")
    with Clients(lab) as clients:
        machine.systemctl("stop vipcastd").check()
        assert machine.property("vipcastd", "Result") == "success"
        assert webservers(machine) == []
        assert "a4" not in set(shared(lab, on="a1").holders.values())
        machine.systemctl("start vipcastd").check()
        whole(lab, on="a4")
    print(clients.figures())
    assert clients.broken() == []
    serves = "; serves 1 of 4 slots of VIP"
    wait_until(
        lambda: machine.property("vipcastd", "StatusText").endswith(serves), 10, "the line of systemctl status"
    )
    assert "a4 is about to stop" in lab["a1"].vipcast("cluster log").check().stdout
