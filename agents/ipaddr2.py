"""ocf:heartbeat:IPaddr2, native: a plain resource's address, and what a shared one is made of.

It runs in the daemon's own process, as a few netlink messages of some ten microseconds each, and forks nothing.
A plain address is put on the interface and announced by gratuitous ARP (RFC 5227 §3); a globally unique clone is
handed to the datapath as a `datapath.engine.Address`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from agents import ipaddr2_parameters
from agents.addresses import PlainLinks
from agents.ipaddr2_parameters import DuplicatePolicy, Parameters, broadcast_of
from agents.ocf import ExitCode
from agents.placement import Placement, PlacementError, Surroundings, place
from datapath.engine import Address, DatapathError, PortFate
from datapath.frames import gratuitous_arp
from datapath.host.links import Assigned
from datapath.mac import format_mac, shared_mac
from datapath.packet_socket import interface_mac, open_deaf
from datapath.probe import who_else
from datapath.strangers import sentence

log = logging.getLogger("vipcast.ipaddr2")

SLOTS_MAX = 65_536
LOOPBACK = "lo"

_announcements: dict[IPv4Address | IPv6Address, asyncio.Task[None]] = {}
"""of plain addresses that were started a short time ago: at most one each"""


class ParameterError(Exception):
    """The parameters cannot be used on this host; the text names them and the remedy."""


def parameters(given: Mapping[str, str]) -> Parameters:
    """The parameters of a resource.  Raises ParameterError with every finding; logs what has no effect."""
    parsed = ipaddr2_parameters.parse(given)
    if parsed.parameters is None:
        raise ParameterError("; ".join(parsed.errors))
    return parsed.parameters


def surroundings() -> Surroundings:
    """This host's, now.  Raises DatapathError."""
    with contextlib.closing(PlainLinks()) as links:
        return Surroundings.of(links.assigned(), (name for _, name in socket.if_nameindex()))


def shared_address(resource: str, given: Mapping[str, str], slots: int, around: Surroundings) -> Address:
    """The address of a globally unique clone with `slots` slots (clone-max), placed on this host.

    Raises ParameterError.
    """
    wanted = parameters(given)
    if not 1 <= slots <= SLOTS_MAX:
        raise ParameterError(f"clone-max={slots}: a shared address has 1 to {SLOTS_MAX} slots")
    beyond = [rule.slot for rule in wanted.port_rules if rule.fate is PortFate.ONE and rule.slot >= slots]
    if beyond:
        raise ParameterError(f"port_rules: there is no slot {beyond[0]}, clone-max={slots} makes 0 to {slots - 1}")
    where = _placed(wanted, around)
    broadcast = broadcast_of(wanted, where.prefixlen)
    try:
        mac = wanted.mac or shared_mac(wanted.ip, where.prefixlen, broadcast, wanted.mac_mode)
    except ValueError as error:
        raise ParameterError(f"{resource}: {error}") from None
    return Address(
        resource=resource,
        ip=wanted.ip,
        prefixlen=where.prefixlen,
        interface=where.interface,
        mac=mac,
        hash_kind=wanted.clusterip_hash,
        seed=wanted.hash_seed,
        slots=slots,
        mac_mode=wanted.mac_mode,
        hash_order=wanted.clusterip_hash_order,
        port_rules=wanted.port_rules,
    )


def forces_duplicate(given: Mapping[str, str]) -> bool:
    """Whether the address is to be taken even where somebody else on the segment has it."""
    wanted = ipaddr2_parameters.parse(given).parameters
    return wanted is not None and wanted.duplicate_address is DuplicatePolicy.FORCE


class PlainAddress:
    """One plain IPaddr2 resource: start, stop, monitor, validate-all, each with OCF's meaning."""

    def __init__(self, instance: str, given: Mapping[str, str]) -> None:
        self._instance = instance
        self._given = dict(given)

    async def run(self, operation: str) -> tuple[int, str]:
        """(exit code, reason).  Never raises for what an administrator can have written or a kernel can say."""
        try:
            match operation:
                case "start":
                    return await self._start()
                case "stop":
                    return self._stop()
                case "monitor" | "status":
                    return self._monitor()
                case "validate-all":
                    _placed(parameters(self._given), surroundings())
                    return ExitCode.OK, ""
        except ParameterError as error:
            return ExitCode.NOT_CONFIGURED, str(error)
        except (DatapathError, OSError) as error:
            return ExitCode.ERROR, str(error)
        return ExitCode.UNIMPLEMENTED, f"IPaddr2 has no operation {operation!r}"

    async def _start(self) -> tuple[int, str]:
        wanted = parameters(self._given)
        for warning in ipaddr2_parameters.parse(self._given).warnings:
            log.info("%s: %s", self._instance, warning)
        where = _placed(wanted, surroundings())
        with contextlib.closing(PlainLinks()) as links:
            present = _present(wanted, links.assigned())
            elsewhere = [one for one in present if one.interface != where.interface]
            if elsewhere:
                return ExitCode.ERROR, (
                    f"{wanted.ip} is on {elsewhere[0].interface} already; "
                    f"remove it: ip address del {wanted.ip}/{elsewhere[0].prefixlen} dev {elsewhere[0].interface}"
                )
            if not present:
                if (reason := await self._taken(wanted, where)) is not None:
                    return ExitCode.ERROR, reason
                links.add(wanted, where)
        _announce(wanted, where, wanted.arp_count)
        return ExitCode.OK, ""

    async def _taken(self, wanted: Parameters, where: Placement) -> str | None:
        """Who has the address already, and what to do; None: nobody does, or it cannot be asked there (a loopback)."""
        if wanted.duplicate_address is DuplicatePolicy.FORCE:
            return None
        try:
            with contextlib.closing(open_deaf()) as packets:
                own = format_mac(interface_mac(packets, where.interface))
            claims = await who_else(where.interface, {wanted.ip: own})
        except DatapathError as error:
            log.info("%s: nobody could be asked who has %s: %s", self._instance, wanted.ip, error)
            return None
        if not claims:
            return None
        return (
            f"{sentence(claims[0])}. Find that host, or: vipcast resource update {self._instance}"
            f" duplicate_address=force; then: vipcast resource cleanup {self._instance}"
        )

    def _stop(self) -> tuple[int, str]:
        parsed = ipaddr2_parameters.parse(self._given)
        if parsed.parameters is None:
            # It can never have been started so: there is nothing of ours to remove.
            return ExitCode.OK, "; ".join(parsed.errors)
        wanted = parsed.parameters
        if (task := _announcements.pop(wanted.ip, None)) is not None:
            task.cancel()
        with contextlib.closing(PlainLinks()) as links:
            for one in _present(wanted, links.assigned()):
                links.remove(one)
        return ExitCode.OK, ""

    def _monitor(self) -> tuple[int, str]:
        wanted = parameters(self._given)
        with contextlib.closing(PlainLinks()) as links:
            present = _present(wanted, links.assigned())
        if not present:
            return ExitCode.NOT_RUNNING, ""
        if wanted.arp_count_refresh:
            _announce(wanted, Placement(present[0].interface, present[0].prefixlen), wanted.arp_count_refresh)
        return ExitCode.OK, ""


def _present(wanted: Parameters, assigned: list[Assigned]) -> list[Assigned]:
    """The address where it is now, as a plain one: shared addresses are the datapath's."""
    return [
        one
        for one in assigned
        if one.ip == wanted.ip
        and not one.is_ours
        and one.interface == (wanted.nic or one.interface)
        # on the loopback only by the administrator's word: shared addresses are put there, too
        and (one.interface != LOOPBACK or wanted.nic == LOOPBACK)
    ]


def _placed(wanted: Parameters, around: Surroundings) -> Placement:
    try:
        return place(wanted, around)
    except PlacementError as error:
        raise ParameterError(str(error)) from None


def _announce(wanted: Parameters, where: Placement, times: int) -> None:
    """Tell the segment, `times` times, without keeping the start waiting."""
    if not isinstance(wanted.ip, IPv4Address) or times == 0:
        return
    if (running := _announcements.pop(wanted.ip, None)) is not None:
        running.cancel()
    task = asyncio.get_running_loop().create_task(
        _announcing(wanted.ip, where.interface, times, wanted.arp_interval / 1000), name=f"announce {wanted.ip}"
    )
    _announcements[wanted.ip] = task
    task.add_done_callback(lambda done: _forget(wanted.ip, done))


def _forget(ip: IPv4Address | IPv6Address, done: asyncio.Task[None]) -> None:
    if _announcements.get(ip) is done:
        del _announcements[ip]


async def _announcing(ip: IPv4Address, interface: str, times: int, interval_s: float) -> None:
    """Gratuitous ARP as request and as reply: some devices learn from one only, some from the other."""
    try:
        with contextlib.closing(open_deaf()) as packets:
            mac = interface_mac(packets, interface)
            packets.bind((interface, 0))
            for number in range(times):
                if number:
                    await asyncio.sleep(interval_s)
                for frame in gratuitous_arp(ip, mac, mac):
                    with contextlib.suppress(BlockingIOError):  # a full queue: the next one will do
                        packets.send(frame)
    except (DatapathError, OSError) as error:
        log.warning("%s could not be announced on %s: %s", ip, interface, error)
