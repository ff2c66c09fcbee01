"""What others do to a host while it serves: rules are flushed, settings reset, addresses deleted; firewalls are loaded.

Another engine on each of three hosts, traffic to every slot all the while, captures on all hosts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, Traffic, wait_until
from tests.lab.answers import answered_twice
from tests.lab.service import ADDRESS, serve_web, share_address, shared
from tests.netns.test_demo_faults import all_well, streams

pytestmark = pytest.mark.root

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}
SLOTS = 6
SETTINGS = (
    "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"
    " net.ipv4.conf.eth0.arp_announce=0 net.ipv4.conf.eth0.drop_unicast_in_l2_multicast=0"
)
FLUSH = "nft flush ruleset"
DAMAGES = {
    "all rules of nft": FLUSH,
    "the settings of ARP and of multicast frames": SETTINGS,
    "the hook of tc": "tc qdisc del dev eth0 clsact 2>/dev/null || true",
    "the address": f"ip address del {ADDRESS}/32 dev $(ip -o address show to {ADDRESS} | cut -d' ' -f2)",
    "everything at once": f"{FLUSH}; {SETTINGS}; tc qdisc del dev eth0 clsact 2>/dev/null || true",
}
BY_HAND = """\
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto { icmp, igmp, ipv6-icmp } accept
        udp dport 5405 accept
        tcp dport 80 accept
    }
}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=3, engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=SLOTS)
        serve_web(lab)
        yield lab


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_others_take_away_is_mended_and_no_packet_is_answered_twice(lab: Lab, damage: str) -> None:
    address = shared(lab)
    before = dict(address.holders)
    capture = lab.capture(f"tcp port 80 and host {ADDRESS}")
    with capture, Traffic(lab.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, SLOTS, 0), 20, "traffic to every slot")
        for name in ENGINES:
            lab[name].shell(DAMAGES[damage]).check()
            done_ns = time.time_ns()
            wait_until(lambda at=done_ns: all_well(traffic, SLOTS, at), 20, f"every slot well again after {name}")
            capture.poll()
        attempts = traffic.halt()
    assert answered_twice(capture.segments(), ADDRESS) == {}
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    assert shared(lab).holders == before, "it was mended where it was: no slot had to move"
    assert shared(lab).open == frozenset(range(SLOTS))


def test_what_was_mended_is_named_in_the_log(lab: Lab) -> None:
    lab["a2"].shell(SETTINGS).check()
    wait_until(lambda: "arp_ignore" in lab["a2"].log("vipcastd").read_text(), 10, "the setting's name in the log")
    lab["a1"].shell(FLUSH).check()
    wait_until(lambda: "mended" in lab["a1"].log("vipcastd").read_text(), 10, "a word about the rules")


def test_nftables_conf_is_loaded_again_and_again_beside_our_rules(lab: Lab) -> None:
    address = shared(lab)
    capture = lab.capture(f"tcp port 80 and host {ADDRESS}")
    for name in ENGINES:
        lab[name].write("/etc/nftables.conf", BY_HAND)
    with capture, Traffic(lab.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, SLOTS, 0), 20, "traffic to every slot")
        for _ in range(3):
            for name in ENGINES:
                lab[name].shell("nft -f /etc/nftables.conf").check()
                done_ns = time.time_ns()
                wait_until(
                    lambda at=done_ns: all_well(traffic, SLOTS, at), 20, f"every slot well again after {name}"
                )
                capture.poll()
        attempts = traffic.halt()
    assert answered_twice(capture.segments(), ADDRESS) == {}
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    for name in ENGINES:
        assert "policy drop" in lab[name].shell("nft list ruleset").check().stdout, "theirs is left as it is"
        lab[name].shell(FLUSH).check()


def test_firewalld_starts_and_reloads_beside_our_rules(lab: Lab) -> None:
    """The real one, with a bus of its own on each host."""
    address = shared(lab)
    capture = lab.capture(f"tcp port 80 and host {ADDRESS}")
    with capture, Traffic(lab.gw, ADDRESS) as traffic:
        traffic.start(*streams(address))
        wait_until(lambda: all_well(traffic, SLOTS, 0), 20, "traffic to every slot")
        for name in ENGINES:
            for allowed in ("--add-service=http", "--add-port=5405/udp", "--add-protocol=igmp"):
                lab[name].run("firewall-offline-cmd", allowed).check()
            lab[name].shell("mkdir -p /run/dbus && dbus-daemon --system --fork").check()
            with lab[name].log("firewalld").open("ab") as log:
                lab[name].popen("firewalld", "--nofork", "--nopid", stdout=log, stderr=log)
        for name in ENGINES:
            wait_until(
                lambda h=lab[name]: h.run("firewall-cmd", "--state").returncode == 0, 60, f"firewalld on {name}"
            )
            lab[name].run("firewall-cmd", "--reload", timeout_s=60).check()
            done_ns = time.time_ns()
            wait_until(lambda at=done_ns: all_well(traffic, SLOTS, at), 30, f"every slot well again after {name}")
            capture.poll()
        attempts = traffic.halt()
    assert answered_twice(capture.segments(), ADDRESS) == {}
    assert [attempt for attempt in attempts if attempt.outcome in {"refused", "reset", "empty"}] == []
    for name in ENGINES:
        assert "firewalld" in lab[name].shell("nft list tables").check().stdout
