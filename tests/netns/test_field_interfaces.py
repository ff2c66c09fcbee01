"""Interfaces as they are in the field, another kind and engine on each host: they come, go and change their names.

(Bonds, VLAN devices and dummies are not in every kernel that this runs on; they are Ethernet devices like these.)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, Traffic
from tests.lab.answers import accepted_by, answered_twice
from tests.lab.clients import client_range
from tests.lab.service import ADDRESS, await_status, serve_web, served, share_address, shared

pytestmark = pytest.mark.root

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}
GATEWAY = "192.168.110.1"
BRIDGE = (
    "ip link add br0 type bridge forward_delay 0 && ip address flush dev eth0 && ip link set eth0 master br0"
    " && ip link set br0 up && ip address add {address}/24 brd + dev br0 && ip route replace default via {gateway}"
)
MACVLAN = (
    "ip address flush dev eth0 && ip link add mv0 link eth0 type macvlan mode bridge && ip link set mv0 up"
    " && ip address add {address}/24 brd + dev mv0 && ip route replace default via {gateway}"
)


def on_host(lab: Lab, name: str, script: str) -> None:
    lab[name].shell(script.format(address=lab.address(name), gateway=GATEWAY)).check()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A bridge, a macvlan and a plain cable; heartbeats have a network of their own."""
    with Lab(hosts=3, engine=ENGINES, links=2) as lab:
        on_host(lab, "a1", BRIDGE)
        on_host(lab, "a2", MACVLAN)
        for name in ENGINES:
            lab.configure(name)
            settings = lab[name].read("/etc/vipcast/vipcast.toml")
            first, _, second = settings.partition("[[link]]")[2].partition("[[link]]")
            lab[name].write("/etc/vipcast/vipcast.toml", settings.replace(f"[[link]]{first}", "", 1))
            assert "eth1" in second
            lab.run_daemon(name)
        lab.await_cluster()
        share_address(lab, slots=6)
        serve_web(lab)
        yield lab


def every_client_is_served_once(lab: Lab, count: int = 240) -> None:
    address = shared(lab, on="a2")
    clients = list(client_range(count))
    with lab.capture(f"tcp port 80 and host {ADDRESS}") as capture, Traffic(lab.gw, ADDRESS) as traffic:
        attempts = traffic.once(clients, timeout_ms=3000)
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    assert [attempt for attempt in attempts if attempt.answer != address.owner_of(attempt.client)] == []
    assert answered_twice(capture.segments(), ADDRESS) == {}
    assert accepted_by(capture.segments(), ADDRESS).total() >= count


def all_three_serve(lab: Lab) -> None:
    await_status(
        lab,
        lambda status: served(status) and set(shared(lab, on="a2").holders.values()) == set(ENGINES),
        "all three hosts with slots",
        on="a2",
    )


def test_a_bridge_a_macvlan_and_a_cable_serve_side_by_side(lab: Lab) -> None:
    all_three_serve(lab)
    every_client_is_served_once(lab)


def test_offloads_and_the_size_of_frames_make_no_difference(lab: Lab) -> None:
    for name, interface in {"a1": "br0", "a2": "mv0", "a3": "eth0"}.items():
        lab[name].shell(f"ip link set {interface} mtu 1300").check()
        lab[name].shell(f"ethtool -K {interface} gro off gso off tso off tx off || true").check()
    every_client_is_served_once(lab)
    for name, interface in {"a1": "br0", "a2": "mv0", "a3": "eth0"}.items():
        lab[name].shell(f"ip link set {interface} mtu 1500").check()
        lab[name].shell(f"ethtool -K {interface} gro on gso on tso on tx on || true").check()
    every_client_is_served_once(lab)
    all_three_serve(lab)


def test_an_interface_that_is_made_anew_serves_again(lab: Lab) -> None:
    lab["a2"].shell("ip link delete mv0").check()
    await_status(
        lab,
        lambda status: served(status) and "a2" not in set(shared(lab, on="a1").holders.values()),
        "the others serving all",
        on="a1",
    )
    every_client_is_served_once(lab)
    on_host(lab, "a2", MACVLAN)
    all_three_serve(lab)
    every_client_is_served_once(lab)


@pytest.mark.parametrize("name", ENGINES)
def test_an_interface_with_a_new_name_is_found_by_its_network(lab: Lab, name: str) -> None:
    old = {"a1": "br0", "a2": "mv0", "a3": "eth0"}[name]
    lab[name].shell(
        f"ip link set {old} down && ip link set {old} name lan0 && ip link set lan0 up"
        f" && ip route replace default via {GATEWAY}"
    ).check()
    address = shared(lab, on="a2")
    clients = list(client_range(240))
    with Traffic(lab.gw, ADDRESS) as traffic:  # a capture is bound to the interface's name
        attempts = traffic.once(clients, timeout_ms=5000)
    assert {attempt.outcome for attempt in attempts} == {"ok"}
    assert [attempt for attempt in attempts if attempt.answer != address.owner_of(attempt.client)] == []
    all_three_serve(lab)
