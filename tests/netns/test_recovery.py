"""`vipcast cluster recover`: two of three hosts are gone for good, and a person lets the third go on alone."""

from __future__ import annotations

import time

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.answers import answered_twice
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = pytest.mark.root


def test_the_last_host_goes_on_alone_and_one_that_comes_back_is_not_heard() -> None:
    with Lab(hosts=3, engine="nft") as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=3, on="a1")
        serve_web(lab, on="a1")
        address = shared(lab)
        for gone in ("a2", "a3"):
            lab.kill(gone)
        assert "in-use" in lab["a1"].vipcast("cluster recover --yes --json").stderr
        lab.stop_daemon("a1")
        assert "say --yes" in lab["a1"].vipcast("cluster recover").stderr
        said = lab["a1"].vipcast("cluster recover --yes").check()
        assert said.stdout.startswith("a1 is the cluster now; entry ")
        lab.run_daemon("a1")
        await_status(lab, lambda status: served(status) and status.online == {"a1"}, "a1 serving all", on="a1")
        assert set(shared(lab, on="a1").holders.values()) == {"a1"}
        assert "root recovers the cluster from a1 alone" in lab["a1"].vipcast("cluster log").check().stdout

        capture = lab.capture(f"tcp port 80 and host {ADDRESS}", ["a1"])
        with capture, Traffic(lab.gw, ADDRESS) as traffic:
            traffic.start(*streams(address))
            wait_until(lambda: all_well(traffic, 3, 0), 20, "traffic to every slot")
            lab.boot("a2")
            capture.add(lab["a2"])
            lab.start_daemon("a2")
            wait_until(
                lambda: "another cluster" in lab["a1"].log("vipcastd").read_text(),
                20,
                "the stranger named in the log",
            )
            since_ns = time.time_ns()
            wait_until(lambda: all_well(traffic, 3, since_ns), 20, "traffic to every slot")
            capture.poll()
            attempts = traffic.halt()
        assert answered_twice(capture.segments(), ADDRESS) == {}
        assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
