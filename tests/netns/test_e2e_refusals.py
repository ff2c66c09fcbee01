"""What is wrong changes nothing and is told clearly: on the network, on the command line, in files."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.lab import Completed, Lab, Traffic, wait_until
from tests.lab.clients import client_range
from tests.lab.control import Status
from tests.lab.inject import send_frames
from tests.lab.lab import PORT
from tests.lab.service import ADDRESS, serve_web, share_address

pytestmark = pytest.mark.root

GOOD = "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=3, engine="nft") as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=3)
        serve_web(lab)
        yield lab


def state_of(lab: Lab, name: str = "a1") -> dict[str, object]:
    """What must not change: the configuration's epoch, the leader's term, who takes part, who holds what."""
    status = Status.of(lab[name])
    assert status is not None
    address = status.address("VIP")
    assert address is not None
    return {
        "epoch": status.document["epoch"],
        "term": status.document["term"],
        "online": status.online,
        "incarnations": {node["name"]: node["incarnation"] for node in status.document["nodes"]},
        "holders": address.holders,
    }


def refused_datagrams(lab: Lab, name: str) -> int:
    status = Status.of(lab[name])
    assert status is not None
    return sum(status.document["refusals"].values())


def answers_clients(lab: Lab) -> bool:
    with Traffic(lab.gw, ADDRESS) as traffic:
        return all(attempt.ok for attempt in traffic.once(list(client_range(60))))


def heartbeats(lab: Lab, count: int) -> list[bytes]:
    """Datagrams of the cluster, as they went over the wire.

    Without their UDP checksums, which a virtual cable leaves to be computed: the kernel must not be the one that
    refuses them when they come again.
    """
    with lab.capture(f"udp port {PORT}", ["a1"]) as capture:
        wait_until(lambda: capture.poll() is not None and len(capture.packets) >= count, 20, f"{count} datagrams")
    return [packet.frame[:40] + b"\0\0" + packet.frame[42:] for packet in capture.packets]


def test_replayed_datagrams_change_nothing_and_are_counted(lab: Lab) -> None:
    before, refused = state_of(lab), refused_datagrams(lab, "a1")
    frames = heartbeats(lab, 60)
    own = socket.inet_aton(lab.address("a1"))
    foreign = [frame for frame in frames if frame[26:30] != own]  # its kernel drops what bears its own address
    send_frames(lab.gw, frames * 3)
    wait_until(lambda: refused_datagrams(lab, "a1") >= refused + len(foreign), 10, "the replays counted as refused")
    assert state_of(lab) == before
    assert answers_clients(lab)


@pytest.mark.parametrize("position", [42, 50, 60, -1])
def test_a_datagram_with_one_changed_bit_changes_nothing_and_is_counted(lab: Lab, position: int) -> None:
    before, refused = state_of(lab), refused_datagrams(lab, "a1")
    forged = []
    for frame in heartbeats(lab, 20):
        changed = bytearray(frame)
        changed[position] ^= 1
        forged.append(bytes(changed))
    send_frames(lab.gw, forged)
    wait_until(lambda: refused_datagrams(lab, "a1") > refused, 10, "the forgeries counted as refused")
    assert state_of(lab) == before
    assert answers_clients(lab)


def test_another_clusters_key_is_not_heard(lab: Lab) -> None:
    before = state_of(lab)
    with Lab(hosts=3, cluster=lab.cluster) as other:
        other.start_daemons()
        other.await_cluster()
        frames = heartbeats(other, 30)
    send_frames(lab.gw, frames)
    assert state_of(lab) == before
    assert answers_clients(lab)


def refused(done: Completed, *names: str) -> None:
    """A clear refusal: not exit status 0, no traceback, and it names the thing."""
    assert done.returncode not in (0, 139)
    text = done.stderr or done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Error" in text
    for name in names:
        assert name in text


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("resource create X ocf:heartbeat:IPaddr2 ipp=192.168.110.9", "ipp"),
        ("resource create X ocf:heartbeat:IPaddr2 ip=192.168.110.999 cidr_netmask=24", "192.168.110.999"),
        ("resource create X ocf:nowhere:nothing", "nothing"),
        ("resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.9", "VIP"),
        ("resource update VIP clusterip_hash=moon", "moon"),
        ("resource delete nosuch", "nosuch"),
        ("resource clone nosuch", "nosuch"),
        ("resource move nosuch", "nosuch"),
        ("constraint colocation add nosuch with VIP-clone INFINITY", "nosuch"),
        ("constraint order nosuch then VIP-clone", "nosuch"),
        ("resource meta VIP-clone clone-max=many", "many"),
        ("who 300.1.2.3", "300.1.2.3"),
        ("no such command", "no"),
        ("resource create", "resource create"),
    ],
)
def test_a_wrong_command_is_refused_names_what_is_wrong_and_changes_nothing(
    lab: Lab, command: str, named: str
) -> None:
    before = state_of(lab)
    done = lab["a2"].vipcast(command)
    assert done.returncode != 0
    assert named in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert state_of(lab) == before


BROKEN = {
    "not XML": "this is no XML\n",
    "cut off": "<cib><configuration><resources>",
    "another root": "<html/>",
    "an entity bomb": '<!DOCTYPE cib [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><cib>&b;</cib>',
    "empty": "",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_cib_file_is_refused_by_name_and_changes_nothing(lab: Lab, text: str) -> None:
    before = state_of(lab)
    lab["a2"].write("/root/broken.xml", text)
    refused(lab["a2"].vipcast("cluster cib-push /root/broken.xml"), "broken.xml")
    assert state_of(lab) == before


def test_a_cib_file_that_is_not_there_is_named(lab: Lab) -> None:
    refused(lab["a2"].vipcast("cluster cib-push /root/absent.xml"), "absent.xml")


def test_pushing_an_outdated_cib_is_refused_and_changes_nothing(lab: Lab) -> None:
    lab["a2"].vipcast("cluster cib /root/old.xml").check()
    lab["a2"].vipcast("-f /root/old.xml resource update VIP clusterip_hash=sourceip-sourceport").check()
    lab["a3"].vipcast("property set cluster-infrastructure=somebody-else").check()
    before = state_of(lab)
    refused(lab["a2"].vipcast("cluster cib-push /root/old.xml"), "old.xml", "moved on")
    assert state_of(lab) == before
    assert answers_clients(lab)


def test_a_daemon_of_a_laboratory_refuses_the_machines_own_network() -> None:
    import os  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    from tests.lab.host import BIN, environment  # noqa: PLC0415

    done = subprocess.run(
        [str(BIN / "vipcastd")],
        env={**os.environ, **environment()},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "namespace" in done.stderr
    assert "Traceback" not in done.stderr
