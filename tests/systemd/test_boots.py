"""Hosts that are rebooted, switched on in any order, or reboot themselves, under traffic: `make test-systemd`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab import wait_until
from tests.lab.hostinit import REBOOTED, SWITCHED_OFF
from tests.lab.service import await_status, served, shared
from tests.systemd.clients import Clients
from tests.systemd.cluster import losses, whole
from tests.systemd.lab import SystemdLab

pytestmark = [pytest.mark.root, pytest.mark.systemd]

PAPER = """\
[Unit]
Description=what a site runs with its address: the address must have left before it stops
[Service]
ExecStart=/bin/sleep infinity
Restart=always
ExecStop=/bin/sh -c 'ip -oneline address show | grep -c 192.168.110.120/ >/etc/paper.served; \\
 systemctl show --value --property=ActiveState vipcastd >/etc/paper.core'
"""
READER = """\
[Unit]
Description=what needs the cluster
After=vipcast.target
Requires=vipcast.target
[Service]
ExecStart=/bin/sh -c 'systemctl show --value --property=ActiveState vipcastd >/etc/reader.started; exec sleep infinity'
ExecStop=/bin/sh -c 'systemctl show --value --property=ActiveState vipcastd >/etc/reader.stopped'
[Install]
WantedBy=multi-user.target
"""


def test_each_host_is_rebooted_and_no_client_notices(lab: SystemdLab) -> None:
    for name in lab.names:
        other = next(one for one in lab.names if one != name)
        with Clients(lab) as clients:
            lab.reboot(name)
            whole(lab, on=other)
        print(name, clients.figures())
        assert clients.broken() == [], name
        assert name in set(shared(lab, on=other).holders.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hosts_that_are_switched_on_in_any_order_serve_as_soon_as_there_is_a_majority(
    lab: SystemdLab, seed: int
) -> None:
    order = list(lab.names)
    random.Random(seed).shuffle(order)
    with Clients(lab) as clients:
        lab.switch_off(order[0])
        await_status(lab, served, "served by the others", on=order[1])
    print(order[0], clients.figures())
    assert clients.broken() == []
    for name in order[1:]:
        lab.machine(name).systemctl("poweroff").check()
    for name in order[1:]:
        lab.await_end(name, SWITCHED_OFF)
    random.Random(-seed).shuffle(order)
    for number, name in enumerate(order, start=1):
        lab.boot(name)
        up = partial(lab.machine(name).is_active, "vipcast.target")
        wait_until(up, 60, f"{name} up: who has no quorum yet does not keep the host from booting")
        if number == 3:
            await_status(lab, served, "served by three", on=name, bound_s=60)
    whole(lab, on=order[0])


def test_hosts_that_are_switched_on_all_at_once_serve(lab: SystemdLab) -> None:
    before = losses(lab)
    for name in lab.names:
        lab.kill(name)
    for name in lab.names:
        lab.boot(name)
    # a status before that is the one of before the power failure
    await_status(lab, lambda s: s.quorate and losses(lab) == before + len(lab.names), "the log of a new leader")
    whole(lab, on="a1")
    with Clients(lab) as clients:
        whole(lab, on="a1")
    assert clients.broken() == []


@pytest.fixture
def paper(lab: SystemdLab) -> Iterator[None]:
    """A unit that the cluster runs on every host, before the address and until after it."""
    for machine in lab.machines:
        machine.write("/etc/systemd/system/paper.service", PAPER)
        machine.write("/etc/systemd/system/reader.service", READER)
        machine.systemctl("daemon-reload").check()
    lab["a1"].vipcast("resource create paper systemd:paper op monitor interval=10s --clone --wait").check()
    lab["a1"].vipcast("constraint order paper-clone then VIP-clone").check()
    yield
    lab["a1"].vipcast("resource delete paper --wait").check()


@pytest.mark.usefixtures("paper")
def test_a_unit_that_the_cluster_runs_is_stopped_by_it_when_its_host_goes_down(lab: SystemdLab) -> None:
    name = "a2"
    machine = lab.machine(name)
    whole(lab, on="a1")
    assert "vipcastd.service" in machine.property("paper", "Before").split()
    assert machine.property("paper", "Restart") == "no"
    machine.systemctl("enable --now reader").check()
    with Clients(lab) as clients:
        lab.reboot(name)
        whole(lab, on="a1")
    print(clients.figures())
    assert clients.broken() == []
    assert machine.read("/etc/paper.served").strip() == "0"
    assert machine.read("/etc/paper.core").strip() == "deactivating"
    wait_until(lambda: machine.is_active("reader"), 30, "what needs the cluster is started")
    assert machine.read("/etc/reader.stopped").strip() == "active", "it was stopped before the core"
    assert machine.read("/etc/reader.started").strip() == "active", "and started after it"
    machine.systemctl("disable --now reader").check()
    machine.systemctl("stop vipcastd", timeout_s=30).check()
    assert machine.property("paper", "ActiveState") == "inactive"
    assert not machine.path("/run/systemd/system/paper.service.d/50-vipcast.conf").exists()
    machine.systemctl("start vipcastd").check()
    whole(lab, on="a1")


def test_by_suicide_a_host_that_is_cut_off_reboots_and_is_back_once_it_hears_the_others(lab: SystemdLab) -> None:
    machine = lab.machine("a3")
    file = "/etc/vipcast/vipcast.toml"
    machine.write(file, machine.read(file).replace('name = "a3"', 'name = "a3"\nsuicide = "reboot"', 1))
    machine.systemctl("reload vipcastd").check()
    lab["a1"].vipcast("property set no-quorum-policy=suicide --wait").check()
    try:
        lab.unplug("a3")
        await_status(lab, lambda s: "a3" not in s.online and served(s), "the others serving", on="a1")
        lab.await_end("a3", REBOOTED)
        lab.boot("a3")
        whole(lab, on="a3")
    finally:
        lab["a1"].vipcast("property unset no-quorum-policy").check()
