"""The instruments that measure vipcast can show the opposite: a packet answered twice is seen, a gap has its ends."""

from __future__ import annotations

import pytest

from tests.lab.answers import accepted_by, answered_twice, answerers, last_accepted_ns, resets
from tests.lab.capture import ACK, PSH, RST, SYN, Captured, Tcp, parse_tcp
from tests.lab.clients import Attempt, Client, client_range, gap_of

VIP = "192.168.110.120"
CLIENT = Client("10.64.0.7", 4711)

Entry = tuple[Captured, Tcp]


def heard(host: str, time_ns: int, flags: int, stamp: int) -> Entry:
    """A client's segment, arriving at a host."""
    tcp = Tcp(CLIENT.address, CLIENT.port, VIP, 80, 1, 0, flags, 0, stamp, 0)
    return Captured(host, time_ns, False, b""), tcp


def sent(host: str, time_ns: int, flags: int, echo: int | None) -> Entry:
    """A host's segment to the client."""
    tcp = Tcp(VIP, 80, CLIENT.address, CLIENT.port, 1, 1, flags, 0, None if echo is None else 9, echo)
    return Captured(host, time_ns, True, b""), tcp


def test_a_packet_that_one_host_answered_is_not_answered_twice() -> None:
    segments = [heard("a1", 1, SYN, 100), heard("a2", 1, SYN, 100), sent("a1", 2, SYN | ACK, 100)]
    assert answered_twice(segments, VIP) == {}
    assert list(answerers(segments, VIP).values()) == [{"a1"}]
    assert accepted_by(segments, VIP) == {"a1": 1}


def test_a_syn_that_two_hosts_answered_is_found() -> None:
    segments = [heard("a1", 1, SYN, 100), sent("a1", 2, SYN | ACK, 100), sent("a2", 3, SYN | ACK, 100)]
    assert list(answered_twice(segments, VIP).values()) == [{"a1", "a2"}]


def test_an_answer_and_a_reset_to_the_same_packet_are_found() -> None:
    segments = [
        heard("a1", 1, PSH | ACK, 100),
        heard("a2", 1, PSH | ACK, 100),
        sent("a1", 2, ACK, 100),
        sent("a2", 2, RST, None),
    ]
    assert list(answered_twice(segments, VIP).values()) == [{"a1", "a2"}]
    assert resets(segments, VIP) == 1


def test_a_retransmission_to_another_host_is_another_packet() -> None:
    segments = [
        heard("a1", 1, PSH | ACK, 100),
        sent("a1", 2, ACK, 100),
        heard("a2", 300, PSH | ACK, 400),
        sent("a2", 301, RST, None),
        sent("a1", 900, PSH | ACK, 100),  # a late answer to what it accepted long ago
    ]
    assert answered_twice(segments, VIP) == {}


def test_the_last_accepted_packet_is_the_last_arrival_that_was_answered() -> None:
    segments = [
        heard("a1", 10, SYN, 100),
        sent("a1", 11, SYN | ACK, 100),
        heard("a1", 20, ACK, 120),  # never answered: its lease had ended
        sent("a1", 1000, SYN | ACK, 100),  # a retransmission is no new acceptance
    ]
    assert last_accepted_ns(segments, VIP, "a1", 5000) == 10
    assert last_accepted_ns(segments, VIP, "a2", 5000) is None


def test_segments_are_read_off_frames_with_their_time_stamps() -> None:
    frame = bytes.fromhex(
        "5254c0a86e79" "5254c0a86e01" "0800"
        "4500003cc8ab4000400637ae" "0a400101" "c0a86e79"
        "4e200050" "d3320d3e" "00000000" "a002faf03a910000"
        "020405b40402080a" "6874a000" "00000000" "0103030a"
    )  # fmt: skip
    tcp = parse_tcp(frame)
    assert tcp == Tcp("10.64.1.1", 20000, "192.168.110.121", 80, 0xD3320D3E, 0, SYN, 0, 0x6874A000, 0)
    assert parse_tcp(frame[:40]) is None
    assert parse_tcp(b"") is None


def attempts(outcomes: str) -> list[Attempt]:
    """One character an attempt, 5 ms apart: `+` succeeded, `-` failed."""
    return [
        Attempt("s", CLIENT, number * 5_000_000, number * 5_000_000 + 1, "ok" if mark == "+" else "timeout", "")
        for number, mark in enumerate(outcomes)
    ]


def test_a_gap_reaches_from_the_first_failure_to_the_success_after_the_last() -> None:
    gap = gap_of(attempts("+++---+--++++"))
    assert gap is not None
    assert (gap.ms, gap.failed) == (30.0, 5)


def test_attempts_are_ordered_by_their_start_not_by_their_end() -> None:
    gap = gap_of(list(reversed(attempts("++---++"))))
    assert gap is not None
    assert gap.ms == 15.0


def test_no_failure_is_no_gap_and_no_recovery_is_told() -> None:
    assert gap_of(attempts("++++")) is None
    with pytest.raises(ValueError, match="no end"):
        gap_of(attempts("++--"))


def test_clients_are_all_different_and_valid() -> None:
    clients = list(client_range(5000))
    assert len(set(clients)) == 5000
    assert all(0 < int(part) < 255 for client in clients for part in client.address.split(".")[2:])
