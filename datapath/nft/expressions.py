"""What rules are made of: one function for each nf_tables expression that we use, named after what it does.

Registers are the sixteen of four bytes (NFT_REG32_00 …), addressed by index 0 … 15; an address of IPv6 fills four.
A rule reads only what it has loaded itself: the kernel refuses anything else, so nothing is handed from rule to
rule.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from datapath.nft.protocol import OBJECT_COUNTER, Verdict

Expression = tuple[str, dict[str, Any]]

_REGISTER_0 = 8
_VERDICT_REGISTER = 0
_CHECKSUM_INET = 1
_REJECT_TCP_RESET = 1


class Base(enum.IntEnum):
    """Where an offset counts from (NFT_PAYLOAD_*_HEADER)."""

    LINK = 0
    """the Ethernet header, with the tag that the kernel has taken out of the frame put back"""
    NETWORK = 1
    TRANSPORT = 2


class Meta(enum.IntEnum):
    """NFT_META_*"""

    PROTOCOL = 1
    IIFNAME = 6
    OIFTYPE = 9
    L4PROTO = 16
    PKTTYPE = 19
    TIME_NS = 30


class Cmp(enum.IntEnum):
    """NFT_CMP_*: bytes are compared as memcmp(3) does."""

    EQ = 0
    NEQ = 1
    LT = 2
    LTE = 3
    GT = 4
    GTE = 5


def register(index: int) -> int:
    return _REGISTER_0 + index


def load(base: Base, offset: int, length: int, into: int) -> Expression:
    """Packet bytes into registers, the last one padded with zero; ends the rule where the packet is shorter."""
    return "payload", {"dreg": register(into), "base": base, "offset": offset, "len": length}


def write_header(source: int, offset: int, length: int) -> Expression:
    """Register bytes over the network header (for ARP: its packet), without any checksum."""
    members = {"base": Base.NETWORK, "offset": offset, "len": length, "sreg": register(source)}
    return "payload", {**members, "csum_type": 0, "csum_offset": 0, "csum_flags": 0}


def write_frame(source: int, offset: int, length: int, checksum: int | None = None) -> Expression:
    """Register bytes over a frame, counted from its Ethernet header; the 16-bit checksum at an offset follows."""
    members = {"base": Base.LINK, "offset": offset, "len": length, "sreg": register(source)}
    kind = 0 if checksum is None else _CHECKSUM_INET
    return "payload", {**members, "csum_type": kind, "csum_offset": checksum or 0, "csum_flags": 0}


def write_icmpv6(source: int, offset: int, length: int) -> Expression:
    """Register bytes over an ICMPv6 message, whose checksum follows (RFC 4443, section 2.3)."""
    members = {"base": Base.TRANSPORT, "offset": offset, "len": length, "sreg": register(source)}
    return "payload", {**members, "csum_type": _CHECKSUM_INET, "csum_offset": 2, "csum_flags": 0}


def load_meta(key: Meta, into: int) -> Expression:
    return "meta", {"dreg": register(into), "key": key}


def set_meta(key: Meta, source: int) -> Expression:
    return "meta", {"key": key, "sreg": register(source)}


def load_value(value: bytes, into: int) -> Expression:
    return "immediate", {"dreg": register(into), "data": {"value": value}}


def load_extension(header: int, offset: int, length: int, into: int) -> Expression:
    """Bytes of an IPv6 extension header; the rule ends here where the packet has none of that kind."""
    return "exthdr", {"dreg": register(into), "type": header, "offset": offset, "len": length, "flags": 0, "op": 0}


def mask(at: int, bits: bytes) -> Expression:
    """register &= bits"""
    members = {"sreg": register(at), "dreg": register(at), "len": len(bits)}
    return "bitwise", {**members, "mask": {"value": bits}, "xor": {"value": bytes(len(bits))}}


def compare(at: int, how: Cmp, value: bytes) -> Expression:
    """The rule goes on only where the comparison holds."""
    return "cmp", {"sreg": register(at), "op": how, "data": {"value": value}}


def host_to_network(at: int, length: int) -> Expression:
    """Turn one number of `length` bytes into network order, in which interval sets are sorted."""
    return "byteorder", {"sreg": register(at), "dreg": register(at), "op": 1, "len": length, "size": length}


def jenkins(source: int, length: int, slots: int, seed: int, into: int) -> Expression:
    """reciprocal_scale(jhash(registers, seed), slots): the slot, a number in host order."""
    members = {"sreg": register(source), "dreg": register(into), "len": length}
    return "hash", {**members, "modulus": slots, "seed": seed, "offset": 0, "type": 0}


def member(at: int, of_set: str) -> Expression:
    """The rule goes on only where the register's value is in the set."""
    return "lookup", {"set": of_set, "sreg": register(at)}


def stranger(at: int, to_set: str) -> Expression:
    """The rule goes on only where the register's value is not in the set (NFT_LOOKUP_F_INV)."""
    return "lookup", {"set": to_set, "sreg": register(at), "flags": 1}


def map_into(at: int, by_map: str, into: int) -> Expression:
    """The map's data for the register's value; the rule ends here where there is none."""
    return "lookup", {"set": by_map, "sreg": register(at), "dreg": register(into)}


def decide(at: int, by_map: str) -> Expression:
    """The verdict that the map holds for the register's value; the rule ends here where there is none."""
    return "lookup", {"set": by_map, "sreg": register(at), "dreg": _VERDICT_REGISTER}


def note(at: int, in_set: str, timeout_ms: int | None) -> Expression:
    """Put the registers' value into a set from the packet path, or renew it there; None: for good."""
    members = {"set": in_set, "op": 1, "sreg_key": register(at)}
    return "dynset", members if timeout_ms is None else {**members, "timeout": timeout_ms}


def strike(at: int, from_set: str) -> Expression:
    """Take the registers' value out of a set from the packet path; that it is not there is no harm."""
    return "dynset", {"set": from_set, "op": 2, "sreg_key": register(at)}


def count(counter: str) -> Expression:
    return "objref", {"type": OBJECT_COUNTER, "name": counter}


def verdict(code: Verdict, chain: str = "") -> Expression:
    decision: dict[str, Any] = {"code": code}
    if chain:
        decision["chain"] = chain
    return "immediate", {"dreg": _VERDICT_REGISTER, "data": {"verdict": decision}}


def goto(chain: str) -> Expression:
    return verdict(Verdict.GOTO, chain)


def reset() -> Expression:
    """Refuse a TCP packet: the program that sent it hears of it at once (nft: reject with tcp reset)."""
    return "reject", {"type": _REJECT_TCP_RESET, "icmp_code": 0}


def drop_counted(counter: str) -> Sequence[Expression]:
    return (count(counter), verdict(Verdict.DROP))
