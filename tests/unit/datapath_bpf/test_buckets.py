"""Where the program looks for an address; that it looks where we put it is tested by its verdicts (tests/property)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from datapath.bpf import buckets
from datapath.bpf.buckets import BUCKETS_EACH, PROBES_MAX, SPREAD, fill


def searched(count: int, ip: IPv4Address | IPv6Address) -> list[int]:
    """Buckets that slots.bpf.c looks into, one after the other, with salt 0."""
    spread = 0
    for at in range(0, len(ip.packed), 4):
        spread = (spread * SPREAD + int.from_bytes(ip.packed[at : at + 4], "big")) % 2**32
    first = spread * SPREAD % 2**32 * count >> 32
    return [(first + probe) % count for probe in range(PROBES_MAX)]


@pytest.mark.parametrize("how_many", [1, 64, 1000])
def test_each_address_is_found_before_a_free_bucket_ends_the_search(how_many: int) -> None:
    count = 2 * BUCKETS_EACH * 1024
    fours = [IPv4Address("192.168.0.1") + number for number in range(how_many)]
    sixes = [IPv6Address("2001:db8::1") + (number << 64) for number in range(how_many)]
    placed = [(ip, number) for number, ip in enumerate([*fours, *sixes])]
    filled = fill(count, placed)
    assert filled.salt == 0
    for ip, number in placed:
        seen = [filled.numbers[at] for at in searched(count, ip)]
        assert number + 1 in seen
        assert 0 not in seen[: seen.index(number + 1)]
    assert sum(bool(number) for number in filled.numbers) == len(placed)


def test_the_order_in_which_addresses_are_named_does_not_matter() -> None:
    placed = [(IPv4Address("10.0.0.1") + number, number) for number in range(200)]
    assert fill(512, placed).numbers == fill(512, placed[::-1]).numbers


def test_another_salt_is_tried_where_a_search_would_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "PROBES_MAX", 1)
    placed = [(IPv4Address((number * number * 77_773) % 2**32), number) for number in range(11)]
    filled = fill(16, placed)
    assert sorted(number for number in filled.numbers if number) == list(range(1, 12))
    assert filled.salt > 0


def test_more_addresses_than_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="9 addresses fit no arrangement of 8 buckets"):
        fill(8, [(IPv4Address(number), number) for number in range(9)])
