"""`vipcast drain` and `vipcast undrain`, typed on a node of a cluster."""

from __future__ import annotations

from tests.unit.cli.conftest import Shell

VIP = (
    "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 "
    "clone clone-max=4 clone-node-max=4 globally-unique=true"
)


def holders(shell: Shell) -> set[str]:
    return {slot["holder"] for slot in shell("status --json").json["addresses"][0]["slots"]}


def refused(shell: Shell, line: str) -> str:
    before = shell.cluster.backend.state.drains.copy()
    ran = shell(line)
    assert (ran.code, ran.stdout) == (1, ""), ran
    assert shell.cluster.backend.state.drains == before
    return ran.stderr


def test_a_node_is_drained_and_undrained(shell: Shell) -> None:
    shell.done(VIP)
    assert shell.done("drain node a2 --wait") == ["a2 is drained; 'vipcast undrain node a2' takes that back"]
    assert holders(shell) == {"a1", "a3", "a4"}
    assert shell.done("drain status") == ["a2 is drained"]
    assert "* a2 is drained" in shell.done("status")
    assert shell.done("undrain node a2 --wait") == ["It is drained no more, and gets its share again"]
    assert holders(shell) == {"a1", "a2", "a3", "a4"}
    assert shell.done("drain") == ["Nothing is drained"]


def test_without_a_name_this_node_is_meant(shell: Shell) -> None:
    shell.done(VIP)
    shell.done("drain node --wait")
    assert holders(shell) == {"a2", "a3", "a4"}
    shell.done("undrain node")


def test_an_address_is_drained_on_a_node_and_everywhere(shell: Shell) -> None:
    shell.done(VIP)
    (line,) = shell.done("drain address 192.168.110.120 a2 --wait")
    assert line == "VIP on a2 is drained; 'vipcast undrain address VIP a2' takes that back"
    (line,) = shell.done("drain address VIP-clone --wait")
    assert line == "VIP is drained; 'vipcast undrain address VIP' takes that back"
    assert shell("status --json").json["addresses"][0]["slots"] == []
    shell.done("undrain address VIP --wait")
    assert holders(shell) == {"a1", "a3", "a4"}


def test_a_slot_is_drained_from_its_owner(shell: Shell) -> None:
    shell.done(VIP)
    before = {s["slot"]: s["holder"] for s in shell("status --json").json["addresses"][0]["slots"]}
    (line,) = shell.done("drain slot VIP:2 --wait")
    assert line == f"slot VIP:2 on {before[2]} is drained; 'vipcast undrain slot VIP:2 {before[2]}' takes that back"
    after = {s["slot"]: s["holder"] for s in shell("status --json").json["addresses"][0]["slots"]}
    assert after[2] != before[2]
    document = shell("drain status --json").json
    assert [(d["node"], d["address"], d["slot"]) for d in document["drains"]] == [(before[2], "VIP", 2)]
    assert document["moving"] == []
    shell.done("undrain slot VIP:2")


def test_what_cannot_be_drained_is_refused_by_name_and_changes_nothing(shell: Shell) -> None:
    shell.done(VIP)
    assert "there is no node 'a9'" in refused(shell, "drain node a9")
    assert "no address 'X'" in refused(shell, "drain address X")
    assert "there is no slot 9" in refused(shell, "drain slot VIP:9")
    assert "names no slot" in shell.refused("drain slot VIP", code=2)
    assert "a2 is not drained" in refused(shell, "undrain node a2")
    for node in ("a1", "a2", "a3"):
        shell.done(f"drain node {node} --wait")
    assert "a4 is the last host that can hold 4 of its 4 slots of VIP" in refused(shell, "drain node a4")


def test_the_log_tells_who_drained_what(shell: Shell) -> None:
    shell.done(VIP)
    shell.done("drain node a2 --wait")
    lines = shell.done("cluster log")
    assert any("drains a2" in line and "begins to hand slot" in line for line in lines), lines
