"""`vipcast key rotate` on running daemons: nobody is lost, and every disk has the new key."""

from __future__ import annotations

import json

import pytest

from daemon import keys
from tests.lab import Lab
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.root


def marks(lab: Lab, name: str) -> list[tuple[str, str]]:
    document = json.loads(lab[name].run("vipcast", "--json", "key", "status").check().stdout)
    return [(one["mark"], one["role"]) for one in document["keys"]]


def losses(lab: Lab) -> int:
    return sum(
        " was lost" in line for name in lab.names for line in lab[name].log("vipcastd").read_text().splitlines()
    )


def test_a_key_is_replaced_while_the_cluster_runs_and_a_host_that_was_down_gets_it() -> None:
    with Lab(hosts=3) as lab:
        lab.start_daemons()
        lab.await_cluster()
        ((old, _),) = marks(lab, "a1")
        lab["a2"].run("vipcast", "key", "rotate").check()
        wait_until(lambda: all(len(marks(lab, name)) == 1 for name in lab.names), 40, "one key on every host")
        wait_until(lambda: marks(lab, "a1")[0][0] != old, 5, "the new key")
        assert len({tuple(marks(lab, name)) for name in lab.names}) == 1
        assert len({keys.read(lab[name].path("/etc/vipcast/authkey")) for name in lab.names}) == 1
        assert losses(lab) == 0
        for name in lab.names:
            assert lab[name].run("stat", "-c", "%a", "/etc/vipcast/authkey").stdout.strip() == "600"

        ((first, _),) = marks(lab, "a1")
        lab.stop_daemon("a3")
        lab["a1"].run("vipcast", "key", "rotate").check()
        wait_until(lambda: all(marks(lab, name)[0][0] != first for name in ("a1", "a2")), 40, "the second rotation")
        assert (first, "retired") in marks(lab, "a1")
        lab.run_daemon("a3")
        lab.await_cluster()
        wait_until(lambda: all(len(marks(lab, name)) == 1 for name in lab.names), 40, "one key again")
        assert len({tuple(marks(lab, name)) for name in lab.names}) == 1
