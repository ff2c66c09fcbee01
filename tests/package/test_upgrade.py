"""An upgrade of the package on four hosts that systemd runs, under traffic: `make test-deb`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.answers import answered_twice
from tests.lab.service import ADDRESS, serve_web, share_address
from tests.systemd.clients import Clients
from tests.systemd.cluster import holders, losses, serving_lab, webservers, whole
from tests.systemd.lab import SystemdLab

pytestmark = [pytest.mark.package, pytest.mark.root, pytest.mark.timeout(1800)]

NEWER = "99.0.0"


@pytest.fixture(scope="module")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under a later version: what its maintainer scripts do is what counts."""
    folder = tmp_path_factory.mktemp("newer") / "vipcast"
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder)], check=True, timeout=120)
    control = folder / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "".join(f"Version: {NEWER}\n" if one.startswith("Version:") else f"{one}\n" for one in lines)
    )
    made = folder.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(folder), str(made)], check=True, timeout=300)
    return made


@pytest.fixture(scope="module")
def lab(package: Path, newer: Path) -> Iterator[SystemdLab]:
    """Settings first: what the package enables then starts at once."""
    with serving_lab() as lab:
        for machine in lab.machines:
            lab.configure(machine.name)
            machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n")
            machine.write_bytes("/root/first.deb", package.read_bytes(), mode=0o600)
            machine.write_bytes("/root/newer.deb", newer.read_bytes(), mode=0o600)
            machine.run("dpkg", "-i", "/root/first.deb", timeout_s=120).check()
        lab.await_members()
        share_address(lab)
        serve_web(lab)
        yield lab


def test_an_upgrade_of_each_host_in_turn_moves_nothing_and_breaks_no_connection(lab: SystemdLab) -> None:
    whole(lab)
    before, lost = holders(lab), losses(lab)
    cores = {machine.name: machine.main_pid("vipcastd") for machine in lab.machines}
    servers = {machine.name: webservers(machine) for machine in lab.machines}
    with lab.capture(f"host {ADDRESS} and tcp") as frames, Clients(lab, lasting=True) as clients:
        for machine in lab.machines:
            machine.run("dpkg", "-i", "/root/newer.deb", timeout_s=120).check()
            whole(lab, on=machine.name)
            frames.poll()
    print(clients.figures())
    assert clients.broken() == []
    # not even late; but the raw engine's forwarder is the runner's, and starts again with it
    assert {one.answer for one in clients.repeated()} <= {"a3"}
    assert answered_twice(frames.segments(), ADDRESS) == {}
    assert holders(lab) == before
    assert losses(lab) == lost
    for machine in lab.machines:
        assert machine.run("dpkg-query", "-W", "-f", "${Version}", "vipcast").stdout == NEWER
        assert machine.main_pid("vipcastd") not in (0, cores[machine.name])
        assert webservers(machine) == servers[machine.name], "no resource was started again"


def test_a_host_whose_daemon_was_stopped_for_the_night_is_not_started_by_an_upgrade(lab: SystemdLab) -> None:
    host = lab.machines[-1]
    host.run("systemctl", "stop", "vipcastd", timeout_s=120).check()
    host.run("dpkg", "-i", "/root/newer.deb", timeout_s=120).check()
    assert host.run("systemctl", "is-active", "vipcastd").stdout.strip() == "inactive"
    assert host.run("systemctl", "is-enabled", "vipcastd").stdout.strip() == "enabled"
    host.run("systemctl", "start", "vipcastd", timeout_s=120).check()
    whole(lab)


def test_the_former_version_comes_back_as_the_newer_one_came(lab: SystemdLab) -> None:
    """What an administrator does at 3 a.m. with an upgrade that he regrets."""
    whole(lab)
    before, lost = holders(lab), losses(lab)
    cores = {machine.name: machine.main_pid("vipcastd") for machine in lab.machines}
    with Clients(lab, lasting=True) as clients:
        for machine in lab.machines:
            machine.run("dpkg", "-i", "/root/first.deb", timeout_s=120).check()
            whole(lab, on=machine.name)
    assert clients.broken() == []
    assert (holders(lab), losses(lab)) == (before, lost)
    for machine in lab.machines:
        assert machine.run("dpkg-query", "-W", "-f", "${Version}", "vipcast").stdout != NEWER
        assert machine.main_pid("vipcastd") not in (0, cores[machine.name])
