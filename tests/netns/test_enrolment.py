"""Key and settings by a token, on real sockets: what a host is told that is not let in, and that a bad network is
no obstacle."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.joining import ask_to_join, found, token

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """a1 is a cluster of its own; a2 and a3 have nothing of vipcast."""
    with Lab(hosts=3) as made:
        found(made)
        yield made


def test_a_host_that_loses_a_third_of_its_packets_gets_key_and_settings_all_the_same(lab: Lab) -> None:
    line = token(lab, "a1")
    lab.loss(30, "a2")
    try:
        ask_to_join(lab, "a2", line).check()
    finally:
        lab.loss(0, "a2")
    a1, a2 = lab["a1"], lab["a2"]
    assert a2.path("/etc/vipcast/authkey").read_bytes() == a1.path("/etc/vipcast/authkey").read_bytes()
    written = a2.read("/etc/vipcast/vipcast.toml")
    assert 'name = "a2"' in written
    assert "nodes" not in written
    assert a2.run("vipcastd", "--check").returncode == 0
    assert "a2 at 192.168.110.122 was given the cluster's key" in a1.log("vipcastd").read_text()


def test_a_token_that_is_over_is_named_as_such_and_not_as_a_broken_network(lab: Lab) -> None:
    expired = token(lab, "a1", "--ttl 1s")
    used = token(lab, "a1")
    let_in = ask_to_join(lab, "a3", used, "--settings /root/one/vipcast.toml --name b1").check()
    assert "Warning" not in let_in.stderr
    assert "the token has been used" in ask_to_join(lab, "a3", used, "--name b2").stderr
    lab["a3"].run("sleep", "1")
    assert "the token has expired" in ask_to_join(lab, "a3", expired).stderr
    assert not lab["a3"].path("/etc/vipcast/vipcast.toml").exists()


def test_a_name_of_a_living_node_is_refused(lab: Lab) -> None:
    told = ask_to_join(lab, "a3", token(lab, "a1"), "--name a1 --replace")
    assert told.returncode == 1
    assert "the cluster has a node 'a1' already, and it is online; take another name with --name" in told.stderr


@pytest.mark.parametrize(
    ("deaf", "said"),
    [("a1", "a1 does not hear this host by the group"), ("a3", "this host does not hear the cluster by the group")],
)
def test_a_host_without_multicast_one_way_is_let_in_by_unicast_and_warned(lab: Lab, deaf: str, said: str) -> None:
    table = "add table inet eat; add chain inet eat in { type filter hook prerouting priority -300; }"
    lab[deaf].run("nft", f"{table}; add rule inet eat in ip daddr 239.0.0.0/8 drop").check()
    try:
        let_in = ask_to_join(
            lab, "a3", token(lab, "a1"), f"--settings /root/{deaf}/vipcast.toml --name b{deaf}"
        ).check()
    finally:
        lab[deaf].run("nft", "delete table inet eat").check()
    assert said in let_in.stderr


def test_without_an_answer_the_sentence_says_what_to_look_at(lab: Lab) -> None:
    line = token(lab, "a1")
    lab.unplug("a3")
    try:
        told = ask_to_join(lab, "a3", line)
    finally:
        lab.plug("a3")
    assert told.returncode == 1
    assert "no answer by eth0" in told.stderr
    assert "ping 192.168.110.121" in told.stderr


def test_a_token_does_not_outlive_the_daemon_that_printed_it(lab: Lab) -> None:
    line = token(lab, "a1")
    lab.stop_daemon("a1", signal.SIGKILL)
    lab.run_daemon("a1")
    told = ask_to_join(lab, "a3", line)
    assert told.returncode == 1
    assert "a1 can be reached from here, but nobody knows this token" in told.stderr
