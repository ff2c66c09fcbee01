"""A host whose disk is full writes nothing any more, says so, and goes on serving what it holds a lease for."""

from __future__ import annotations

import signal

import pytest

from tests.lab import Lab, wait_until
from tests.lab.control import Status
from tests.lab.service import await_status, served
from tests.netns.faults.ordeal import Ordeal, leader_of

pytestmark = pytest.mark.root

VICTIM = "a1"
"""of the lowest rank: it leads as soon as the present leader is gone"""
STATE = "/var/lib/vipcast"
REASON = "no room left on the disk"


def put_on_a_small_disk(lab: Lab, name: str) -> None:
    """Move the daemon's folder, with what it remembers, to a file system of 8 MiB."""
    lab.stop_daemon(name)
    lab[name].shell(
        f"cp -a {STATE} /root/state && mount -t tmpfs -o size=8m,mode=0700 tmpfs {STATE} && cp -a /root/state/. {STATE}"
    ).check()
    lab.start_daemon(name)
    await_everybody(lab, on=name)


def fill(lab: Lab, name: str) -> None:
    """To the last byte: dd ends when there is no room left."""
    ended = lab[name].shell(f"dd if=/dev/zero of={STATE}/ballast bs=4k; dd if=/dev/zero of={STATE}/crumbs bs=1")
    assert "No space left on device" in ended.stderr


def make_room(lab: Lab, name: str) -> None:
    lab[name].shell(f"rm {STATE}/ballast {STATE}/crumbs").check()


def await_everybody(lab: Lab, on: str) -> None:
    everyone = set(lab.names)
    await_status(lab, lambda status: status.online == everyone and served(status), "everybody back", on=on)


def depose(lab: Lab, leader: str, on: str) -> None:
    """Kill a leader's daemon, and start it again once another one leads."""
    lab.stop_daemon(leader, signal.SIGKILL)
    await_status(lab, lambda status: status.leader not in (None, leader), "another leader", on=on)
    lab.start_daemon(leader)


def let_lead(lab: Lab, name: str) -> None:
    for _ in range(3):
        leader = leader_of(lab)
        if leader == name:
            return
        depose(lab, leader, on=name)
        await_everybody(lab, on=name)
    assert leader_of(lab) == name


def test_a_leader_with_a_full_disk_hands_over_and_serves_on_and_no_edit_is_lost(serving: Lab) -> None:
    put_on_a_small_disk(serving, VICTIM)
    let_lead(serving, VICTIM)
    log = serving[VICTIM].log("vipcastd")
    with Ordeal(serving) as ordeal:
        fill(serving, VICTIM)
        await_status(serving, lambda status: status.leader not in (None, VICTIM), "another leader", on="a2")
        assert REASON in log.read_text()
        before = len(ordeal.administrator.acknowledged)
        wait_until(lambda: len(ordeal.administrator.acknowledged) > before + 3, 20, "edits at the others")
        ordeal.others_serve()
        status = Status.of(serving["a2"])
        assert status is not None
        address = status.address("VIP")
        assert address is not None
        assert VICTIM in status.online
        assert VICTIM in address.holders.values()
        make_room(serving, VICTIM)
        ordeal.healed()
