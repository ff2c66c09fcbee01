"""Prepare a host for shared addresses, and put everything back afterwards.

For each address: it is assigned to an interface that sends no packets (the loopback; the raw engine's TUN), so that
sockets can use it; the kernel keeps silent about it (arp_ignore) and does not teach anyone the interface's own MAC
(arp_announce); frames to the shared MAC pass the interface's filter; and what arrives in such a frame is dropped
unless an engine accepts it (drop_unicast_in_l2_multicast), so that a host without rules is silent too.  What leaves
has a table of its own (datapath.wayout): no frame says another MAC, no program begins a conversation from the address.

IPv6 needs none of the ARP settings: the kernel answers solicitations, and asks, for addresses of the interface alone
(net/ipv6/ndisc.c).  Its hosts are members of the group to which questions for the address go.

`grow` adds what is wanted: `prepare` first, then `assign` the addresses; `shrink` takes back what is no longer
wanted: `withdraw` the addresses first, then the rest.  An engine whose rules stand in the packets' way changes them
while no address that comes or goes is on the host.  All are idempotent and say what they changed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Sequence, Set
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from datapath.engine import Address, Change, DatapathError, HelperAwayError, MacMode
from datapath.host import privileged
from datapath.host.ledger import Ledger, note, note_all, strike
from datapath.host.links import Assigned, Links, Membership, index_of
from datapath.mac import igmp_group, is_group
from datapath.neighbours import solicited_node
from datapath.packet_socket import interface_mac
from datapath.wayout.table import WayOut

log = logging.getLogger("vipcast.datapath")

_SYSCTL = Path("/proc/sys/net")
LOOPBACK = "lo"
BESIDE_MAX = 64
"""interfaces that are looked at beside those with addresses; where there are more, the later ones are containers'"""


class Host:
    """The host's own set-up; one for each daemon and network namespace."""

    def __init__(self, run_dir: Path, place: str = LOOPBACK) -> None:
        """`run_dir` keeps notes of what was there before; `place` is the interface that addresses are put on.

        Where that is a device of the engine's own, what it has judged comes in there, and nothing else should.
        """
        self._place = place
        self._path = run_dir / "host.json"
        self._links: Links | None = None
        self._ledger = Ledger(self._path)
        self._way_out = WayOut(judges_all=place == LOOPBACK)
        self._seen: list[Assigned] | None = None
        """the addresses of all interfaces as `prepare` has met them, for the `assign` that follows"""

    def start(self) -> None:
        """Open sockets and read what a former process noted."""
        self._links = self._links or Links()
        self._ledger = Ledger.load(self._path)
        self._way_out.start()

    def close(self) -> None:
        if self._links is not None:
            self._links.close()
            self._links = None
        self._way_out.close()

    @property
    def rule_changes(self) -> int:
        """How often the way out was changed: each raises the generation of all rules by one."""
        return self._way_out.transactions

    def grow(self, addresses: Sequence[Address]) -> list[Change]:
        """Everything that these addresses need and that is missing."""
        return [*self.prepare(addresses), *self.assign(addresses)]

    def mend(self, addresses: Sequence[Address]) -> list[Change]:
        """The same of addresses that were prepared before: what is missing somebody else has changed.

        But for settings of an interface that has only come now (a container's, a device of the engine's own).
        """
        known = set(self._ledger.settings)
        changes = self.grow(addresses)
        came = self._ledger.settings.keys() - known
        return [
            one if one.address in came else Change(one.address, "repaired", one.slots, one.detail)
            for one in changes
        ]

    def prepare(self, addresses: Sequence[Address]) -> list[Change]:
        """Settings and filters; DatapathError names an interface that is not there, or an address that is taken."""
        for interface, version in sorted(_sides(addresses)):
            index_of(interface)
            if version == 6:
                _require_ipv6(interface)
                _require_ipv6(self._place)
        self._seen = assigned = self._door.assigned()
        self._refuse_assigned_elsewhere(addresses, assigned)
        return [
            *self._raise_settings(addresses),
            *self._admit(addresses),
            *self._join(addresses, {(one.interface, one.ip) for one in assigned if one.ip.is_multicast}),
            *self._way_out.cover(addresses),
        ]

    def shrink(self, addresses: Sequence[Address]) -> list[Change]:
        """Take back what is noted as ours and that none of these addresses needs."""
        changes = [*self.withdraw(addresses), *self._way_out.limit(addresses)]
        changes += [*self._dismiss(addresses), *self._restore_settings(addresses)]
        if self._ledger.is_empty:
            self._ledger.discard()
        elif changes:
            self._ledger.save()
        return changes

    # addresses

    def _refuse_assigned_elsewhere(self, addresses: Sequence[Address], everywhere: Sequence[Assigned]) -> None:
        wanted = {address.ip for address in addresses}
        for assigned in everywhere:
            if assigned.interface != self._place and assigned.ip in wanted and not assigned.is_ours:
                raise DatapathError(
                    f"{assigned.ip}/{assigned.prefixlen} is on {assigned.interface} as an ordinary address, so it "
                    f"cannot be shared; take it off: ip address del {assigned.ip}/{assigned.prefixlen} "
                    f"dev {assigned.interface}"
                )

    def assign(self, addresses: Sequence[Address]) -> list[Change]:
        """Put those addresses on the host that are not there yet."""
        everywhere, self._seen = self._seen or self._door.assigned(), None
        present = {assigned.ip for assigned in everywhere if assigned.interface == self._place}
        missing = [address for address in addresses if address.ip not in present]
        if note_all(self._ledger.addresses, self._place, [str(address.ip) for address in missing]):
            self._ledger.save()
        self._door.assign([address.ip for address in missing], self._place)
        return [Change(one.resource, "added", detail=f"{one.ip} on {self._place}") for one in missing]

    def withdraw(self, addresses: Sequence[Address]) -> list[Change]:
        """Take those of our addresses off the host that are none of these."""
        wanted = {str(address.ip) for address in addresses}
        changes = []
        for interface, ips in list(self._ledger.addresses.items()):
            for ip in [ip for ip in ips if ip not in wanted or interface != self._place]:
                self._door.withdraw(ip_address(ip), interface)
                strike(self._ledger.addresses, interface, ip)
                changes.append(Change(ip, "removed", detail=f"{ip} from {interface}"))
        if changes:
            self._ledger.save()
        return changes

    # frames

    def _admit(self, addresses: Sequence[Address]) -> list[Change]:
        """Frames to the shared MACs, where they are not let in already."""
        admitted = self._door.admitted()
        missing = {
            (address.interface, address.mac): address.resource
            for address in addresses
            if (address.interface, address.mac) not in admitted
        }
        fresh = {
            (interface, mac)
            for interface in {interface for interface, _ in missing}
            for mac in note_all(self._ledger.macs, interface, [mac for own, mac in missing if own == interface])
        }
        if fresh:
            self._ledger.save()
        changes, others = [], False
        for (interface, mac), resource in missing.items():
            admit = self._door.admit_group_mac if is_group(mac) else self._door.admit_unicast_mac
            if admit(mac, interface):
                changes.append(Change(resource, "added", detail=f"frames to {mac} on {interface}"))
            elif (interface, mac) in fresh:
                # somebody else has admitted it: that is not ours to take back
                strike(self._ledger.macs, interface, mac)
                others = True
        if others:
            self._ledger.save()
        return changes

    def _join(self, addresses: Sequence[Address], joined: Set[Membership]) -> list[Change]:
        """The groups of these addresses, but for those that are joined already."""
        asked = {
            (address.interface, group): address.resource
            for address in addresses
            for group in _groups(address)
            if (address.interface, group) not in joined
        }
        noted = [note(self._ledger.groups, interface, str(group)) for interface, group in asked]
        if any(noted):
            self._ledger.save()
        became = self._door.join_groups(list(asked))
        return [
            Change(resource, "added", detail=f"group {group} on {interface}")
            for ((interface, group), resource), is_new in zip(asked.items(), became, strict=True)
            if is_new
        ]

    def _dismiss(self, addresses: Sequence[Address]) -> list[Change]:
        wanted = {(address.interface, address.mac) for address in addresses}
        changes = []
        for interface, macs in list(self._ledger.macs.items()):
            for mac in [mac for mac in macs if (interface, mac) not in wanted]:
                if is_group(mac):
                    self._door.dismiss_group_mac(mac, interface)
                else:
                    self._door.dismiss_unicast_mac(mac, interface)
                strike(self._ledger.macs, interface, mac)
                changes.append(Change(mac, "removed", detail=f"frames to {mac} on {interface}"))
        groups = {(address.interface, str(group)) for address in addresses for group in _groups(address)}
        for interface, joined in list(self._ledger.groups.items()):
            for group in [group for group in joined if (interface, group) not in groups]:
                self._door.leave_group(ip_address(group), interface)
                strike(self._ledger.groups, interface, group)
                changes.append(Change(group, "removed", detail=f"group {group} on {interface}"))
        return changes

    # settings

    def _raise_settings(self, addresses: Sequence[Address]) -> list[Change]:
        changes = []
        for name, least in sorted(self._settings(addresses).items()):
            current = _read(name)
            if int(current) >= least:
                continue
            before = self._ledger.settings.get(name, (current, ""))[0]
            self._ledger.settings[name] = (before, str(least))
            self._ledger.save()
            _write(name, str(least))
            changes.append(Change(name, "added", detail=f"{current} → {least}"))
        return changes

    def _restore_settings(self, addresses: Sequence[Address]) -> list[Change]:
        wanted = self._settings(addresses)
        changes = []
        for name, (before, ours) in list(self._ledger.settings.items()):
            if name in wanted:
                continue
            del self._ledger.settings[name]
            # somebody who has set it to something else since then wants that, not what was there before us
            if (_SYSCTL / name).exists() and _read(name) == ours:
                try:
                    _write(name, before)
                except HelperAwayError as away:
                    # it stays noted: whoever changes something here next puts it back, the next process at the latest
                    self._ledger.settings[name] = (before, ours)
                    log.info("%s", away)
                    continue
                changes.append(Change(name, "removed", detail=f"{ours} → {before}"))
        return changes

    def _settings(self, addresses: Sequence[Address]) -> dict[str, int]:
        """Those of the addresses' own interfaces, and of others where the same frames may arrive."""
        return _settings(addresses) | (_beside(self._place) if any(a.ip.version == 6 for a in addresses) else {})

    @property
    def _door(self) -> Links:
        if self._links is None:
            raise DatapathError("the host's set-up was not started")
        return self._links


def _groups(address: Address) -> list[IPv4Address | IPv6Address]:
    """Multicast groups that a host of this address is a member of: whoever snoops sends their frames here."""
    if isinstance(address.ip, IPv6Address):
        return [solicited_node(address.ip)]
    return [igmp_group(address.ip)] if address.mac_mode is MacMode.IGMP else []


def _settings(addresses: Iterable[Address]) -> dict[str, int]:
    """Kernel settings (Documentation/networking/ip-sysctl.rst) and the least value that each must have."""
    least: dict[str, int] = {}
    for own, version in _sides(addresses):
        if version == 4:
            for interface in ("all", own):
                # 1: answer only for addresses of the interface that is asked, so never for one of the loopback
                least[f"ipv4/conf/{interface}/arp_ignore"] = 1
                # 2: ask with the best address of the outgoing interface, so never with a shared one
                least[f"ipv4/conf/{interface}/arp_announce"] = 2
                # all: a second interface on the segment, or the one below a macvlan, gets the frames as well
                least[f"ipv4/conf/{interface}/drop_unicast_in_l2_multicast"] = 1
        else:
            least[f"ipv6/conf/{own}/drop_unicast_in_l2_multicast"] = 1
    return least


def _sides(addresses: Iterable[Address]) -> set[tuple[str, int]]:
    """(interface, version of IP) of each."""
    return {(address.interface, address.ip.version) for address in addresses}


def _beside(place: str) -> dict[str, int]:
    """The same for IPv6, where the kernel asks the receiving interface alone and not `all` (net/ipv6/ip6_input.c)."""
    least = {}
    for _, name in socket.if_nameindex()[:BESIDE_MAX]:
        setting = f"ipv6/conf/{name}/drop_unicast_in_l2_multicast"
        if name not in ("lo", place) and (_SYSCTL / setting).exists():
            least[setting] = 1
    return least


class Examination:
    """Whether this host has, at this moment, what addresses need that would be put on the interface `place`.

    What lacks is the interface, one with MACs, or IPv6 there.  Each interface is looked at once, however many addresses
    it has.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._found: dict[tuple[str, int], str | None] = {}

    def says(self, address: Address) -> str | None:
        """What is in the way of an address; None: nothing."""
        side = address.interface, address.ip.version
        if side not in self._found:
            try:
                _examine(*side, self._place)
            except DatapathError as error:
                self._found[side] = str(error)
            else:
                self._found[side] = None
        return self._found[side]


def _examine(interface: str, version: int, place: str) -> None:
    index_of(interface)
    # not a packet socket, whose end waits until no processor can be in it any more (packet_release: synchronize_net)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        interface_mac(control, interface)
    if version == 6:
        _require_ipv6(interface)
        if (_SYSCTL / "ipv6/conf" / place).exists():
            _require_ipv6(place)


def _require_ipv6(interface: str) -> None:
    """DatapathError where the kernel keeps IPv6 off an interface: it would refuse the address without a reason."""
    name = f"ipv6/conf/{interface}/disable_ipv6"
    if not (_SYSCTL / "ipv6").exists():
        raise DatapathError("this kernel was started without IPv6 (ipv6.disable=1)")
    if _read(name) != "0":
        raise DatapathError(f"IPv6 is switched off on {interface}; sysctl -w net.{name.replace('/', '.')}=0")


def _read(name: str) -> str:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError as problem:
        raise DatapathError(f"cannot read net/{name}: {problem.strerror}") from problem


def _write(name: str, value: str) -> None:
    try:
        privileged.write_setting(name, value)
    except privileged.RunnerAwayError as away:
        raise HelperAwayError(f"cannot set net/{name} to {value}: {away.strerror}") from away
    except OSError as problem:
        raise DatapathError(f"cannot set net/{name} to {value}: {problem.strerror or problem}") from problem
