"""`vipcast node evacuate`: one host at a time, and only while the cluster is whole."""

from __future__ import annotations

from daemon.cluster.records import Admit, Lost
from tests.unit.cli.conftest import Shell
from tests.unit.cli.test_evidence import VIP


def test_a_host_is_emptied_and_the_way_back_is_told(shell: Shell) -> None:
    shell.done(VIP)
    shell.done("resource create web ocf:heartbeat:apache clone")
    (said,) = shell.done("node evacuate a2")
    assert said == "a2 is empty.  When it has done what it is to do: vipcast node unstandby a2"
    assert not [line for line in shell.done("status slots") if " a2 " in line and "open" in line]


def test_the_next_one_is_refused_until_the_last_one_is_back(shell: Shell) -> None:
    shell.done(VIP)
    shell.done("node evacuate a2")
    assert "a2 is still in standby (vipcast node unstandby a2)" in shell.refused("node evacuate a3")
    shell.done("node unstandby a2")
    shell.cluster.on_loop(lambda: shell.cluster.backend.append(Lost("a2")))
    assert "a2 is not online" in shell.refused("node evacuate a3")
    shell.cluster.on_loop(lambda: shell.cluster.backend.append(Admit("a2", 1, "boot-a2")))
    told = shell.refused("node evacuate a3")
    assert "is not done" in told or "on their way" in told
    shell.cluster.on_loop(shell.cluster.backend.play)
    shell.done("node evacuate a3")


def test_what_would_run_nowhere_is_named_and_force_goes_on(shell: Shell) -> None:
    shell.done("resource create db ocf:heartbeat:apache")
    shell.done("constraint location db prefers a2")
    for other in ("a1", "a3", "a4"):
        shell.done(f"constraint location db avoids {other}")
    assert "without a2 this would run nowhere: db" in shell.refused("node evacuate a2")
    shell.done("node evacuate a2 --force")


def test_an_unknown_node_is_named(shell: Shell) -> None:
    assert "there is no node 'a9'; there are: a1, a2, a3, a4" in shell.refused("node evacuate a9")


def test_what_does_not_leave_in_time_is_told_and_the_standby_stays(shell: Shell) -> None:
    shell.done("resource create db ocf:heartbeat:apache")
    (node,) = shell.cluster.backend.plan().placement["db"]
    shell.cluster.backend.play = lambda: None  # type: ignore[method-assign]
    ran = shell(f"node evacuate {node} --wait=1")
    assert ran.code == 1
    assert f"{node} is in standby, but after 1 s it still has db" in ran.stderr
