"""`vipcast cluster leave` and `node remove` with real daemons: slots go first, then the vote, then the daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = pytest.mark.root


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(hosts=4, engine="raw") as lab:
        lab.start_daemons()
        lab.await_cluster()
        yield lab


def ended(lab: Lab, name: str) -> bool:
    return not lab.daemons[name]["vipcastd"].running


def test_hosts_leave_one_after_the_other_and_no_client_notices(lab: Lab) -> None:
    share_address(lab, slots=4)
    serve_web(lab)
    address = shared(lab)
    with Traffic(lab.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, address.slots, 0), 20, "traffic to every slot")
        left = lab["a4"].vipcast("cluster leave", timeout_s=120).check()
        assert "a4 has left the cluster, and vipcastd has ended here" in left.stdout
        assert ended(lab, "a4")
        assert lab["a4"].run("pgrep", "-f", "vipcast/webserver").returncode != 0
        lab["a2"].vipcast("node remove a1 --wait=60", timeout_s=120).check()
        wait_until(lambda: ended(lab, "a1"), 20, "the end of a1's daemon")
        await_status(lab, served, "every slot served", on="a2")
        attempts = traffic.halt()
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    assert set(shared(lab, on="a2").holders.values()) == {"a2", "a3"}
    log = lab["a3"].vipcast("cluster log -n 1000").check().stdout
    assert "root removes a4 from the cluster" in log
    assert "root removes a1 from the cluster" in log
    assert "there is no node 'a1'" in lab["a2"].vipcast("node remove a1").stderr
