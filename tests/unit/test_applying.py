"""How an engine is told what this host shall hold, and what is left out where it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from daemon.applying import Applying
from datapath.engine import Address, Change, DatapathError, HashKind, UnconfirmedError, Wish


def wish(resource: str) -> Wish:
    ip = IPv4Address("192.168.110.120") + int(resource[-1])
    return Wish(Address(resource, ip, 24, "eth0", "21:37:6f:88:c2:a0", HashKind.SOURCEIP, 1, 4))


class Picky:
    """An engine that refuses one address, and whose forwarder is late in taking anything."""

    def __init__(self, refuses: str, *, is_late: bool) -> None:
        self.refuses = refuses
        self.is_late = is_late
        self.in_force: list[str] = ["VIP1"]

    def apply(self, wishes: Sequence[Wish]) -> list[Change]:
        names = [wish.address.resource for wish in wishes]
        if self.refuses in names:
            raise DatapathError(f"{self.refuses} is not wanted here")
        self.in_force = names
        if self.is_late:
            raise UnconfirmedError("the forwarder has not taken it")
        return []


def applying(engine: Picky) -> Applying:
    return Applying(engine, lambda: None)  # type: ignore[arg-type]


def test_an_address_that_is_refused_is_left_out_and_named() -> None:
    engine = Picky("VIP2", is_late=False)
    wishes = [wish("VIP1"), wish("VIP2")]
    told = applying(engine).tell(wishes, set(), {wishes[0].address})
    assert told.refused == {"VIP2": "VIP2 is not wanted here"}
    assert engine.in_force == ["VIP1"]


def test_what_waits_to_be_confirmed_is_not_followed_by_anything_else() -> None:
    """The next try would be to leave out everything."""
    engine = Picky("VIP2", is_late=True)
    wishes = [wish("VIP1"), wish("VIP2")]
    for _ in range(3):
        with pytest.raises(UnconfirmedError):
            applying(engine).tell(wishes, set(), {wishes[0].address})
        assert engine.in_force == ["VIP1"]


def test_what_has_failed_for_a_moment_is_no_addresss_fault() -> None:
    class Hiccup(Picky):
        failures = 1

        def apply(self, wishes: Sequence[Wish]) -> list[Change]:
            if self.failures:
                self.failures -= 1
                raise DatapathError("cannot allocate memory")
            return super().apply(wishes)

    engine = Hiccup("nobody", is_late=False)
    wishes = [wish("VIP1"), wish("VIP2")]
    told = applying(engine).tell(wishes, set(), {wishes[0].address})
    assert told.refused == {}
    assert engine.in_force == ["VIP1", "VIP2"]
