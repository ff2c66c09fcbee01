"""What the cluster has agreed on, told by real daemons: the log as it grows, who edited, and how it was before."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab, wait_until
from tests.lab.service import await_status, served, share_address

pytestmark = pytest.mark.root


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=3, engine="raw") as lab:
        lab.start_daemons()
        lab.await_cluster()
        yield lab


def test_a_loss_is_told_as_it_happens_and_the_time_before_it_can_be_looked_at(lab: Lab) -> None:
    holders = share_address(lab, slots=3).holders
    before = json.loads(lab["a2"].vipcast("status --json").check().stdout)
    followed = lab["a2"].log("followed")
    with followed.open("wb") as log:
        program = lab["a2"].popen("vipcast", "cluster", "log", "-f", "-n", "1", stdout=log)
        try:
            wait_until(lambda: "VIP" in followed.read_text(), 20, "the newest entry in the log that is followed")
            lab.kill("a3")
            await_status(lab, lambda s: served(s) and "a3" not in s.online, "two hosts that serve all", on="a2")
            wait_until(lambda: "a3 is lost" in followed.read_text(), 10, "the loss in the log that is followed")
        finally:
            program.end()
    (lost,) = [line for line in followed.read_text().splitlines() if "a3 is lost" in line]
    (slot,) = [number for number, holder in holders.items() if holder == "a3"]
    assert f"takes slot {slot} of VIP" in lost
    index = int(lost.split()[0])

    then = json.loads(lab["a1"].vipcast(f"status --at {before['applied_index']} --json").check().stdout)
    assert then["resources"] == before["resources"]
    assert then["addresses"][0]["slots"] == before["addresses"][0]["slots"]
    shown = lab["a1"].vipcast(f"status --at {index}").check().stdout
    assert "OFFLINE: [ a3 ]" in shown
    assert "a3 is lost" in shown

    told = lab["a1"].vipcast("cluster history").check().stdout.splitlines()
    assert [line.split()[0] for line in told] == [
        line.split()[0] for line in lab["a2"].vipcast("cluster history").check().stdout.splitlines()
    ]
    assert "root on a2: vipcast resource create VIP" in told[0]
