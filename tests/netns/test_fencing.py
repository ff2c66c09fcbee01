"""Two whole daemons, and a power switch that each of them may use against the other one, through a fence agent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from tests.lab import Lab, wait_until
from tests.lab.service import await_status, serve_web, served, share_address, shared

pytestmark = pytest.mark.root

ROOT = "/var/lib/lab-agents"
AGENT = r"""#!/bin/sh
# The fence agent API: options on standard input, name=value a line; it asks the laboratory's power switch.
while read -r line; do
    case "$line" in
    action=*) action=${line#action=} ;;
    plug=*) plug=${line#plug=} ;;
    esac
done
case "$action" in
metadata)
    cat <<'END'
<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="The laboratory's power switch">
<parameters><parameter name="action" required="1"><content type="string" default="reboot"/></parameter></parameters>
<actions><action name="off"/><action name="reboot"/><action name="monitor"/><action name="metadata"/></actions>
</resource-agent>
END
    exit 0 ;;
monitor | status) exit 0 ;;
off | reboot)
    if [ -e /var/lib/lab-switch-broken ]; then echo "the switch does not answer" >&2; exit 1; fi
    echo "$action $plug" > /var/lib/lab-switch.asked
    for _ in $(seq 100); do
        [ -e /var/lib/lab-switch.done ] && { rm -f /var/lib/lab-switch.done; exit 0; }
        sleep 0.1
    done
    exit 1 ;;
esac
exit 1
"""


class PowerSwitch:
    """Cuts the power of the host that an agent names; somebody switches it on again later."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.cut: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._end.wait(0.05):
            for host in self.lab:
                if not host.up or not (asked := host.path("/var/lib/lab-switch.asked")).exists():
                    continue
                _, plug = asked.read_text().split()
                asked.unlink()
                self.lab.kill(plug)
                self.cut.append(plug)
                host.write("/var/lib/lab-switch.done", "")

    def close(self) -> None:
        self._end.set()
        self._thread.join(10)


def start(lab: Lab, name: str) -> None:
    """Switch on a host that knows the agent, and start its daemon."""
    host = lab[name]
    if not host.up:
        lab.boot(name)
    host.write(f"{ROOT}/fence/fence_lab", AGENT, mode=0o755)
    lab.configure(name)
    settings = host.read("/etc/vipcast/vipcast.toml")
    host.write("/etc/vipcast/vipcast.toml", settings + f'\n[paths]\nagents = ["{ROOT}", "/usr/lib/ocf"]\n')
    lab.run_daemon(name)


@pytest.fixture(scope="module")
def two() -> Iterator[Lab]:
    """Two hosts that serve an address, and have agreed that fencing counts."""
    with Lab(hosts=2, engine="nft") as lab:
        for name in lab.names:
            start(lab, name)
        lab.await_cluster()
        share_address(lab, slots=4)
        serve_web(lab)
        lab["a1"].vipcast("property set stonith-enabled=true").check()
        wait_until(lambda: all(quorum(lab, name)["fencing"] for name in lab.names), 10, "both have agreed")
        yield lab


def quorum(lab: Lab, on: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(lab[on].vipcast("quorum status --json").check().stdout)
    return found


def serves_all(lab: Lab, on: str) -> None:
    await_status(
        lab,
        lambda status: served(status) and set(shared(lab, on=on).holders.values()) == {on},
        f"{on} serves every slot",
        on=on,
    )


def comes_back(lab: Lab, name: str) -> None:
    """It boots, is taken in, and holds its share; the other one counts its vote no more."""
    start(lab, name)
    for on in lab.names:
        await_status(
            lab,
            lambda status: len(status.online) == 2 and served(status),
            f"{name} takes part again",
            on=on,
        )
    assert all(quorum(lab, on)["fenced"] == "" for on in lab.names)


def test_a_device_cuts_the_power_of_the_host_that_is_gone_and_the_other_one_goes_on(two: Lab) -> None:
    for name in two.names:
        two["a1"].vipcast(f"stonith create fence-{name} fence_lab pcmk_host_list={name}").check()
    switch = PowerSwitch(two)
    try:
        two["a2"].write("/var/lib/lab-switch-broken", "")
        two["a1"].write("/var/lib/lab-switch-broken", "")
        two.unplug("a2")
        wait_until(lambda: "attempt 1" in str(quorum(two, "a1")["fencing_trouble"]), 20, "the failure is told")
        two["a1"].path("/var/lib/lab-switch-broken").unlink()
        serves_all(two, on="a1")
        assert switch.cut == ["a2"]
        assert not two["a2"].up
    finally:
        switch.close()
    assert quorum(two, "a1")["fenced"] == "a2"
    assert "its vote counts" in two["a1"].vipcast("quorum status").check().stdout
    two["a1"].vipcast("property set batch-limit=7").check()
    assert "a2 is without power, says fence-a2" in two["a1"].vipcast("cluster log").check().stdout
    comes_back(two, "a2")
    assert "batch-limit: 7" in two["a2"].vipcast("property config").check().stdout
    for name in two.names:
        two["a2"].vipcast(f"stonith delete fence-{name}").check()


def test_a_person_who_has_pulled_the_plug_says_so_and_a_wrong_word_is_found_out(two: Lab) -> None:
    two.kill("a2")
    refused = two["a1"].vipcast("stonith confirm a2")
    assert refused.returncode != 0
    assert "WARNING" in refused.stderr
    assert "--force" in refused.stderr
    wait_until(
        lambda: two["a1"].vipcast("stonith confirm a2 --force").returncode == 0, 10, "a2 is silent for long enough"
    )
    serves_all(two, on="a1")
    two["a1"].vipcast("property set batch-limit=8").check()
    assert "a2 is without power, says root" in two["a1"].vipcast("cluster log").check().stdout
    comes_back(two, "a2")
    two.unplug("a2")
    wait_until(
        lambda: two["a1"].vipcast("stonith confirm a2 --force").returncode == 0, 10, "a2 is silent for long enough"
    )
    serves_all(two, on="a1")
    two.plug("a2")
    wait_until(lambda: "NEVER WAS WITHOUT POWER" in two["a1"].log("vipcastd").read_text(), 10, "it is found out")
    for on in two.names:
        await_status(two, lambda status: len(status.online) == 2 and served(status), "they agree again", on=on)
