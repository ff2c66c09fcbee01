"""Connections that a move meets half open, or that come back to it: each is one host's, and goes on there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from datapath.engine import SlotState, Wish
from tests.netns import actions
from tests.netns.frames import breaking_resets, tcp_flags
from tests.netns.moves import hosts, steps, storm
from tests.netns.moves.hosts import SHARED, TARGET, Pair, pair_of, put
from tests.netns.segment import CLIENT, VIP

pytestmark = pytest.mark.root

SILENT_CLIENTS = replace(TARGET, clients=81)
"""nobody has these addresses: what is sent to them is not refused, as if it were still on its way"""
SETTLE_S = 0.05
COOKIES = {"sockets": 1, "cookies": 2}
"""net.ipv4.tcp_syncookies: only in need, or always"""


@pytest.fixture(params=("bpf", "nft", "raw"), scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of((request.param, request.param), tmp_path_factory.mktemp("pair")) as pair:
        for host in pair.hosts:
            host.run("ip", "route", "add", "10.81.0.0/16", "via", CLIENT)
        yield pair


@pytest.fixture(autouse=True)
def _as_at_first(pair: Pair) -> Iterator[None]:
    yield
    for host, state in zip(pair.hosts, (SlotState.OPEN, SlotState.CLOSED), strict=True):
        put(host, SlotState.CLOSED)
        put(host, state)
        host.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1")


def macs(pair: Pair) -> tuple[bytes, bytes]:
    first, second = (bytes.fromhex(_mac(host.run("ip", "-o", "link", "show", "eth0"))) for host in pair.hosts)
    return first, second


def _mac(line: str) -> str:
    return line.split("link/ether ")[1].split(maxsplit=1)[0].replace(":", "")


def send(pair: Pair, *numbers: int, target: storm.Target = SILENT_CLIENTS) -> None:
    pair.sender.call(storm.send_syns, numbers, target)
    time.sleep(SETTLE_S)


def answered(answers: storm.Answers, number: int) -> dict[int, bytes]:
    """Server's sequence number → whose MAC, of the answers to a SYN."""
    found = answers.by_syn.get(storm.client_of(number, SILENT_CLIENTS), {})
    return {sequence: mac for sequence, (_, mac) in found.items()}


@pytest.mark.parametrize("cookies", COOKIES.values(), ids=COOKIES)
def test_a_syn_that_the_old_owner_took_is_repeated_to_it_alone(pair: Pair, cookies: int) -> None:
    old, new = pair.hosts
    for host in pair.hosts:
        host.run("sysctl", "-qw", f"net.ipv4.tcp_syncookies={cookies}")
    before, noted, held, fresh = (1_000 * cookies + n for n in range(4))
    pair.tap.call(storm.start_answers, SILENT_CLIENTS)
    if cookies != COOKIES["cookies"]:  # of what they answered before, cookies leave nothing to go by
        send(pair, before)
    hosts.prepare(old, new)
    send(pair, noted)
    told = hosts.hand_over(old)
    send(pair, held)
    new.engine.call(steps.refuse, SHARED.resource, told)
    put(new, SlotState.OPENING)
    assert new.engine.call(steps.release, SHARED.resource) <= 1
    send(pair, noted, held, fresh, *([before] if cookies != COOKIES["cookies"] else []))
    answers = pair.tap.call(storm.stop_answers)
    first, second = macs(pair)
    found = {number: set(answered(answers, number).values()) for number in (noted, held, fresh)}
    assert found == {noted: {first}, held: {second}, fresh: {second}}
    if cookies != COOKIES["cookies"]:
        assert set(answered(answers, before).values()) == {first}


@pytest.mark.parametrize("cookies", COOKIES.values(), ids=COOKIES)
def test_a_connection_that_is_half_open_is_established_with_the_old_owner(pair: Pair, cookies: int) -> None:
    old, new = pair.hosts
    for host in pair.hosts:
        host.run("sysctl", "-qw", f"net.ipv4.tcp_syncookies={cookies}")
    number = 10_000 + cookies
    pair.tap.call(storm.start_answers, SILENT_CLIENTS)
    hosts.prepare(old, new)
    send(pair, number)
    told = hosts.hand_over(old)
    new.engine.call(steps.refuse, SHARED.resource, told)
    put(new, SlotState.OPENING)
    new.engine.call(steps.release, SHARED.resource)
    (sequence,) = answered(pair.tap.call(storm.stop_answers), number)
    pair.segment.client.service.call(actions.start_tap)
    pair.sender.call(storm.send_ack, number, SILENT_CLIENTS, sequence, b"hello")
    time.sleep(4 * SETTLE_S)
    frames = pair.segment.client.service.call(actions.stop_tap)
    ip, port, _ = storm.client_of(number, SILENT_CLIENTS)
    ours = [frame for frame in frames if frame[30:34] == ip and frame[36:38] == port.to_bytes(2, "big")]
    said = b"".join(frame[54:] for frame in ours if b"h1" in frame[54:] or b"h2" in frame[54:])
    assert b"h1" in said
    assert b"h2" not in said
    assert breaking_resets(ours) == []


def test_a_client_that_takes_its_port_again_while_it_is_half_open_is_answered_by_one(pair: Pair) -> None:
    old, new = pair.hosts
    first, other_sequence = 20_000, 77
    pair.tap.call(storm.start_answers, SILENT_CLIENTS)
    hosts.prepare(old, new)
    send(pair, first)
    told = hosts.hand_over(old)
    new.engine.call(steps.refuse, SHARED.resource, told)
    put(new, SlotState.OPENING)
    new.engine.call(steps.release, SHARED.resource)
    pair.sender.call(storm.send_syn_anew, first, SILENT_CLIENTS, other_sequence)
    time.sleep(SETTLE_S)
    answers = pair.tap.call(storm.stop_answers)
    ip, port, _ = storm.client_of(first, SILENT_CLIENTS)
    anew = {mac for _, mac in answers.by_syn.get((ip, port, other_sequence), {}).values()}
    assert len(anew) <= 1, (
        "a host that has it half open asks the client first (RFC 9293, 3.10.7.4), and answers nothing"
    )
    assert set(answered(answers, first).values()) == {macs(pair)[0]}


def test_a_client_that_has_ended_its_connection_takes_the_port_again_at_the_new_owner(pair: Pair) -> None:
    old, new = pair.hosts
    source, client = ("10.80.0.9", 30_009), pair.segment.client.engine
    assert client.call(actions.open_connection, source, VIP, hosts.PORT) == "h1"
    hosts.prepare(old, new)
    told = hosts.hand_over(old)
    new.engine.call(steps.refuse, SHARED.resource, told)
    put(new, SlotState.OPENING)
    new.engine.call(steps.release, SHARED.resource)
    client.call(actions.abort_connection, source)
    time.sleep(SETTLE_S)
    assert client.call(actions.open_connection, source, VIP, hosts.PORT) == "h2"
    client.call(actions.abort_connection, source)


def test_a_connection_that_was_idle_goes_on_whatever_is_forgotten_meanwhile(pair: Pair) -> None:
    """One of each owner, made before and during the move: what noted their SYNs has run out when they talk again."""
    old, new = pair.hosts
    elder, younger, client = ("10.80.0.10", 30_010), ("10.80.0.11", 30_011), pair.segment.client.engine
    old.engine.call(steps.forget_syns_soon, Wish(SHARED, dict.fromkeys(hosts.ALL, SlotState.OPEN)))
    new.engine.call(steps.forget_syns_soon, Wish(SHARED))
    try:
        assert client.call(actions.open_connection, elder, VIP, hosts.PORT) == "h1"
        hosts.prepare(old, new)
        told = hosts.hand_over(old)
        new.engine.call(steps.refuse, SHARED.resource, told)
        put(new, SlotState.OPENING)
        new.engine.call(steps.release, SHARED.resource)
        assert client.call(actions.open_connection, younger, VIP, hosts.PORT) == "h2"
        time.sleep(2 * steps.SOON_S)
        for host in pair.hosts:
            host.engine.call(actions.repair)
            assert host.engine.call(steps.expiring_flows, SHARED) == 0
        assert client.call(actions.converse, elder, ["a"]) == ["a"]
        assert client.call(actions.converse, younger, ["b"]) == ["b"]
    finally:
        for source in (elder, younger):
            client.call(actions.abort_connection, source)


def test_real_clients_that_come_between_closing_and_opening_are_let_in_at_once(pair: Pair) -> None:
    """Their kernel leaves checksums to the device, as guests on the same machine do."""
    old, new = pair.hosts
    sources = [(f"10.80.9.{number}", 31_000 + number) for number in range(1, 51)]
    hosts.prepare(old, new)
    told = hosts.hand_over(old)
    pair.segment.client.service.call(actions.start_tap)
    pair.segment.client.engine.send(actions.connect_all, sources, VIP, hosts.PORT, hosts.PATIENCE_S)
    time.sleep(2 * SETTLE_S)
    new.engine.call(steps.refuse, SHARED.resource, told)
    put(new, SlotState.OPENING)
    held = new.engine.call(steps.release, SHARED.resource)
    assert held == len(sources) or pair.kinds[1] == "raw"  # whose forwarder may not have got that far
    attempts = pair.segment.client.engine.receive()
    frames = pair.segment.client.service.call(actions.stop_tap)
    assert isinstance(attempts, list)
    assert {attempt.outcome for attempt in attempts} == {"h2"}
    theirs = [frame for frame in frames if frame[30:33] == bytes((10, 80, 9))]
    assert [tcp_flags(frame) for frame in theirs].count("SA") == len(sources)


def test_a_host_that_is_taken_down_after_a_move_keeps_nothing_of_it(pair: Pair) -> None:
    old, new = pair.hosts
    before = new.run("ip", "-brief", "link")
    hosts.move(old, new)
    put(new, SlotState.CLOSED)
    new.engine.call(actions.remove)
    try:
        left = new.run("ip", "-brief", "link")
        assert "vipheld" not in left
        assert [line for line in left.splitlines() if line not in before.splitlines()] == []
    finally:
        new.engine.call(actions.apply, [Wish(SHARED)])
        new.engine.call(actions.renew, hosts.LONG_LEASE_MS)


def test_a_move_in_which_nothing_is_taken_and_nothing_comes_is_one_as_well(pair: Pair) -> None:
    old, new = pair.hosts
    for giver, taker in ((old, new), (new, old), (old, new)):
        hosts.move(giver, taker)
        assert taker.engine.call(actions.state)[0].states == dict.fromkeys(hosts.ALL, SlotState.OPEN)
