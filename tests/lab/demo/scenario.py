"""The transcript: nine steps, the same as in docs/guide/lab.md, each measured where it promises something."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from tests.lab import Completed, Lab, wait_until
from tests.lab.control import Status
from tests.lab.demo.faults import FaultSteps
from tests.lab.demo.promises import Card
from tests.lab.demo.requests import RequestSteps
from tests.lab.demo.screen import Screen

ADDRESS = "192.168.110.120"
SHARED_MAC = "21:37:6F:88:C2:A0"
ADMIN = "a2"
SETTLE_S = 20.0


class Scenario:
    """Plays the steps in order; raises when one cannot go on (TimeoutError, AssertionError, RuntimeError)."""

    def __init__(self, lab: Lab, screen: Screen, card: Card) -> None:
        self.lab = lab
        self.screen = screen
        self.card = card

    def play(self) -> None:
        """All nine steps."""
        self.play_commands()
        requests = RequestSteps(self.lab, self.screen, self.card, ADDRESS)
        requests.one_request()
        requests.thousand_clients()
        faults = FaultSteps(self.lab, self.screen, self.card, ADDRESS, ADMIN)
        faults.kill()
        faults.stop()

    def play_commands(self) -> None:
        """Steps 1 to 6: what an administrator types."""
        self._start()
        self._create()
        self._constrain()
        self._clone_address()
        self._clone_webserver()
        self._show()
        self._arping()

    # -- the commands ---------------------------------------------------------------------------------------------

    def run(self, command: str) -> str:
        """Type a command, show what it said, and return that.  Raises AssertionError when it failed."""
        return self.show(ADMIN, command).check().stdout

    def show(self, host: str, command: str) -> Completed:
        self.screen.prompt(host, command)
        done = self.lab[host].shell(command)
        self.screen.output(done.stdout + done.stderr)
        return done

    def _start(self) -> None:
        screen = self.screen
        screen.line(screen.paint(f"vipcast: four hosts serve {ADDRESS} together", 1))
        screen.note(
            "hosts a1..a4 = 192.168.110.121-124 and client gw = 192.168.110.1, each in namespaces of its own,\n"
            f"on one bridge; this machine's own network is not touched (laboratory of process {os.getpid()})"
        )
        for host in self.lab:
            host.write("/var/www/html/index.html", f"{host.name}\n")
        self.lab.start_daemons()
        self.lab.await_cluster(SETTLE_S)
        self.run("vipcast cluster status")

    def _create(self) -> None:
        self.screen.step(1, "An address and a web server")
        self.run(
            "vipcast resource create VIP ocf:heartbeat:IPaddr2"
            " ip=192.168.110.120 cidr_netmask=24 op monitor interval=10s"
        )
        self.run(
            "vipcast resource create webserver ocf:heartbeat:apache"
            " configfile=/etc/apache2/apache2.conf op monitor interval=10s"
        )
        self._settled(_apart, "the two on different hosts")
        self.run("vipcast resource")

    def _constrain(self) -> None:
        self.screen.step(2, "On the same host, and in order")
        self.run("vipcast constraint colocation add webserver with VIP INFINITY")
        self._settled(_together, "the two on one host")
        self.run("vipcast resource")
        said = self.run("vipcast constraint order VIP then webserver")
        expected = "Adding VIP webserver (kind: Mandatory) (Options: first-action=start then-action=start)"
        self.card.add(
            "an old runbook goes on working (pcs grammar and answers)",
            "the answers of step 2" if expected in said else f"answered {said.strip()!r}",
            expected in said,
            "make test-one T=test_demo_transcript",
        )

    def _clone_address(self) -> None:
        self.screen.step(3, "The address on all hosts at once, edited in a file and pushed")
        self.run("vipcast cluster cib loadbalance_cfg")
        self.run("vipcast -f loadbalance_cfg resource clone VIP clone-max=4 clone-node-max=4 globally-unique=true")
        self.run("vipcast -f loadbalance_cfg resource update VIP clusterip_hash=sourceip")
        said = self.run("vipcast cluster cib-push loadbalance_cfg")
        if "CIB updated" not in said:
            raise AssertionError(f"cib-push said {said!r} and not `CIB updated`")

    def _clone_webserver(self) -> None:
        self.screen.step(4, "The web server too")
        self.run("vipcast cluster cib active_cfg")
        self.run("vipcast -f active_cfg resource clone webserver")
        self.run("vipcast -f active_cfg constraint")
        self.run("vipcast cluster cib-push active_cfg")

    def _show(self) -> None:
        self.screen.step(5, "One slot to each host")
        names = self.lab.names

        def spread(status: Status) -> bool:
            address = status.address("VIP")
            return (
                address is not None
                and len(address.open) == 4
                and sorted(filter(None, address.holders.values())) == names
                and sorted(status.started("webserver")) == names
            )

        self._settled(spread, "a slot and a web server on each host")
        said = self.run("vipcast resource")
        instances = re.findall(r"^ +VIP:(\d)  \(ocf::heartbeat:IPaddr2\):  Started (a\d)$", said, re.MULTILINE)
        right = (
            [number for number, _ in instances] == list("0123")
            and sorted(host for _, host in instances) == names
            and "Clone Set: VIP-clone [VIP] (unique)" in said
            and "Started: [ a1 a2 a3 a4 ]" in said
        )
        self.card.add(
            "every host serves the one address",
            f"{len(instances)} slots on {len({host for _, host in instances})} hosts",
            right,
            "make test-one T=every_host_has_one_slot",
        )

    def _arping(self) -> None:
        self.screen.step(6, "Who has it?  Three others, with one shared multicast MAC")
        # arping's exit status is 1 when replies are not as many as requests; here they are three times as many
        said = self.show("a1", f"arping {ADDRESS} -c 1 -I eth0").stdout
        replies = re.findall(r"reply from \S+ \[([0-9A-F:]+)\]", said)
        self.card.add(
            "all hosts answer ARP with the same MAC",
            f"{len(replies)} replies from {', '.join(sorted(set(replies))) or 'nobody'}",
            replies == [SHARED_MAC] * 3,
            "make test-one T=arping_gets_three",
        )

    # -- waiting --------------------------------------------------------------------------------------------------

    def _settled(self, right: Callable[[Status], bool], what: str) -> None:
        def holds() -> bool:
            status = Status.of(self.lab[ADMIN])
            return status is not None and right(status)

        wait_until(holds, SETTLE_S, what, interval_s=0.05)


def _apart(status: Status) -> bool:
    address, webserver = status.started("VIP"), status.started("webserver")
    return len(address) == len(webserver) == 1 and address != webserver


def _together(status: Status) -> bool:
    address, webserver = status.started("VIP"), status.started("webserver")
    return len(address) == 1 and address == webserver
