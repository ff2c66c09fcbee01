"""Nodes that leave for good: by `node remove`, and by `cluster leave` on the node itself."""

from __future__ import annotations

import threading

import pytest

from tests.unit.cli.conftest import Shell

VIP = (
    "resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 "
    "clone clone-max=4 clone-node-max=4 globally-unique=true"
)


@pytest.mark.parametrize("words", ["node remove", "cluster node remove", "cluster node delete"])
def test_a_node_is_removed_and_its_slots_go_elsewhere(shell: Shell, words: str) -> None:
    shell.done(VIP)
    assert shell.done(f"{words} a3 --wait") == ["a3 has left the cluster"]
    status = shell("status --json").json
    assert [node["name"] for node in status["nodes"]] == ["a1", "a2", "a4"]
    assert {slot["holder"] for slot in status["addresses"][0]["slots"]} == {"a1", "a2", "a4"}


def test_without_wait_it_says_how_to_watch(shell: Shell) -> None:
    (line,) = shell.done("node remove a3")
    assert "gives everything away" in line
    assert "cluster log -f" in line


def test_the_attributes_of_the_node_go_and_constraints_that_name_it_stay(shell: Shell) -> None:
    shell.done(VIP)
    shell.done("node standby a3")
    shell.done("constraint location VIP-clone avoids a3=100")
    shell.done("node remove a3 --wait")
    assert "a3" in "\n".join(shell.done("constraint config"))
    assert "a3" not in shell("node attribute --json").json


def test_the_wish_that_the_node_breaks_ties_goes_with_it(shell: Shell) -> None:
    shell.done("property set tie-breaker=a3")
    shell.done("node remove a4 --wait")
    assert "tie-breaker" in "\n".join(shell.done("property config"))
    shell.done("node remove a3 --wait")
    assert "tie-breaker" not in "\n".join(shell.done("property config"))


def test_an_unknown_node_is_refused_with_those_that_there_are(shell: Shell) -> None:
    assert "there is no node 'a9'; there are: a1, a2, a3, a4" in shell.refused("node remove a9")


def test_the_last_node_is_refused_with_a_remedy(shell: Shell) -> None:
    for name in ("a2", "a3", "a4"):
        shell.done(f"node remove {name} --wait")
    ran = shell("node remove a1")
    assert ran.code == 1
    assert "a1 is the last node" in ran.stderr
    assert "Add another one first" in ran.stderr
    assert "a1" in shell.cluster.backend.state.nodes
    assert not shell.cluster.backend.state.retired


def test_without_quorum_nothing_is_begun(shell: Shell) -> None:
    shell.cluster.backend.quorate = False
    assert "no quorum" in shell.refused("node remove a3")


def test_a_node_has_to_be_named(shell: Shell) -> None:
    assert "vipcast node remove <node>" in shell.refused("node remove", code=2)


def test_a_wait_that_ends_too_early_says_what_it_waits_for_and_a_second_one_goes_on(shell: Shell) -> None:
    shell.cluster.backend.leader_removes = False
    ran = shell("node remove a3 --wait=200ms")
    assert ran.code == 1
    assert "the leader has not taken it off the roster yet" in ran.stderr
    assert "Node a3: leaving for good" in shell.done("status")
    shell.cluster.backend.leader_removes = True
    assert shell.done("node remove a3 --wait") == ["a3 has left the cluster"]


def test_a_host_that_leaves_waits_for_its_daemon_to_end_and_says_what_stays(shell: Shell) -> None:
    cluster = shell.cluster
    threading.Timer(0.3, cluster.stop).start()
    ran = shell("cluster leave")
    assert ran.code == 0, ran
    assert ran.lines == ["a1 has left the cluster, and vipcastd has ended here"]
    assert "/var/lib/vipcast" in ran.stderr
    assert "node reset" in ran.stderr
    assert "cluster join TOKEN" in ran.stderr
    assert "a1" not in cluster.backend.state.nodes
