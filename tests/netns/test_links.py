"""Two networks between whole daemons: either one carries the cluster, and the loss of one is told and harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pytest

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.control import Status
from tests.lab.links import await_said, await_troubles, said
from tests.lab.service import ADDRESS, await_status, serve_web, share_address, shared

pytestmark = pytest.mark.root
in_one_laboratory = pytest.mark.xdist_group("two-networks")

NOT_HEARD = "not heard on this link"
REQUEST_MS = 900
"""below the repetition of a lost SYN (1 s), and above what two busy cores make a client wait"""
EAT = "add table bridge eat; add chain bridge eat f { type filter hook forward priority -10; };"
EAT += " add rule bridge eat f ether daddr 01:00:5e:40:6e:01 drop"


@pytest.fixture(scope="module")
def two_networks() -> Iterator[Lab]:
    with Lab(hosts=3, links=2) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab)
        serve_web(lab)
        yield lab


class Undisturbed:
    """A context manager: clients ask all the while.  At its end nothing but links has changed.

    No host was lost, the leader and its term are the same, no lease has ended (so that a packet was dropped for it),
    slots are where they were, and no request of a client has failed.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def __enter__(self) -> Self:
        lab = self._lab
        wait_until(lambda: None not in _standing(lab).values(), 20, "every daemon's answer")
        self._before = _standing(lab)
        self._traffic = Traffic(lab.gw, ADDRESS)
        self._traffic.__enter__()
        slots = shared(lab).clients_by_slot(500)
        self._traffic.start(*(Stream(str(slot), clients, 25, REQUEST_MS) for slot, clients in slots.items()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            attempts = self._traffic.halt() if error is None else []
        finally:
            self._traffic.__exit__(kind, error, trace)
        if error is None:
            assert _standing(self._lab) == self._before
            assert len(attempts) > 100, "hardly anybody asked: this judged nothing"
            assert [attempt for attempt in attempts if not attempt.ok] == []
            assert nobody_was_lost(self._lab), self._lab.tail()


def nobody_was_lost(lab: Lab) -> bool:
    return not any(said(lab, name, " is lost: ") for name in lab.names)


def _standing(lab: Lab) -> dict[str, object]:
    """What the loss of a link must not change, as each host has it; None where no daemon answers."""
    return {name: None if (status := Status.of(lab[name])) is None else _of(status) for name in lab.names}


def _of(status: Status) -> tuple[object, ...]:
    document = status.document
    address = status.address("VIP")
    assert address is not None
    expired = sum(one["packets"] for one in document["datapath"]["counters"] if one["verdict"] == "expired")
    losses = {node["name"]: (node["online"], node["losses"], node["incarnation"]) for node in document["nodes"]}
    return document["leader"], document["term"], document["quorate"], losses, address.holders, address.open, expired


def unheard(lab: Lab, name: str, interface: str, whom: set[str]) -> dict[str, dict[str, dict[str, str]]]:
    return {name: {interface: dict.fromkeys(whom - {name}, NOT_HEARD)}}


def well(lab: Lab) -> dict[str, dict[str, dict[str, str]]]:
    return {name: {} for name in lab.names}


@in_one_laboratory
def test_hosts_that_hear_each_other_on_the_second_network_alone_serve_as_before(two_networks: Lab) -> None:
    lab, everybody = two_networks, set(two_networks.names)
    with Undisturbed(lab):
        lab.partition(["a3"], ["a1", "a2"], link=0)
        await_troubles(
            lab,
            unheard(lab, "a1", "eth0", {"a3"})
            | unheard(lab, "a2", "eth0", {"a3"})
            | unheard(lab, "a3", "eth0", everybody),
        )
        await_said(lab, "a1", "link eth0: a3 not heard here now, but over another link")
        lab.partition(["a1"], ["a2"], ["a3"], link=0)
        for name in everybody:
            await_troubles(lab, unheard(lab, name, "eth0", everybody))
        await_said(lab, "a1", "link eth0: a2 not heard here now, but over another link")
        shown = lab["a1"].vipcast("cluster status").check().stdout
        assert shown.count(f": {NOT_HEARD}\n") == 2
        lab.heal(link=0)
        await_troubles(lab, well(lab))
        for name in everybody:
            await_said(lab, name, "link eth0: everybody heard here again")


@in_one_laboratory
def test_a_cable_of_the_second_network_that_is_pulled_and_a_switch_that_goes_dark_are_told(
    two_networks: Lab,
) -> None:
    lab, everybody = two_networks, set(two_networks.names)
    with Undisturbed(lab):
        lab.unplug("a3", link=1)
        alone = unheard(lab, "a3", "eth1", everybody)
        alone["a3"]["eth1"][""] = "no carrier"
        await_troubles(lab, alone | unheard(lab, "a1", "eth1", {"a3"}) | unheard(lab, "a2", "eth1", {"a3"}))
        await_said(lab, "a1", "link eth1: a3 not heard here now, but over another link")
        await_said(lab, "a3", "link eth1: the interface has no carrier")
        assert (
            "eth1 (239.192.110.1:5405): the interface has no carrier" in lab["a3"].vipcast("cluster status").stdout
        )
        lab.loss(100, link=1)
        for name in ("a1", "a2"):
            await_troubles(lab, unheard(lab, name, "eth1", everybody))
        lab.loss(0, link=1)
        lab.plug("a3", link=1)
        await_troubles(lab, well(lab))
        await_said(lab, "a3", "link eth1: the interface has a carrier again")
        for name in everybody:
            await_said(lab, name, "link eth1: everybody heard here again")
    assert f": {NOT_HEARD}" not in lab["a1"].vipcast("cluster status").check().stdout


@in_one_laboratory
def test_a_switch_that_eats_the_group_on_one_network_of_two_is_named_with_its_remedy(two_networks: Lab) -> None:
    lab = two_networks
    with Undisturbed(lab):
        lab.switches[1].machine.run("nft", EAT).check()
        querier = {name: {"eth1": dict.fromkeys(set(lab.names) - {name}, "querier")} for name in lab.names}
        await_troubles(lab, querier)
        for name in lab.names:
            await_said(lab, name, "link eth1: the group does not bring what")
        assert "Switch a querier on" in lab["a1"].vipcast("cluster status").check().stdout
        lab.switches[1].machine.run("nft", "delete table bridge eat").check()
        await_troubles(lab, well(lab))
        for name in lab.names:
            await_said(lab, name, "link eth1: the multicast group works again")


def test_where_the_only_network_eats_the_group_unicast_takes_over_before_the_reason_is_known() -> None:
    words = "link eth0: the group does not bring what"
    with Lab(hosts=3) as lab:
        lab.start_daemons()
        lab.await_cluster()
        before = {name: len(lines(lab, name)) for name in lab.names}
        lab.switch.machine.run("nft", EAT).check()
        for name in lab.names:
            await_said(lab, name, words)
            since = lines(lab, name)[before[name] :]
            until = next(number for number, line in enumerate(since) if words in line)
            assert never_heard_again(since[:until], lab.names) == set(), lab.tail()
        assert nobody_was_lost(lab), lab.tail()
        assert "Switch a querier on" in lab["a2"].vipcast("cluster status").check().stdout


def lines(lab: Lab, name: str) -> list[str]:
    return lab[name].log("vipcastd").read_text().splitlines()


def never_heard_again(log: list[str], names: list[str]) -> set[str]:
    """Who fell silent in these lines of a log, and has not come back since."""
    silent = {
        name: number
        for number, line in reversed([*enumerate(log)])
        for name in names
        if f" {name} is silent" in line
    }
    return {name for name, at in silent.items() if not any(f" {name} is heard " in line for line in log[at:])}


def test_a_cluster_without_multicast_finds_its_hosts_by_their_peers_and_serves() -> None:
    with Lab(hosts=3) as lab:
        lab.switch.machine.run("nft", EAT).check()
        for name in lab.names:
            lab.configure(name)
            group, others = 'group = "239.192.110.1"', [lab.address(other) for other in lab.names if other != name]
            text = lab[name].read("/etc/vipcast/vipcast.toml")
            assert group in text
            lab[name].write("/etc/vipcast/vipcast.toml", text.replace(group, f"peers = {others}".replace("'", '"')))
            lab.run_daemon(name)
        lab.await_cluster()
        share_address(lab)
        with lab.capture("udp port 5405") as capture:
            lab["a1"].vipcast("property set batch-limit=31").check()
            lab.kill("a3")
            status = await_status(
                lab,
                lambda status: status.online == {"a1", "a2"} and "a3" not in shared(lab).holders.values(),
                "the others, without a3",
            )
        assert status.quorate
        destinations = {packet.frame[:6] for packet in capture.packets}
        assert destinations
        assert not {mac for mac in destinations if mac[0] & 1}, "nothing went to a group"
