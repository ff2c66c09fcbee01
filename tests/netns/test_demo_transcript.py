"""Steps 1 to 7 of the transcript, with Apache, another engine on each host."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Traffic
from tests.lab.answers import accepted_by, answered_twice, resets
from tests.lab.clients import client_range
from tests.lab.control import Status
from tests.lab.service import ADDRESS, await_status, served, shared
from tests.netns.conftest import ONE_OF_EACH

pytestmark = pytest.mark.root

ADMIN = "a2"
CREATE = (
    "vipcast resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 cidr_netmask=24 op monitor interval=10s",
    "vipcast resource create webserver ocf:heartbeat:apache configfile=/etc/apache2/apache2.conf"
    " op monitor interval=10s",
)
COLOCATE = "vipcast constraint colocation add webserver with VIP INFINITY"
ORDER = "vipcast constraint order VIP then webserver"
CLONE_ADDRESS = (
    "vipcast cluster cib loadbalance_cfg",
    "vipcast -f loadbalance_cfg resource clone VIP clone-max=4 clone-node-max=4 globally-unique=true",
    "vipcast -f loadbalance_cfg resource update VIP clusterip_hash=sourceip",
    "vipcast cluster cib-push loadbalance_cfg",
)
CLONE_WEBSERVER = (
    "vipcast cluster cib active_cfg",
    "vipcast -f active_cfg resource clone webserver",
    "vipcast -f active_cfg constraint",
    "vipcast cluster cib-push active_cfg",
)


class Transcript:
    """The laboratory after the last step, and what every command said."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.said: dict[str, str] = {}

    def type(self, *commands: str, step: str = "") -> None:
        for command in commands:
            self.said[step + command] = self.lab[ADMIN].shell(command).check().stdout

    def play(self) -> None:
        for host in self.lab:
            host.write("/var/www/html/index.html", f"{host.name}\n")
        self.type(*CREATE)
        await_status(
            self.lab, lambda status: len(_places(status)) == 2, "both started, on different hosts", on=ADMIN
        )
        self.type("vipcast resource", step="1 ")
        self.type(COLOCATE)
        await_status(self.lab, lambda status: len(_places(status)) == 1, "both started, on one host", on=ADMIN)
        self.type("vipcast resource", step="2 ")
        self.type(ORDER, *CLONE_ADDRESS, *CLONE_WEBSERVER)
        await_status(
            self.lab,
            lambda status: served(status) and set(status.started("webserver")) == set(self.lab.names),
            "four slots and four web servers",
            on=ADMIN,
        )
        self.type("vipcast resource", step="5 ")


def _places(status: Status) -> set[str]:
    """Hosts of the two resources, once both are started; none before."""
    both = (status.started("VIP"), status.started("webserver"))
    return {name for places in both for name in places} if all(both) else set()


@pytest.fixture(scope="module")
def transcript() -> Iterator[Transcript]:
    with Lab(hosts=4, engine=ONE_OF_EACH) as lab:
        lab.start_daemons()
        lab.await_cluster()
        transcript = Transcript(lab)
        transcript.play()
        yield transcript


def _hosts(listing: str) -> dict[str, str]:
    return dict(re.findall(r"^ *(\w+)\s+\(ocf::heartbeat:\w+\):\s+Started (a\d)$", listing, re.MULTILINE))


def test_two_resources_start_on_different_hosts(transcript: Transcript) -> None:
    hosts = _hosts(transcript.said["1 vipcast resource"])
    assert set(hosts) == {"VIP", "webserver"}
    assert hosts["VIP"] != hosts["webserver"]


def test_a_colocation_brings_them_to_one_host(transcript: Transcript) -> None:
    hosts = _hosts(transcript.said["2 vipcast resource"])
    assert set(hosts) == {"VIP", "webserver"}
    assert hosts["VIP"] == hosts["webserver"]


def test_an_order_is_confirmed_in_the_words_of_pcs(transcript: Transcript) -> None:
    assert transcript.said[ORDER] == (
        "Adding VIP webserver (kind: Mandatory) (Options: first-action=start then-action=start)\n"
    )


def test_both_pushes_are_confirmed(transcript: Transcript) -> None:
    assert transcript.said["vipcast cluster cib-push loadbalance_cfg"] == "CIB updated\n"
    assert transcript.said["vipcast cluster cib-push active_cfg"] == "CIB updated\n"


def test_cloning_moves_the_constraints_to_the_clones(transcript: Transcript) -> None:
    listing = transcript.said["vipcast -f active_cfg constraint"]
    headings = [line for line in listing.splitlines() if line and not line.startswith(" ")]
    assert [heading.split()[0] for heading in headings][:3] == ["Location", "Ordering", "Colocation"]
    assert re.search(r"^ +webserver-clone with VIP-clone", listing, re.MULTILINE)


def test_every_host_has_one_slot_and_a_web_server_in_this_layout(transcript: Transcript) -> None:
    lines = transcript.said["5 vipcast resource"].splitlines()
    assert lines[0].strip() == "Clone Set: VIP-clone [VIP] (unique)"
    instances = [
        re.fullmatch(r" +VIP:(\d)  \(ocf::heartbeat:IPaddr2\):  Started (a\d)", line) for line in lines[1:5]
    ]
    assert [match.group(1) for match in instances if match] == ["0", "1", "2", "3"]
    assert {match.group(2) for match in instances if match} == {"a1", "a2", "a3", "a4"}
    assert lines[5].strip() == "Clone Set: webserver-clone [webserver]"
    assert lines[6].strip() == "Started: [ a1 a2 a3 a4 ]"


def test_arping_gets_three_replies_with_the_shared_mac(transcript: Transcript) -> None:
    said = transcript.lab["a1"].run("arping", ADDRESS, "-c", "1", "-I", "eth0").stdout
    assert re.findall(r"\[([0-9A-F:]+)\]", said) == ["21:37:6F:88:C2:A0"] * 3


def test_every_host_sees_a_request_and_the_predicted_one_answers(transcript: Transcript) -> None:
    lab = transcript.lab
    (client,) = client_range(1, second_octet=70)
    lab.gw.run("ip", "route", "replace", "local", "10.70.0.0/16", "dev", "lo").check()
    said = lab[ADMIN].vipcast(f"who {client.address} VIP --json").check().stdout
    predicted = re.findall(r'"answers": ?"(a\d)"', said)
    capture = lab.capture(f"tcp and host {ADDRESS} and host {client.address}")
    with capture, Traffic(lab.gw, ADDRESS) as traffic:
        (attempt,) = traffic.once([client])
    segments = capture.segments()
    assert {packet.host for packet, _ in segments if not packet.outgoing} == set(lab.names)
    assert [attempt.answer] == predicted
    assert {packet.host for packet, _ in segments if packet.outgoing} == set(predicted)


def test_a_thousand_clients_are_answered_by_the_hosts_of_their_hashes(transcript: Transcript) -> None:
    lab = transcript.lab
    address = shared(lab, on=ADMIN)
    clients = list(client_range(1000))
    with lab.capture(f"tcp port 80 and host {ADDRESS}") as capture, Traffic(lab.gw, ADDRESS) as traffic:
        attempts = traffic.once(clients, timeout_ms=5000)
        capture.poll()
    segments = capture.segments()
    assert Counter(attempt.outcome for attempt in attempts) == {"ok": 1000}
    assert [a for a in attempts if a.answer != address.owner_of(a.client)] == []
    assert accepted_by(segments, ADDRESS) == Counter(address.owner_of(client) for client in clients)
    assert resets(segments, ADDRESS) == 0
    assert answered_twice(segments, ADDRESS) == {}


def test_the_switch_learns_no_port_for_the_shared_mac(transcript: Transcript) -> None:
    """Frames from the address leave with the interface's own MAC (ARCHITECTURE.md, Slots)."""
    lab = transcript.lab
    with lab.capture(f"tcp port 80 and host {ADDRESS}") as capture, Traffic(lab.gw, ADDRESS) as traffic:
        traffic.once(list(client_range(50)))
    sources = {(packet.host, packet.frame[6:12].hex(":")) for packet in capture.packets if packet.outgoing}
    assert sources == {(name, lab.mac(name)) for name in lab.names}
