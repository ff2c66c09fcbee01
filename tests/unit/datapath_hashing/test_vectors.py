"""Our hash against answers of a Linux kernel (tests/netns/kernel_hash.py asked it; Linux 6.18, x86-64)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from datapath.engine import HashKind
from datapath.hashing import jhash, key_of, reciprocal_scale, slot, slot_of_packet
from tests.netns.flow_vectors import PROTOCOLS, read_flows
from tests.netns.kernel_hash import read_vectors


def test_every_vector_of_the_kernel_is_met() -> None:
    vectors = read_vectors()
    assert len(vectors) >= 100
    wrong = [case for case in vectors if slot(bytes.fromhex(case.key), case.seed, case.slots) != case.slot]
    assert wrong == []


def test_a_slot_is_the_scaled_hash() -> None:
    for case in read_vectors():
        key = bytes.fromhex(case.key)
        assert slot(key, case.seed, case.slots) == reciprocal_scale(jhash(key, case.seed), case.slots)


def test_an_empty_key_is_the_start_value() -> None:
    assert jhash(b"", 0) == 0xDEADBEEF


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (HashKind.SOURCEIP, "0a4d0201"),
        (HashKind.SOURCEIP_SOURCEPORT, "0a4d0201 1f900000"),
        (HashKind.SOURCEIP_SOURCEPORT_DESTPORT, "0a4d0201 1f900000 00500000"),
    ],
)
def test_a_key_is_fields_in_network_order_padded_to_four_bytes(kind: HashKind, key: str) -> None:
    assert key_of(kind, IPv4Address("10.77.2.1"), 8080, 80) == bytes.fromhex(key)


def test_without_ports_every_kind_hashes_by_address() -> None:
    for kind in HashKind:
        network = HashKind.SOURCENET
        whole = IPv6Address("fd00::" if kind is network else "fd00::7")
        assert key_of(kind, IPv6Address("fd00::7")) == whole.packed


def test_a_port_that_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="70000"):
        key_of(HashKind.SOURCEIP_SOURCEPORT, IPv4Address("10.0.0.1"), 70_000)
    with pytest.raises(ValueError, match="destination port"):
        key_of(HashKind.SOURCEIP_SOURCEPORT_DESTPORT, IPv4Address("10.0.0.1"), 80)


def test_real_packets_have_the_slots_that_the_kernels_own_hash_gave_them() -> None:
    """tests/vectors/flows.json: every protocol and hash, both families."""
    flows = read_flows()
    assert {(flow.version, flow.protocol, flow.hash) for flow in flows} == {
        (version, protocol, kind.value) for version in (4, 6) for protocol in PROTOCOLS for kind in HashKind
    }
    for flow in flows:
        assert slot_of_packet(flow.packet, HashKind(flow.hash), flow.seed, flow.total) == flow.slot, flow
