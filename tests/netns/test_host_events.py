"""What others change on a host is told by the kernel, and mended because it was told."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from datapath.engine import Address, Change, DatapathError, HashKind, SlotState, Wish
from datapath.host.events import (
    AddressAdded,
    AddressRemoved,
    Concern,
    HostEvent,
    HostEvents,
    LinkAdded,
    LinkDown,
    LinkRemoved,
    LinkRenamed,
    LinkUp,
    Overrun,
)
from datapath.nft.engine import NftEngine
from tests.lab import Lab, wait_until
from tests.lab.service import ADDRESS, await_status, served, share_address
from tests.netns import named
from tests.netns.inside import Inside

pytestmark = pytest.mark.root

VIP = ip_address("192.0.2.10")
VIP6 = ip_address("2001:db8::10")
CONCERN = Concern(frozenset({"va"}), frozenset({VIP, VIP6}), "lo")
PATIENCE_S = 10.0


@pytest.fixture
def inside() -> Iterator[Inside]:
    name = f"vc-ev-{uuid.uuid4().hex[:8]}"
    named.add(name)
    process = Inside(name)
    try:
        yield process
    finally:
        process.kill()
        named.delete(name)


def ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands).encode(), check=True)


def told_after(before: Sequence[str], commands: Sequence[str], last: HostEvent) -> list[HostEvent]:
    """In the namespace: what is told when `commands` run after `before`, up to `last`."""
    return asyncio.run(_told(lambda: ip(*before), lambda: ip(*commands), last))


async def _told(
    prepare: Callable[[], None], act: Callable[[], None], last: HostEvent | type[Overrun]
) -> list[HostEvent]:
    prepare()
    told: list[HostEvent] = []
    arrived = asyncio.Event()

    def take(event: HostEvent) -> None:
        told.append(event)
        if event == last or (isinstance(last, type) and isinstance(event, last)):
            arrived.set()

    events = HostEvents(lambda: CONCERN, take)
    await events.start()
    try:
        act()
        async with asyncio.timeout(PATIENCE_S):
            await arrived.wait()
    finally:
        await events.close()
    return told


def test_a_shared_address_that_is_deleted_is_told(inside: Inside) -> None:
    told = inside.call(
        told_after,
        ["link set lo up", f"address add {VIP}/32 dev lo", f"address add {VIP6}/128 dev lo nodad"],
        ["address del 127.0.0.1/8 dev lo", f"address del {VIP}/32 dev lo", f"address del {VIP6}/128 dev lo"],
        AddressRemoved(VIP6, "lo"),
    )
    assert told == [AddressRemoved(VIP, "lo"), AddressRemoved(VIP6, "lo")]


def test_a_shared_address_is_told_where_it_does_not_belong_and_not_where_it_does(inside: Inside) -> None:
    told = inside.call(
        told_after,
        ["link add va type veth peer name vb"],
        [f"address add {VIP}/32 dev lo", f"address add {VIP}/24 dev vb", "address add 192.0.2.11/24 dev vb"],
        AddressAdded(VIP, "vb"),
    )
    assert told == [AddressAdded(VIP, "vb")]


def test_an_interface_that_goes_down_comes_up_and_is_renamed_is_told(inside: Inside) -> None:
    told = inside.call(
        told_after,
        ["link add va type veth peer name vb", "link set va up", "link set vb up"],
        ["link set vb down", "link set va down", "link set va name vc", "link set vc name va", "link set va up"],
        LinkUp("va"),
    )
    assert told == [LinkDown("va"), LinkRenamed("va", "vc"), LinkRenamed("vc", "va"), LinkUp("va")]


def test_an_interface_that_is_made_anew_is_told(inside: Inside) -> None:
    make = "link add va type veth peer name vb"
    told = inside.call(told_after, [make], ["link del va", "link add vx type veth", make], LinkAdded("va"))
    assert told == [LinkRemoved("va"), LinkAdded("va")]


def test_a_port_that_leaves_a_bridge_is_still_an_interface(inside: Inside) -> None:
    told = inside.call(
        told_after,
        ["link add bridge0 type bridge", "link add va type veth peer name vb", "link set va master bridge0"],
        ["link set va nomaster", "link set va up"],
        LinkUp("va"),
    )
    assert told == [LinkUp("va")]


def overrun() -> list[HostEvent]:
    """More notifications than the socket's buffer holds, while nobody reads; then one more."""
    ip("link set lo up", f"address add {VIP}/32 dev lo")

    async def told() -> list[HostEvent]:
        flood = [f"address add 10.7.{n // 250}.{n % 250}/32 dev lo" for n in range(2000)]
        told = await _told(lambda: None, lambda: ip(*flood), Overrun)
        # the new subscription is as good as the first
        return [
            *told,
            *await _told(lambda: None, lambda: ip(f"address del {VIP}/32 dev lo"), AddressRemoved(VIP, "lo")),
        ]

    return asyncio.run(told())


def test_an_overrun_is_told_once(inside: Inside) -> None:
    first, *others = inside.call(overrun)
    assert isinstance(first, Overrun)
    assert others == [AddressRemoved(VIP, "lo")]


def address_on(interface: str) -> Address:
    return Address("VIP", IPv4Address(str(VIP)), 24, interface, "03:00:5e:00:02:0a", HashKind.SOURCEIP, 0, 1)


async def _mended(act: Sequence[str], last: str, run_dir: str) -> tuple[list[str], list[Change], bool]:
    """(what was told, what repairs mended that were caused by it, the kernel holds what is wished).

    Nothing else looks: without an event nothing would be mended.
    """
    wish = Wish(address_on("va"), {0: SlotState.OPEN})
    engine = NftEngine(Path(run_dir))
    engine.start()
    told: list[str] = []
    mended: list[Change] = []
    whole = asyncio.Event()

    def take(event: HostEvent) -> None:
        told.append(str(event))
        try:
            mended.extend(engine.repair())
        except DatapathError:
            return  # the interface is not back yet: its return is the next event
        if mended and last in told and engine.state() == [wish]:
            whole.set()

    events = HostEvents(lambda: Concern(frozenset({"va"}), frozenset({VIP}), engine.place), take)
    try:
        engine.apply([wish])
        engine.renew(2**62)
        await events.start()
        ip(*act)
        async with asyncio.timeout(PATIENCE_S):
            await whole.wait()
    finally:
        await events.close()
        engine.remove()
        engine.close()
    return told, mended, whole.is_set()


def mended_after(act: Sequence[str], last: str, run_dir: str) -> tuple[list[str], list[Change], bool]:
    ip("link set lo up", *MAKE_VA)
    return asyncio.run(_mended(act, last, run_dir))


MAKE_VA = ("link add va type veth peer name vb", "link set va up", "link set vb up")


def test_an_interface_that_is_made_anew_is_prepared_because_the_kernel_told(inside: Inside, tmp_path: Path) -> None:
    told, mended, whole = inside.call(
        mended_after, ["link del va", *MAKE_VA], "interface va has appeared", str(tmp_path)
    )
    assert whole
    assert {"interface va is gone", "interface va has appeared"} <= set(told)
    details = " ".join(change.detail for change in mended)
    assert "frames to 03:00:5e:00:02:0a on va" in details


def test_a_deleted_address_is_put_back_by_nothing_but_the_event(inside: Inside, tmp_path: Path) -> None:
    told, mended, whole = inside.call(
        mended_after, [f"address del {VIP}/32 dev lo"], f"{VIP} was taken off lo", str(tmp_path)
    )
    assert (whole, told) == (True, [f"{VIP} was taken off lo"])
    assert [change.detail for change in mended] == [f"{VIP} on lo"]


@pytest.fixture(scope="module", params=["nft", "raw"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(hosts=3, engine=request.param) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=3)
        yield lab


def said(lab: Lab, name: str = "a2") -> list[str]:
    return lab[name].log("vipcastd").read_text().splitlines()


def place_of(lab: Lab, name: str = "a2") -> str:
    listed = lab[name].run("ip", "-o", "address", "show", "to", f"{ADDRESS}/32").check().stdout
    return listed.split()[1]


def test_an_address_that_somebody_deletes_is_back_because_the_kernel_told(lab: Lab) -> None:
    """The line names the event only when the look that it caused has found something to mend."""
    place, before = place_of(lab), len(said(lab))
    lab["a2"].run("ip", "address", "del", f"{ADDRESS}/32", "dev", place).check()
    line = f"{ADDRESS} was taken off {place}"
    wait_until(lambda: any(line in said_ for said_ in said(lab)[before:]), PATIENCE_S, "the event in the log")
    wait_until(lambda: any("VIP: repaired" in said_ for said_ in said(lab)[before:]), PATIENCE_S, "the repair")
    assert place_of(lab) == place
    await_status(lab, served, "every slot served")


def test_an_interface_that_goes_down_and_up_is_told_and_the_address_served_again(lab: Lab) -> None:
    before = len(said(lab))
    lab["a2"].run("ip", "link", "set", "eth0", "down").check()
    wait_until(lambda: any("eth0 was set down" in s for s in said(lab)[before:]), PATIENCE_S, "down in the log")
    lab["a2"].run("ip", "link", "set", "eth0", "up").check()
    wait_until(lambda: any("eth0 was set up" in s for s in said(lab)[before:]), PATIENCE_S, "up in the log")
    await_status(lab, lambda status: served(status) and "a2" in status.online, "everyone back", on="a1")
