"""An address that one host lacks something for: its other addresses do not suffer, and it comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.control import Status
from tests.lab.service import await_status, served, share_address, shared

pytestmark = pytest.mark.root

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}
CLONE = "clone clone-max=6 clone-node-max=6 globally-unique=true"


def wire(lab: Lab, name: str) -> None:
    """A second network on this host."""
    lab[name].shell(
        "ip link add eth9 type veth peer name wire9 && ip link set eth9 up"
        f" && ip address add 10.99.0.{name[1:]}/24 dev eth9"
    ).check()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three hosts, another engine on each, that share an address; a second network is there on two of them only."""
    with Lab(hosts=3, engine=ENGINES) as lab:
        wire(lab, "a1")
        wire(lab, "a2")
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=6)
        yield lab


def holders(lab: Lab, resource: str) -> set[str]:
    return set(shared(lab, resource, on="a2").holders.values())


def generations(lab: Lab, resource: str) -> dict[int, int]:
    """Slot → index of the entry that made it what it is: another one where the slot has moved."""
    status = Status.of(lab["a2"])
    assert status is not None
    (address,) = [address for address in status.document["addresses"] if address["id"] == resource]
    return {slot["slot"]: slot["generation"] for slot in address["slots"]}


def test_a_missing_interface_keeps_no_other_address_back_and_is_used_once_it_is_there(lab: Lab) -> None:
    lab["a2"].vipcast(
        "resource create V2 ocf:heartbeat:IPaddr2 ip=10.99.0.120 cidr_netmask=24 nic=eth9 clusterip_hash=sourceip"
        f" {CLONE}"
    ).check()
    await_status(lab, lambda status: served(status, "V2"), "the second address served where it can be", on="a2")
    assert holders(lab, "V2") == {"a1", "a2"}
    assert holders(lab, "VIP") == {"a1", "a2", "a3"}
    assert "eth9" in lab["a1"].vipcast("status").stdout, "the reason is in the status of every host"
    before = generations(lab, "VIP")

    wire(lab, "a3")
    await_status(lab, lambda status: "a3" in holders(lab, "V2") and served(status, "V2"), "a3 serving it", on="a2")
    lost = ("a1", "a2", "a3")
    for name in lost:
        lab[name].shell("ip link delete eth9").check()
        others = set(lost) - {name}
        await_status(
            lab, lambda status, o=others: served(status, "V2") and holders(lab, "V2") <= o, "others", on="a2"
        )
        wire(lab, name)
        await_status(
            lab, lambda status, n=name: n in holders(lab, "V2") and served(status, "V2"), f"{name} is back", on="a2"
        )
    assert generations(lab, "VIP") == before, "not one slot of the other address has moved"


def test_an_address_of_a_family_that_a_host_has_switched_off_is_served_by_the_others(lab: Lab) -> None:
    lab["a3"].shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1").check()
    before = generations(lab, "VIP")
    lab["a2"].vipcast(
        f"resource create V6 ocf:heartbeat:IPaddr2 ip=fd00:110::120 cidr_netmask=64 nic=eth0 {CLONE}"
    ).check()
    await_status(lab, lambda status: served(status, "V6"), "the address served where it can be", on="a2")
    assert holders(lab, "V6") == {"a1", "a2"}
    assert "disable_ipv6=0" in lab["a1"].vipcast("status").stdout, "the remedy is told"
    lab["a3"].shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0").check()
    await_status(lab, lambda status: "a3" in holders(lab, "V6") and served(status, "V6"), "a3 serving it", on="a2")
    assert generations(lab, "VIP") == before


def test_an_address_that_a_host_had_for_itself_is_taken_over_and_no_other_is_touched(lab: Lab) -> None:
    lab["a1"].shell("ip address add 192.168.110.77/24 dev eth0").check()
    before = generations(lab, "VIP")
    # forced: the others hear that a1's kernel answers for it, and would not take it either
    lab["a2"].vipcast(
        f"resource create V3 ocf:heartbeat:IPaddr2 ip=192.168.110.77 cidr_netmask=24 duplicate_address=force {CLONE}"
    ).check()
    await_status(lab, lambda status: served(status, "V3"), "the address served where it can be", on="a2")
    assert holders(lab, "V3") == {"a1", "a2", "a3"}, "as a plain run of it would be: stopped first, then shared"
    assert generations(lab, "VIP") == before
