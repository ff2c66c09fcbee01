"""One host's vipcast.toml has another profile: it is named, and granted nothing, until that is mended."""

from __future__ import annotations

import pytest

from tests.lab import Lab, wait_until
from tests.lab.service import await_status, shared

pytestmark = pytest.mark.root

ODD = "a4"
SETTINGS = "/etc/vipcast/vipcast.toml"


@pytest.mark.parametrize("engine", ["nft"], scope="module")
def test_a_host_with_another_profile_serves_nothing_and_both_sides_say_why(serving: Lab) -> None:
    before = serving[ODD].read(SETTINGS)
    serving.stop_daemon(ODD)
    other = before.replace('profile = "default"', 'profile = "fast"')
    assert other != before
    serving[ODD].write(SETTINGS, other)
    serving.run_daemon(ODD)

    def said(host: str) -> bool:
        return "its timers are others" in serving[host].log("vipcastd").read_text()

    wait_until(lambda: said("a1") and said(ODD), 20, "both sides naming the difference")
    own = serving[ODD].log("vipcastd").read_text()
    assert "votes for nobody and does not lead" in own, (
        "a process with other timers waits for what the old ones hold"
    )
    assert ODD not in set(shared(serving, on="a2").holders.values())
    assert "timers are others" in serving["a2"].vipcast("cluster status").check().stdout

    serving.stop_daemon(ODD)
    serving[ODD].write(SETTINGS, before)
    serving.run_daemon(ODD)
    await_status(
        serving, lambda _: ODD in set(shared(serving, on="a2").holders.values()), f"{ODD} serving again", on="a2"
    )
