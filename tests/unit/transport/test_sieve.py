"""The kernel's own verdicts on real datagrams, over loopback."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from daemon.cluster import sieve
from daemon.cluster.acquaintances import STRANGERS_MAX
from daemon.cluster.seal import MAGIC, SALT_BYTES
from daemon.settings import NODES_MAX

LAYOUT = sieve.Layout(MAGIC, salt_at=14)
KNOWN = [os.urandom(SALT_BYTES) for _ in range(7)]
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The members' and the strangers' socket on one port."""
    with contextlib.ExitStack() as stack:
        members, strangers = (
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
        )
        port = 0
        for one in (members, strangers):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
            port = one.getsockname()[1]
            one.setblocking(False)
        sieve.attach(members, sieve.SO_ATTACH_REUSEPORT_CBPF, sieve.unicast_steering(LAYOUT, KNOWN))
        sieve.attach(members, sieve.SO_ATTACH_FILTER, sieve.members_filter(LAYOUT, KNOWN))
        sieve.attach(strangers, sieve.SO_ATTACH_FILTER, sieve.strangers_filter(LAYOUT, KNOWN))
        yield members, strangers


def sent(pair: Pair, datagram: bytes) -> tuple[bool, bool]:
    """Whether the members' and the strangers' socket got it (loopback delivers before sendto returns)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(datagram, pair[0].getsockname())
    return received(pair[0], datagram), received(pair[1], datagram)


def received(one: socket.socket, datagram: bytes) -> bool:
    try:
        return one.recv(65536) == datagram
    except BlockingIOError:
        return False


def datagram_of(salt: bytes) -> bytes:
    return MAGIC + bytes(10) + salt + bytes(60)


@pytest.mark.parametrize("number", range(len(KNOWN)))
def test_a_proven_session_is_heard_by_the_members_socket(pair: Pair, number: int) -> None:
    assert sent(pair, datagram_of(KNOWN[number])) == (True, False)


def test_an_unknown_session_is_heard_by_the_strangers_socket(pair: Pair) -> None:
    assert sent(pair, datagram_of(os.urandom(SALT_BYTES))) == (False, True)


def test_what_begins_otherwise_is_a_strangers_even_with_a_members_salt(pair: Pair) -> None:
    assert sent(pair, b"vIPj" + datagram_of(KNOWN[0])[4:]) == (False, True)


@pytest.mark.parametrize("length", [0, 3, 4, 17])
def test_what_is_too_short_to_be_anything_never_wakes_the_daemon(pair: Pair, length: int) -> None:
    assert sent(pair, datagram_of(KNOWN[0])[:length])[0] is False


def test_without_any_session_everything_is_a_strangers(pair: Pair) -> None:
    members, strangers = pair
    sieve.attach(members, sieve.SO_ATTACH_REUSEPORT_CBPF, sieve.unicast_steering(LAYOUT, []))
    sieve.attach(members, sieve.SO_ATTACH_FILTER, sieve.members_filter(LAYOUT, []))
    sieve.attach(strangers, sieve.SO_ATTACH_FILTER, sieve.strangers_filter(LAYOUT, []))
    assert sent(pair, datagram_of(KNOWN[0])) == (False, True)


def test_as_many_sessions_as_a_program_takes_are_all_heard(pair: Pair) -> None:
    members, strangers = pair
    salts = [number.to_bytes(4, "big") + bytes(12) for number in range(1, sieve.SALTS_MAX + 1)]
    sieve.attach(members, sieve.SO_ATTACH_REUSEPORT_CBPF, sieve.unicast_steering(LAYOUT, salts))
    sieve.attach(members, sieve.SO_ATTACH_FILTER, sieve.members_filter(LAYOUT, salts))
    sieve.attach(strangers, sieve.SO_ATTACH_FILTER, sieve.strangers_filter(LAYOUT, salts))
    assert {sent(pair, datagram_of(salt)) for salt in salts} == {(True, False)}
    assert NODES_MAX - 1 + STRANGERS_MAX - 1 <= sieve.SALTS_MAX


def test_of_more_sessions_than_a_program_takes_the_first_are_members_and_the_rest_strangers(pair: Pair) -> None:
    members, strangers = pair
    salts = [number.to_bytes(4, "big") + bytes(12) for number in range(sieve.SALTS_MAX + 3, 0, -1)]
    sieve.attach(members, sieve.SO_ATTACH_REUSEPORT_CBPF, sieve.unicast_steering(LAYOUT, salts))
    sieve.attach(members, sieve.SO_ATTACH_FILTER, sieve.members_filter(LAYOUT, salts))
    sieve.attach(strangers, sieve.SO_ATTACH_FILTER, sieve.strangers_filter(LAYOUT, salts))
    heard = [sent(pair, datagram_of(salt)) for salt in salts]
    assert heard == [(True, False)] * sieve.SALTS_MAX + [(False, True)] * 3
