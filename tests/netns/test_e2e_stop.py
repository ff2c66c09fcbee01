"""`systemctl stop` as the daemon sees it: SIGTERM gives slots and resources away before the process ends."""

from __future__ import annotations

import signal

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.service import ADDRESS, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = pytest.mark.root

LEAVER = "a3"


def test_a_daemon_that_is_stopped_hands_its_slots_over_and_no_client_notices(serving: Lab) -> None:
    address = shared(serving)
    with Traffic(serving.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, address.slots, 0), 20, "traffic to every slot")
        assert serving.daemons[LEAVER]["vipcastd"].end(signal.SIGTERM, timeout_s=80) == 0
        attempts = traffic.halt()
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    assert LEAVER not in set(shared(serving, on="a2").holders.values())
    log = serving["a2"].vipcast("cluster log").check().stdout
    assert f"{LEAVER} is about to stop" in log
    assert serving[LEAVER].run("pgrep", "-f", "vipcast/webserver").returncode != 0
