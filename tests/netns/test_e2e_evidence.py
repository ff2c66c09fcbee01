"""What the cluster has agreed on, told by real daemons: the log as it grows, who edited, and how it was before."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from daemon.bundle import archive
from tests.lab import Lab, wait_until
from tests.lab.service import await_status, served, share_address
from tests.lab.sshd import reachable_by_ssh

pytestmark = pytest.mark.root

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "status.schema.json"
SECRET = "hunter2-and-more"
BUNDLE_S = 120
"""a bundle starts thirty programs on each host: some seconds, more where the machine is busy"""


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
            # whichever that is: a host that was late may have cost an election meanwhile
            wait_until(followed.read_text, 20, "the newest entry in the log that is followed")
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


def test_a_support_bundle_has_what_all_nodes_know_and_no_secret_and_is_planned_by_elsewhere(lab: Lab) -> None:
    share_address(lab, slots=3)
    lab["a1"].vipcast(f"resource create db ocf:heartbeat:Dummy admin_passwd={SECRET} --force --wait").check()
    with reachable_by_ssh([lab["a1"], lab["a2"]]) as remote_shell:
        made = (
            lab["a1"]
            .vipcast(f"support-bundle /root/all.tar.gz --ssh '{remote_shell}' --hide fake", BUNDLE_S)
            .check()
        )
    assert "a3 is not in it: ssh: connect to host a3 port 22: Connection refused" in made.stderr
    path = lab["a1"].path("/root/all.tar.gz")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = archive.read(path)
    assert not [name for name, body in files.items() if SECRET.encode() in body]
    assert not [name for name, body in files.items() if lab.authkey in body or lab.authkey.hex().encode() in body]
    for node in ("a1", "a2"):
        status = json.loads(files[f"{node}/status.json"])
        assert status["node"] == node
        jsonschema.validate(status, json.loads(SCHEMA.read_text()))
        assert any("VIP" in line["text"] for line in json.loads(files[f"{node}/log.json"]))
        assert b"192.168.110.120" in files[f"{node}/addresses.txt"]
        assert b"vipcast_" in files[f"{node}/metrics.txt"]
        assert f'name = "{node}"'.encode() in files[f"{node}/vipcast.toml"]
    assert b"(hidden)" in files["a1/configuration.json"]
    assert json.loads(files["manifest.json"])["nodes"].keys() == {"a1", "a2", "a3"}

    live = json.loads(lab["a1"].vipcast("simulate --json").check().stdout)
    lab.gw.write_bytes("/root/all.tar.gz", path.read_bytes(), mode=0o600)
    reopened = lab.gw.vipcast("simulate --json --bundle /root/all.tar.gz").check()
    assert json.loads(reopened.stdout) == live
    assert "Cluster demo as a" in reopened.stderr
    supposed = json.loads(lab.gw.vipcast("simulate --json --bundle /root/all.tar.gz --node-fail a1").check().stdout)
    assert all("a1" not in nodes for nodes in supposed["placement"].values())

    again = lab["a1"].vipcast("support-bundle /root/all.tar.gz --local", BUNDLE_S)
    assert again.returncode == 1
    assert "there is already a /root/all.tar.gz" in again.stderr


def test_a_bundle_of_a_host_whose_daemon_does_not_run_has_what_its_disk_remembers(lab: Lab) -> None:
    share_address(lab, slots=3)
    live = json.loads(lab["a2"].vipcast("simulate --json").check().stdout)
    for name in lab.names:
        lab.stop_daemon(name, signal.SIGKILL)
    told = lab["a2"].vipcast("support-bundle /root/a2.tar.gz --local", BUNDLE_S).check().stderr
    assert "vipcastd does not answer" in told
    assert json.loads(lab["a2"].vipcast("simulate --json --bundle /root/a2.tar.gz").check().stdout) == live
    assert "is no support bundle" in lab["a2"].vipcast("simulate --bundle /etc/passwd").stderr
