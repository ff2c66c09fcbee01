"""Netlink messages from field tables, without a kernel."""

from __future__ import annotations

import errno
import pickle
import struct

import pytest

from datapath.netlink import (
    NLA_F_NESTED,
    OCTETS,
    TEXT,
    U8,
    U32,
    Fields,
    KernelError,
    ListOf,
    Message,
    _read_error,
    attribute,
    attributes,
    raw_attribute,
)
from datapath.nft.protocol import ELEMENTS, RULE

INNER = Fields(number=(1, U32), name=(2, TEXT))
OUTER = Fields(inner=(3, INNER), rows=(4, ListOf(1, INNER)), blob=(5, OCTETS))


def test_what_is_packed_is_unpacked() -> None:
    value = {
        "inner": {"number": 7, "name": "eth0"},
        "rows": [{"number": 1}, {"number": 2, "name": "two"}],
        "blob": b"\1\2\3",
    }
    assert OUTER.unpack(OUTER.pack(value)) == value


def test_an_attribute_is_length_type_content_and_padding() -> None:
    assert attribute(1, U8, 9) == struct.pack("=HHB3x", 5, 1, 9)
    assert attribute(2, TEXT, "lo") == struct.pack("=HH3sx", 7, 2, b"lo\0")
    nested = attribute(3, INNER, {"number": 1})
    assert struct.unpack("=HH", nested[:4]) == (12, 3 | NLA_F_NESTED)


def test_unknown_attributes_are_skipped() -> None:
    newer = raw_attribute(77, b"from a newer kernel") + INNER.pack({"number": 5})
    assert INNER.unpack(newer) == {"number": 5}


@pytest.mark.parametrize("damage", [b"\x03\0\1\0", b"\xff\xff\1\0abcd", b"\0\0\0\0", b"\1"])
def test_a_damaged_attribute_ends_the_walk(damage: bytes) -> None:
    assert list(attributes(raw_attribute(1, b"good") + damage)) == [(1, b"good")]


def test_too_long_an_attribute_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="65535"):
        raw_attribute(1, bytes(70_000))


def test_a_message_counts_its_whole_length_and_is_padded() -> None:
    packed = Message(16, 4, b"12345", "test").pack(9)
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", packed)
    assert (length, kind, flags, sequence, port) == (21, 16, 5, 9, 0)
    assert len(packed) == 24


def test_expressions_choose_their_table_by_name() -> None:
    rule = {
        "table": "t",
        "chain": "c",
        "expressions": [
            ("payload", {"dreg": 8, "base": 1, "offset": 12, "len": 4}),
            ("immediate", {"dreg": 0, "data": {"verdict": {"code": -4, "chain": "next"}}}),
        ],
    }
    assert RULE.unpack(RULE.pack(rule)) == rule


def test_elements_may_be_intervals_with_timeouts() -> None:
    elements = {
        "table": "t",
        "set": "s",
        "elements": [{"key": {"value": bytes(8)}, "timeout": 350}, {"key": {"value": b"\1" * 8}, "flags": 1}],
    }
    assert ELEMENTS.unpack(ELEMENTS.pack(elements)) == elements


def test_the_kernels_own_words_are_found_in_its_error() -> None:
    said = raw_attribute(1, b"Interval overlaps with an existing one\0")
    echoed = struct.pack("=IHHII", 16, 1, 0, 1, 0)
    body = struct.pack("=i", -errno.EEXIST) + echoed + said
    assert _read_error(0x300, body) == (errno.EEXIST, "Interval overlaps with an existing one")
    assert _read_error(0x100, body) == (errno.EEXIST, "")
    assert _read_error(0x300, b"\1") == (errno.EBADMSG, "a netlink error message was cut short")


def test_a_refusal_says_what_was_wanted_and_what_helps() -> None:
    refusal = KernelError("make the table vipcast", errno.EPERM, "no luck")
    assert str(refusal).startswith(
        "the kernel refused to make the table vipcast: Operation not permitted (no luck)"
    )
    assert "CAP_NET_ADMIN" in str(refusal)
    assert refusal.errno == errno.EPERM


def test_a_refusal_can_be_handed_to_another_process() -> None:
    refusal = KernelError("make a table", errno.EPERM, "")
    handed = pickle.loads(pickle.dumps(refusal))
    assert (str(handed), handed.errno) == (str(refusal), errno.EPERM)
