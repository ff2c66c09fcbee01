"""A cluster that begins with one host and becomes five, by the commands that an administrator types."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.control import Status
from tests.lab.joining import ask_to_join, found, token
from tests.lab.service import ADDRESS, await_status, served, shared

pytestmark = pytest.mark.root

SLOTS = 5
REQUEST_MS = 900
"""below the repetition of a lost SYN (1 s), and above what busy cores make a client wait"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=5) as made:
        found(made)
        yield made


def roles(lab: Lab, on: str) -> dict[str, str]:
    status = await_status(lab, lambda status: True, "a status", on=on)
    return {node["name"]: node["role"] for node in status.document["nodes"]}


def await_votes(lab: Lab, names: set[str], on: str = "a1") -> None:
    """All of them vote, and nobody else is there."""

    def right() -> bool:
        found_roles = roles(lab, on)
        return set(found_roles) == names and set(found_roles.values()) <= {"leader", "follower"}

    wait_until(right, 20, f"{sorted(names)} voting", interval_s=0.05)


def serve(lab: Lab) -> None:
    """An address in five slots and a web server wherever it is up, made on the only host."""
    file = "/root/web.xml"
    for command in (
        f"cluster cib {file}",
        f"-f {file} resource create VIP ocf:heartbeat:IPaddr2 ip={ADDRESS} cidr_netmask=24 clusterip_hash=sourceip",
        f"-f {file} resource clone VIP clone-max={SLOTS} clone-node-max={SLOTS} globally-unique=true",
        f"-f {file} resource create web ocf:vipcast:webserver --clone",
        f"-f {file} constraint order VIP-clone then web-clone",
        f"cluster cib-push {file}",
    ):
        lab["a1"].vipcast(command).check()
    await_status(lab, lambda status: served(status) and status.started("web") == ["a1"], "a1 serves all", on="a1")


def traffic_to_each_slot(lab: Lab) -> list[Stream]:
    return [
        Stream(str(slot), clients, 25, REQUEST_MS)
        for slot, clients in shared(lab, on="a1").clients_by_slot(200).items()
    ]


def test_one_host_becomes_five_and_they_come_and_go_under_traffic(lab: Lab) -> None:
    serve(lab)
    with Traffic(lab.gw, ADDRESS) as traffic:
        traffic.start(*traffic_to_each_slot(lab))
        await_growth(lab)
        await_departures(lab)
        await_return_without_a_disk(lab)
        attempts = traffic.halt()
    assert len(attempts) > 1000
    # A SYN that comes while its slot changes hands is answered when the client repeats it: later than these wait.
    assert [attempt for attempt in attempts if attempt.outcome not in {"ok", "timeout"}] == []
    late = [attempt for attempt in attempts if not attempt.ok]
    by_second = Counter(f"slot {one.stream} at {one.started_ns // 1_000_000_000 % 3600} s" for one in late)
    assert len(late) < len(attempts) / 50, sorted(by_second.items())


def await_growth(lab: Lab) -> None:
    """a2 joins a cluster of one, then three hosts at once."""
    line = token(lab, "a1", "--uses 4")
    for together in (("a2",), ("a3", "a4", "a5")):
        for name in together:
            ask_to_join(lab, name, line).check()
        for name in together:
            lab.run_daemon(name)
        await_votes(lab, {"a1", "a2", *together})
    everyone = set(lab.names)
    await_status(lab, lambda status: served(status) and holders(status) == everyone, "a slot on each host", on="a1")
    assert len({lab[name].vipcast("cluster cib").check().stdout for name in lab.names}) == 1


def await_departures(lab: Lab) -> None:
    """a5 is removed by another host, a4 leaves by itself: both give their slots away, and their daemons end."""
    lab["a2"].vipcast("node remove a5").check()
    lab["a4"].vipcast("cluster leave", timeout_s=60).check()
    await_votes(lab, {"a1", "a2", "a3"})
    for name in ("a4", "a5"):
        daemon = lab.daemons[name]["vipcastd"]
        wait_until(lambda daemon=daemon: not daemon.running, 20, f"the end of vipcastd on {name}")  # type: ignore[misc]
        lab.stop_daemon(name)
    await_status(lab, lambda status: served(status) and holders(status) == {"a1", "a2", "a3"}, "three", on="a1")


def await_return_without_a_disk(lab: Lab) -> None:
    """a3 loses its power and its disk, and joins again under its name."""
    lab.kill("a3")
    shutil.rmtree(lab["a3"].directory)
    lab.boot("a3")
    await_status(lab, lambda status: status.online == {"a1", "a2"}, "a3 lost", on="a1")
    line = token(lab, "a2")
    refused = ask_to_join(lab, "a3", line)
    assert "it is offline; if this host is a3 with a new disk, add --replace" in refused.stderr
    ask_to_join(lab, "a3", line, "--replace").check()
    lab.run_daemon("a3")
    await_votes(lab, {"a1", "a2", "a3"})
    await_status(lab, lambda status: served(status) and holders(status) == {"a1", "a2", "a3"}, "again", on="a1")


def holders(status: Status) -> set[str | None]:
    address = status.address("VIP")
    return set(address.holders.values()) if address is not None else set()
