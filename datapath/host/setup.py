"""Prepare a host for shared addresses, and put everything back afterwards.

For each address: it is assigned to an interface that sends no packets (the loopback; the raw engine's TUN), so that
sockets can use it; the kernel keeps silent about it (arp_ignore) and does not teach anyone the interface's own MAC
(arp_announce); frames to the shared MAC pass the interface's filter; and what arrives in such a frame is dropped
unless an engine accepts it (drop_unicast_in_l2_multicast), so that a host without rules is silent too.

`grow` adds what is wanted: `prepare` first, then `assign` the addresses; `shrink` takes back what is no longer
wanted: `withdraw` the addresses first, then the rest.  An engine whose rules stand in the packets' way changes them
while no address that comes or goes is on the host.  All are idempotent and say what they changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from datapath.engine import Address, Change, DatapathError, MacMode
from datapath.host.ledger import Ledger, note, strike
from datapath.host.links import Links, index_of
from datapath.mac import igmp_group, is_group

_SYSCTL = Path("/proc/sys/net")


class Host:
    """The host's own set-up; one for each daemon and network namespace."""

    def __init__(self, run_dir: Path, place: str = "lo") -> None:
        """`run_dir` keeps notes of what was there before; `place` is the interface that addresses are put on."""
        self._place = place
        self._path = run_dir / "host.json"
        self._links: Links | None = None
        self._ledger = Ledger(self._path)

    def start(self) -> None:
        """Open sockets and read what a former process noted."""
        self._links = self._links or Links()
        self._ledger = Ledger.load(self._path)

    def close(self) -> None:
        if self._links is not None:
            self._links.close()
            self._links = None

    def grow(self, addresses: Sequence[Address]) -> list[Change]:
        """Everything that these addresses need and that is missing."""
        return [*self.prepare(addresses), *self.assign(addresses)]

    def prepare(self, addresses: Sequence[Address]) -> list[Change]:
        """Settings and filters; DatapathError names an interface that is not there, or an address that is taken."""
        for address in addresses:
            index_of(address.interface)
        self._refuse_assigned_elsewhere(addresses)
        return [*self._raise_settings(addresses), *self._admit(addresses)]

    def shrink(self, addresses: Sequence[Address]) -> list[Change]:
        """Take back what is noted as ours and that none of these addresses needs."""
        changes = [*self.withdraw(addresses), *self._dismiss(addresses), *self._restore_settings(addresses)]
        if self._ledger.is_empty:
            self._ledger.discard()
        elif changes:
            self._ledger.save()
        return changes

    # addresses

    def _refuse_assigned_elsewhere(self, addresses: Sequence[Address]) -> None:
        wanted = {address.ip: address for address in addresses}
        for assigned in self._door.assigned():
            if assigned.ip in wanted and not assigned.is_ours and assigned.interface != self._place:
                raise DatapathError(
                    f"{assigned.ip}/{assigned.prefixlen} is on {assigned.interface} as an ordinary address, so it "
                    f"cannot be shared; take it off: ip address del {assigned.ip}/{assigned.prefixlen} "
                    f"dev {assigned.interface}"
                )

    def assign(self, addresses: Sequence[Address]) -> list[Change]:
        """Put those addresses on the host that are not there yet."""
        present = {assigned.ip for assigned in self._door.assigned() if assigned.interface == self._place}
        changes = []
        for address in addresses:
            if address.ip in present:
                continue
            if note(self._ledger.addresses, self._place, str(address.ip)):
                self._ledger.save()
            self._door.assign(address.ip, self._place)
            changes.append(Change(address.resource, "added", detail=f"{address.ip} on {self._place}"))
        return changes

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
        changes = []
        for address in addresses:
            interface, mac = address.interface, address.mac
            fresh = note(self._ledger.macs, interface, mac)
            if fresh:
                self._ledger.save()
            admit = self._door.admit_group_mac if is_group(mac) else self._door.admit_unicast_mac
            changed = admit(mac, interface)
            if fresh and not changed:
                # somebody else has admitted it: that is not ours to take back
                strike(self._ledger.macs, interface, mac)
                self._ledger.save()
            if changed:
                changes.append(Change(address.resource, "added", detail=f"frames to {mac} on {interface}"))
            if address.mac_mode is MacMode.IGMP:
                group = igmp_group(address.ip)
                if note(self._ledger.groups, interface, str(group)):
                    self._ledger.save()
                    changes.append(Change(address.resource, "added", detail=f"group {group} on {interface}"))
                self._door.join_group(group, interface)
        return changes

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
        groups = {(a.interface, str(igmp_group(a.ip))) for a in addresses if a.mac_mode is MacMode.IGMP}
        for interface, joined in list(self._ledger.groups.items()):
            for group in [group for group in joined if (interface, group) not in groups]:
                self._door.leave_group(IPv4Address(group), interface)
                strike(self._ledger.groups, interface, group)
                changes.append(Change(group, "removed", detail=f"group {group} on {interface}"))
        return changes

    # settings

    def _raise_settings(self, addresses: Sequence[Address]) -> list[Change]:
        changes = []
        for name, least in sorted(_settings(addresses).items()):
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
        wanted = _settings(addresses)
        changes = []
        for name, (before, ours) in list(self._ledger.settings.items()):
            if name in wanted:
                continue
            del self._ledger.settings[name]
            # somebody who has set it to something else since then wants that, not what was there before us
            if (_SYSCTL / name).exists() and _read(name) == ours:
                _write(name, before)
                changes.append(Change(name, "removed", detail=f"{ours} → {before}"))
        return changes

    @property
    def _door(self) -> Links:
        if self._links is None:
            raise DatapathError("the host's set-up was not started")
        return self._links


def _settings(addresses: Iterable[Address]) -> dict[str, int]:
    """Kernel settings (Documentation/networking/ip-sysctl.rst) and the least value that each must have."""
    least: dict[str, int] = {}
    for address in addresses:
        if address.ip.version == 4:
            for interface in ("all", address.interface):
                # 1: answer only for addresses of the interface that is asked, so never for one of the loopback
                least[f"ipv4/conf/{interface}/arp_ignore"] = 1
                # 2: ask with the best address of the outgoing interface, so never with a shared one
                least[f"ipv4/conf/{interface}/arp_announce"] = 2
        version = "ipv4" if address.ip.version == 4 else "ipv6"
        least[f"{version}/conf/{address.interface}/drop_unicast_in_l2_multicast"] = 1
    return least


def _read(name: str) -> str:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError as problem:
        raise DatapathError(f"cannot read net/{name}: {problem.strerror}") from problem


def _write(name: str, value: str) -> None:
    try:
        (_SYSCTL / name).write_text(value)
    except OSError as problem:
        raise DatapathError(
            f"cannot set net/{name} to {value}: {problem.strerror}; "
            "the service needs it writable (ProtectKernelTunables=no) or set beforehand"
        ) from problem
