"""`vipcast panic`: one host says nothing any more, whatever its daemon does, until that is taken back."""

from __future__ import annotations

import signal
import time

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.service import ADDRESS, await_status, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = pytest.mark.root

SILENCED = "a3"
SETTLED_S = 0.05
"""a frame that was on its way when the command ended has arrived long before"""


def has_address(lab: Lab, host: str) -> bool:
    return ADDRESS in lab[host].run("ip", "-brief", "address").check().stdout


def holds_slots(lab: Lab, host: str) -> bool:
    return host in set(shared(lab, on="a2").holders.values())


def await_share(lab: Lab, host: str) -> None:
    await_status(lab, lambda _: holds_slots(lab, host) and has_address(lab, host), f"{host} serving again", on="a2")


def test_a_silenced_host_sends_nothing_more_votes_on_and_takes_its_share_when_it_may(serving: Lab) -> None:
    address = shared(serving)
    capture = serving.capture(f"host {ADDRESS}")
    with capture, Traffic(serving.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, address.slots, 0), 20, "traffic to every slot")
        assert "SILENCED" not in serving[SILENCED].vipcast("panic status").check().stdout
        serving[SILENCED].vipcast("panic").check()
        silenced_ns = time.time_ns()
        assert not has_address(serving, SILENCED)
        wait_until(lambda: all_well(traffic, address.slots, silenced_ns), 30, "all slots served by the others")
        capture.poll()
        traffic.halt()
    late = silenced_ns + int(SETTLED_S * 1e9)
    said_later = [f for f in capture.packets if f.outgoing and f.host == SILENCED and f.time_ns > late]
    assert said_later == []
    assert not holds_slots(serving, SILENCED)
    assert SILENCED in serving["a2"].vipcast("quorum status").check().stdout
    assert "silenced" in serving["a2"].vipcast("cluster status").check().stdout
    alarmed = serving[SILENCED].vipcast("status")
    assert alarmed.returncode == 3
    assert "SILENCED" in alarmed.stdout
    wait_until(
        lambda: serving[SILENCED].run("pgrep", "-f", "vipcast/webserver").returncode, 20, "its services elsewhere"
    )

    serving[SILENCED].vipcast("panic off").check()
    await_share(serving, SILENCED)


def test_a_host_whose_daemon_hangs_is_silenced_and_stays_so_when_it_goes_on(serving: Lab) -> None:
    daemon = serving.daemons[SILENCED]["vipcastd"]
    daemon.send(signal.SIGSTOP)
    serving[SILENCED].vipcast("panic").check()
    assert not has_address(serving, SILENCED)
    daemon.send(signal.SIGCONT)
    await_status(serving, lambda status: SILENCED in status.online, "the daemon back", on="a2")
    wait_until(lambda: not holds_slots(serving, SILENCED), 20, "no slot there")
    assert not has_address(serving, SILENCED)
    assert "SILENCED" in serving[SILENCED].vipcast("panic status").check().stdout
    serving[SILENCED].vipcast("panic off").check()
    await_share(serving, SILENCED)


def test_a_daemon_that_starts_on_a_silenced_host_serves_nothing(serving: Lab) -> None:
    serving.daemons[SILENCED]["vipcastd"].send(signal.SIGKILL)
    serving[SILENCED].vipcast("panic").check()
    serving.stop_daemon(SILENCED)
    serving.start_daemon(SILENCED)
    await_status(serving, lambda status: SILENCED in status.online, "the daemon back", on="a2")
    wait_until(lambda: not holds_slots(serving, SILENCED), 20, "no slot there")
    assert not has_address(serving, SILENCED)
    serving[SILENCED].vipcast("panic off").check()
    await_share(serving, SILENCED)
