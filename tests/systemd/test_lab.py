"""The laboratory with systemd as process 1: what it shields the machine from, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.host import REPOSITORY
from tests.lab.hostinit import GROUP_PREFIX, group_root
from tests.lab.namespaces import status_of
from tests.lab.waiting import wait_until
from tests.systemd.lab import SystemdLab

pytestmark = pytest.mark.root

GONE_S = 20.0
CHILD = """
import time
from tests.systemd.lab import SystemdLab
with SystemdLab(hosts=2) as lab:
    for machine in lab.machines:
        machine.systemctl("is-system-running --wait")
    print(lab.directory, *lab.processes(), flush=True)
    time.sleep(600)
"""


def groups() -> set[str]:
    return {path.name for path in group_root().glob(f"{GROUP_PREFIX}*")}


def groups_of(pids: list[int]) -> set[str]:
    """Those that are named after one of these guards."""
    return groups() & {f"{GROUP_PREFIX}{pid}" for pid in pids}


def test_systemd_is_process_one_runs_nothing_of_the_machines_and_reboots() -> None:
    with SystemdLab(hosts=1) as lab:
        machine = lab.machine("a1")
        assert machine.systemctl("is-system-running --wait").stdout == "running\n"
        assert machine.run("cat", "/proc/1/comm").stdout == "systemd\n"
        assert machine.run("systemd-detect-virt", "--container").stdout == "container-other\n"
        assert machine.run("sysctl", "-q", "-w", "kernel.sysrq=0").returncode != 0
        assert machine.run("sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=1").returncode == 0
        services = machine.systemctl("list-units --type=service --state=running --plain --no-legend").stdout
        assert [line.split()[0] for line in services.splitlines()] == ["systemd-journald.service"]
        boot_id = machine.read("/proc/sys/kernel/random/boot_id")
        pids = lab.processes()
        assert len(groups_of(pids)) == 1
        lab.reboot("a1")
        assert machine.read("/proc/sys/kernel/random/boot_id") != boot_id
        assert machine.run("sysctl", "-n", "net.ipv4.conf.all.arp_ignore").stdout == "0\n"
        pids += lab.processes()
        assert len(groups_of(pids)) == 1
        lab.switch_off("a1")
        assert groups_of(pids) == set()


def test_nothing_is_left_when_the_test_process_is_killed() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    directory, *numbers = process.stdout.readline().split()
    pids = [int(number) for number in numbers]
    assert len(groups_of(pids)) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)
    wait_until(lambda: not [pid for pid in pids if status_of(pid)], GONE_S, "the end of every process")
    wait_until(lambda: not Path(directory).exists(), GONE_S, "the end of its folder")
    assert groups_of(pids) == set()
    # other tests mount and unmount beside this one: only what is named after this laboratory counts
    assert directory not in Path("/proc/self/mounts").read_text()
