"""The shared addresses of a host, when somebody meddles with the kernel in the middle of a repair."""

from __future__ import annotations

from ipaddress import IPv4Address

from daemon.addresses import SharedAddresses
from datapath.engine import Address, Change, DatapathError, HashKind, Wish

ADDRESS = Address("VIP", IPv4Address("192.168.110.120"), 24, "eth0", "21:37:6f:88:c2:a0", HashKind.SOURCEIP, 1, 4)


class Meddled:
    """An engine whose rules are flushed once more, right after it has mended another table."""

    place = "lo"

    def repair(self) -> list[Change]:
        return [Change("vipcast-out", "repaired")]

    def renew(self, deadline_ns: int) -> None:
        raise DatapathError("the kernel refused to empty the set lease: No such file or directory")


def test_rules_that_are_flushed_again_while_they_are_mended_end_no_daemon() -> None:
    addresses = SharedAddresses(Meddled(), lambda _: None, lambda _: None)  # type: ignore[arg-type]
    addresses.serving = (Wish(ADDRESS),)
    assert [change.what for change in addresses.repair()] == ["repaired"]
