"""`vipcast key rotate` on running daemons: nobody is lost, every disk has the new key, and who was away comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from daemon import keys
from daemon.cluster.keyring import OVERLAP_S
from tests.lab import Lab
from tests.lab.joining import ask_to_join, await_online, token
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.root

AUTHKEY = "/etc/vipcast/authkey"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=4) as made:
        made.start_daemons()
        made.await_cluster()
        yield made


def marks(lab: Lab, name: str) -> dict[str, str]:
    """Mark → role, the active one first."""
    document = json.loads(lab[name].run("vipcast", "--json", "key", "status").check().stdout)
    return {one["mark"]: one["role"] for one in document["keys"]}


def active(lab: Lab, name: str) -> str:
    return next(iter(marks(lab, name)))


def losses(lab: Lab) -> int:
    return sum(
        " is lost: " in line for name in lab.names for line in lab[name].log("vipcastd").read_text().splitlines()
    )


def rotate(lab: Lab, on: str, among: list[str], options: str = "") -> str:
    """A new key on all of these; its mark.  Each test leaves all four hosts online under one key."""
    old = active(lab, on)
    lab[on].vipcast(f"key rotate {options}").check()
    wait_until(lambda: all(active(lab, name) != old for name in among), 40, f"a new key on {among}")
    assert len({active(lab, name) for name in among}) == 1
    return active(lab, on)


def grow_old(lab: Lab, names: list[str]) -> None:
    """As if the overlap were over: a minute off each retired key on the disk, and the daemons started again."""
    for name in names:
        lab.stop_daemon(name)
        path = lab[name].path(AUTHKEY)
        ring = keys.read_ring(path)
        aged = tuple(
            type(one)(one.key, one.until_s - OVERLAP_S - 5, one.revokes) if one.until_s else one
            for one in ring.keys
        )
        keys.write_ring(path, type(ring)(aged))
        lab.run_daemon(name)
    await_online(lab, set(names), on=names[0])


def test_a_key_is_replaced_while_the_cluster_runs_and_nobody_is_lost(lab: Lab) -> None:
    old = active(lab, "a1")
    new = rotate(lab, "a2", lab.names)
    assert losses(lab) == 0
    for name in lab.names:
        assert marks(lab, name)[new] == "active"
        assert marks(lab, name)[old] == "retired"
        assert lab[name].run("stat", "-c", "%a", AUTHKEY).stdout.strip() == "600"
    assert len({keys.read(lab[name].path(AUTHKEY)) for name in lab.names}) == 1
    lab["a3"].vipcast("key rotate --revoke").check()
    wait_until(lambda: all(len(marks(lab, name)) == 1 for name in lab.names), 30, "nothing but the newest key")
    assert losses(lab) == 0


def test_a_host_that_was_off_during_two_rotations_is_back_without_a_hand(lab: Lab) -> None:
    rest = ["a1", "a2", "a3"]
    first = active(lab, "a1")
    lab.stop_daemon("a4")
    rotate(lab, "a1", rest)
    newest = rotate(lab, "a2", rest)
    grow_old(lab, rest)
    assert marks(lab, "a1")[first] == "way-back"
    lab.run_daemon("a4")
    await_online(lab, set(lab.names))
    assert active(lab, "a4") == newest
    assert f"a4 has come back with key {first}" in "".join(lab[name].log("vipcastd").read_text() for name in rest)


def test_a_host_that_was_off_while_the_key_was_revoked_stays_out_until_it_joins_again(lab: Lab) -> None:
    rest = ["a1", "a2", "a3"]
    lab.stop_daemon("a4")
    newest = rotate(lab, "a1", rest, "--revoke")
    wait_until(lambda: all(marks(lab, name) == {newest: "active"} for name in rest), 30, "no trace of the old key")
    lab.run_daemon("a4")

    def said(name: str) -> bool:
        text = lab[name].log("vipcastd").read_text()
        return "wrong-key: a" in text and "vipcast cluster join --force TOKEN" in text

    wait_until(lambda: said("a1") and said("a4"), 10, "what to do, on both sides")
    await_online(lab, set(rest))
    lab.stop_daemon("a4")
    before = lab["a4"].read("/etc/vipcast/vipcast.toml")
    ask_to_join(lab, "a4", token(lab, "a1"), "--force").check()
    assert lab["a4"].read("/etc/vipcast/vipcast.toml") == before, "it keeps its settings, and its memory"
    lab.run_daemon("a4")
    await_online(lab, set(lab.names))
    assert active(lab, "a4") == newest


def test_a_host_that_was_let_in_by_a_token_and_starts_a_moment_after_a_rotation_joins(lab: Lab) -> None:
    rest = ["a1", "a2", "a3"]
    lab["a1"].vipcast("node remove a4").check()
    lab.stop_daemon("a4")
    for name in ("/etc/vipcast/vipcast.toml", AUTHKEY):
        os.unlink(lab["a4"].path(name))
    lab["a4"].run("rm", "-r", "/var/lib/vipcast").check()
    ask_to_join(lab, "a4", token(lab, "a1")).check()
    rotate(lab, "a2", rest)
    lab.run_daemon("a4")
    await_online(lab, set(lab.names))
    assert active(lab, "a4") == active(lab, "a1")
