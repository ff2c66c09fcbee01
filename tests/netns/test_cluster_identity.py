"""Two clusters with one key, one name, one group, and even the same names of nodes: neither believes the other."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.control import Status
from tests.lab.joining import ask_to_join, await_online, found, token
from tests.lab.service import await_status
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.root

AUTHKEY = "/etc/vipcast/authkey"
NAMES = {"a1", "a2"}
STRANGER = re.compile(r"refused a datagram from (\S+): other-id: (a[12]) ")


@pytest.fixture
def founded() -> Iterator[Lab]:
    """a1 is a cluster; a3 calls itself a1 of a cluster with a copy of its key."""
    with Lab(hosts=4) as made:
        found(made, "a1")
        made["a3"].vipcast(f"cluster init {made.cluster} --profile {made.profile} --name a1").check()
        made["a3"].path(AUTHKEY).write_bytes(made["a1"].path(AUTHKEY).read_bytes())
        made.run_daemon("a3")
        await_online(made, {"a1"}, on="a3")
        yield made


def cluster_id(lab: Lab, host: str) -> str:
    status = Status.of(lab[host])
    return "" if status is None else str(status.document["cluster_id"])


def strangers(lab: Lab, host: str) -> list[tuple[str, str]]:
    """Address and claimed name, for each line of the log that names one."""
    return STRANGER.findall(lab[host].log("vipcastd").read_text())


def await_strangers(lab: Lab, host: str) -> list[tuple[str, str]]:
    wait_until(lambda: len(strangers(lab, host)) >= 2, 10, f"both strangers named on {host}")
    return strangers(lab, host)


def await_property(lab: Lab, host: str, value: str) -> None:
    wait_until(lambda: value in lab[host].vipcast("property config").check().stdout, 10, f"{value} on {host}")


def test_each_goes_on_by_itself_and_names_the_other_once_a_minute(founded: Lab) -> None:
    lab = founded
    ask_to_join(lab, "a4", token(lab, "a3"), "--name a2").check()
    ask_to_join(lab, "a2", token(lab, "a1")).check()
    lab.run_daemon("a4")
    lab.run_daemon("a2")
    for host in ("a1", "a3"):
        await_online(lab, NAMES, on=host)
    assert cluster_id(lab, "a1") == cluster_id(lab, "a2")
    assert cluster_id(lab, "a3") == cluster_id(lab, "a4")
    assert cluster_id(lab, "a1") != cluster_id(lab, "a3")
    lab["a1"].vipcast("property set cluster-name=first").check()
    lab["a3"].vipcast("property set cluster-name=second").check()
    for host, value in (("a1", "first"), ("a2", "first"), ("a3", "second"), ("a4", "second")):
        await_property(lab, host, value)
    for host, foreign in {"a1": ("a3", "a4"), "a3": ("a1", "a2")}.items():
        told = await_strangers(lab, host)
        assert {address for address, _ in told} == {lab.address(name) for name in foreign}
        assert len(told) == len(set(told)), "each once, and this test takes less than a minute"
        text = lab[host].log("vipcastd").read_text()
        assert "of another cluster with the same name and key" in text
        assert not re.search("wrong-key|namesake|old-incarnation|twin", text), "nothing of them was looked at"


def test_a_host_with_the_copied_key_file_alone_joins_the_first_that_proves_itself_and_no_other(
    founded: Lab,
) -> None:
    lab = founded
    lab["a2"].path("/root/key").write_bytes(lab["a1"].path(AUTHKEY).read_bytes())
    lab["a2"].run("chmod", "600", "/root/key").check()
    lab["a2"].vipcast(f"cluster join {lab.cluster} --key /root/key --profile {lab.profile}").check()
    lab.run_daemon("a2")
    await_status(lab, lambda status: "a2" in status.online, "a2 in a cluster", on="a2")
    wait_until(lambda: cluster_id(lab, "a2") != "", 10, "the id")
    mine, other = ("a1", "a3") if cluster_id(lab, "a2") == cluster_id(lab, "a1") else ("a3", "a1")
    await_online(lab, NAMES, on=mine)
    assert "a2" not in lab[other].vipcast("status nodes").check().stdout
