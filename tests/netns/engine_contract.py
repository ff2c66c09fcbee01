"""What every engine must do, with real packets: subclass `EngineContract` and name the engine's maker.

    class TestNftEngine(EngineContract):
        maker = "datapath.nft.engine:NftEngine"

`maker` is `module:callable`; inside a host's namespace it is called with the run directory and returns the engine.
Three hosts and a client share a segment of their own for all tests of a class; each test begins and ends with hosts
that know nothing of vipcast.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import ClassVar

import pytest

from datapath.engine import Address, DatapathError, HashKind, SlotState, Wish
from datapath.hashing import is_neighbour_discovery, key_of, slot, slot_for
from datapath.mac import shared_mac
from tests.netns import actions
from tests.netns.frames import Shape, breaking_resets, shapes, tcp_flags
from tests.netns.segment import CLIENT, CLIENTS, PREFIXLEN, VIP, Member, Segment

PORT = 8080
HOSTS = 3
SLOTS = 4
PATIENCE_S = 15.0
SILENCE_S = 0.4
LONG_LEASE_MS = 60_000

ADDRESS = Address(
    resource="VIP",
    ip=IPv4Address(VIP),
    prefixlen=PREFIXLEN,
    interface="eth0",
    mac=shared_mac(IPv4Address(VIP), PREFIXLEN),
    hash_kind=HashKind.SOURCEIP,
    seed=0x1234ABCD,
    slots=SLOTS,
)


class EngineContract:
    maker: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def segment(cls) -> Iterator[Segment]:
        with Segment(HOSTS) as segment:
            for host in segment.hosts:
                host.service.call(actions.serve, host.name, VIP, PORT)
                # behind the client as a router: the kernel's neighbour table has 1,024 entries for all namespaces
                host.run("ip", "route", "add", CLIENTS, "via", CLIENT)
            segment.client.run("ip", "route", "add", "local", CLIENTS, "dev", "lo")
            segment.client.run("ip", "neigh", "add", VIP, "lladdr", ADDRESS.mac, "nud", "permanent", "dev", "eth0")
            yield segment

    @pytest.fixture
    def hosts(self, segment: Segment, tmp_path: Path) -> Iterator[list[Member]]:
        """The hosts, each with a started engine that holds nothing."""
        for host in segment.hosts:
            host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        try:
            yield segment.hosts
        finally:
            for host in segment.hosts:
                if not host.engine.is_idle:  # the test has failed in the middle of a call
                    host.restart_engine()
                    host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
                host.engine.call(actions.remove)
                host.engine.call(actions.close)

    # who answers whom

    @pytest.mark.parametrize("kind", list(HashKind))
    def test_each_client_is_answered_by_the_host_that_the_hash_names(
        self, segment: Segment, hosts: list[Member], kind: HashKind
    ) -> None:
        address = replace(ADDRESS, hash_kind=kind)
        owner = {0: hosts[0], 1: hosts[1], 2: hosts[2], 3: hosts[0]}
        share(address, hosts, owner)
        sources = many_sources(300)
        segment.client.service.call(actions.start_tap)
        attempts = segment.client.engine.call(actions.connect_all, sources, VIP, PORT, PATIENCE_S)
        frames = segment.client.service.call(actions.stop_tap)
        expected = [owner[slot_of_source(address, source)].name for source in sources]
        assert [attempt.outcome for attempt in attempts] == expected
        assert set(expected) == {host.name for host in hosts}
        flags = [tcp_flags(frame) for frame in frames]
        assert flags.count("SA") == len(sources)
        assert breaking_resets(frames) == []

    def test_every_datagram_is_answered_once(self, segment: Segment, hosts: list[Member]) -> None:
        address = replace(ADDRESS, hash_kind=HashKind.SOURCEIP_SOURCEPORT)
        owner = {0: hosts[0], 1: hosts[1], 2: hosts[2], 3: hosts[1]}
        share(address, hosts, owner)
        sources = many_sources(200)
        answers = segment.client.engine.call(actions.send_datagrams, sources, VIP, PORT, 1.0)
        expected = [[owner[slot_of_source(address, source)].name] for source in sources]
        assert [answers[number] for number in range(len(sources))] == expected

    @pytest.mark.parametrize("kind", list(HashKind))
    def test_every_shape_of_packet_goes_where_the_pure_hash_says(
        self, segment: Segment, hosts: list[Member], kind: HashKind
    ) -> None:
        address = replace(ADDRESS, hash_kind=kind, slots=64)
        odd = dict.fromkeys(range(1, 64, 2), SlotState.OPEN)
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(address, odd)])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert misjudged(segment, host, Wish(address, odd), shapes(address)) == []

    def test_traffic_to_other_addresses_is_not_touched(self, segment: Segment, hosts: list[Member]) -> None:
        share(ADDRESS, hosts, {0: hosts[0]})
        for host in hosts:
            segment.client.run("ping", "-c", "1", "-W", "2", host.ip)

    # leases

    def test_nothing_is_accepted_without_a_lease(self, segment: Segment, hosts: list[Member]) -> None:
        hosts[0].engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPEN))])
        assert outcomes(segment, many_sources(20), SILENCE_S) == {"silence"}
        hosts[0].engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1"}

    def test_a_deadline_in_the_past_closes(self, segment: Segment, hosts: list[Member]) -> None:
        hosts[0].engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPEN))])
        hosts[0].engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1"}
        hosts[0].engine.call(actions.renew_until, 0)
        assert outcomes(segment, many_sources(20), SILENCE_S) == {"silence"}

    def test_a_lease_ends_by_itself_while_the_daemon_is_stopped(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPEN))])
        host.engine.send(actions.renew_again_and_again, 20, 300, 1000)
        assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1"}
        host.engine.stop()
        time.sleep(0.35)  # longer than the lease: the clock under test is the kernel's
        assert outcomes(segment, many_sources(20), SILENCE_S) == {"silence"}
        host.engine.go_on()
        assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1"}

    def test_renewing_loses_no_packet(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPEN))])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        frames = next(shape for shape in shapes(ADDRESS) if shape.name == "UDP").frames
        before = accepted(host)
        host.engine.send(actions.renew_again_and_again, 1, 2000, 1000)
        for _ in range(50):
            segment.client.service.call(actions.send_frames, frames * 10)
        host.engine.receive()
        assert settled_accepted(host, before + 500 * len(frames)) - before == 500 * len(frames)

    # moves

    def test_a_draining_slot_keeps_its_connections_while_new_ones_go_elsewhere(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        old, new = hosts[0], hosts[1]
        share(ADDRESS, [old, new], dict.fromkeys(range(SLOTS), old))
        client = segment.client.engine
        long_lived = ("10.80.0.7", 30_001)
        moving = slot_of_source(ADDRESS, long_lived)
        fresh = [source for source in many_sources(200) if slot_of_source(ADDRESS, source) == moving][:20]
        assert client.call(actions.open_connection, long_lived, VIP, PORT) == "h1"

        open_rest = {number: SlotState.OPEN for number in range(SLOTS) if number != moving}
        old.engine.call(actions.apply, [Wish(ADDRESS, open_rest | {moving: SlotState.DRAINING})])
        new.engine.call(actions.apply, [Wish(ADDRESS, {moving: SlotState.OPENING})])
        segment.client.service.call(actions.start_tap)
        assert client.call(actions.converse, long_lived, ["a", "b", "c"]) == ["a", "b", "c"]
        assert outcomes(segment, fresh, PATIENCE_S) == {"h2"}
        # what an earlier test left half-closed is a connection too, until its last segment was acknowledged
        assert until(lambda: old.engine.call(actions.flows_left, "VIP", moving), 1) == 1
        frames = segment.client.service.call(actions.stop_tap)
        assert breaking_resets(frames) == []

        client.call(actions.close_connection, long_lived)
        assert until(lambda: old.engine.call(actions.flows_left, "VIP", moving), 0) == 0
        old.engine.call(actions.apply, [Wish(ADDRESS, open_rest)])
        new.engine.call(actions.apply, [Wish(ADDRESS, {moving: SlotState.OPEN})])
        assert outcomes(segment, fresh, PATIENCE_S) == {"h2"}

    def test_connections_that_are_made_during_a_move_all_come_about(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        old, new = hosts[0], hosts[1]
        share(ADDRESS, [old, new], dict.fromkeys(range(SLOTS), old))
        segment.client.service.call(actions.start_tap)
        segment.client.engine.send(actions.connect_all, many_sources(1500), VIP, PORT, 2 * PATIENCE_S)
        old.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.DRAINING))])
        new.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPENING))])
        attempts = segment.client.engine.receive()
        assert isinstance(attempts, list)
        assert {attempt.outcome for attempt in attempts} <= {"h1", "h2"}
        frames = segment.client.service.call(actions.stop_tap)
        assert breaking_resets(frames) == []

    def test_a_client_that_takes_its_port_again_is_the_new_owners(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """The old owner had a connection with these ports when it began to drain; it must not answer a new SYN."""
        old, new = hosts[0], hosts[1]
        share(ADDRESS, [old, new], dict.fromkeys(range(SLOTS), old))
        source = ("10.80.0.9", 30_009)
        client = segment.client.engine
        assert client.call(actions.open_connection, source, VIP, PORT) == "h1"
        old.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.DRAINING))])
        new.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPENING))])
        client.call(actions.abort_connection, source)
        assert until(lambda: old.engine.call(actions.flows_left, "VIP", slot_of_source(ADDRESS, source)), 0) == 0
        old.engine.call(actions.repair)
        segment.client.service.call(actions.start_tap)
        assert outcomes(segment, [source], PATIENCE_S) == {"h2"}
        answers = [flags for frame in segment.client.service.call(actions.stop_tap) if (flags := tcp_flags(frame))]
        assert answers.count("SA") == 1

    def test_a_connection_of_an_opening_slot_goes_on_when_the_slot_is_open(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        source = ("10.80.0.8", 30_002)
        number = slot_of_source(ADDRESS, source)
        host.engine.call(actions.apply, [Wish(ADDRESS, {number: SlotState.OPENING})])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        client = segment.client.engine
        assert client.call(actions.open_connection, source, VIP, PORT) == "h1"
        assert client.call(actions.converse, source, ["a", "b"]) == ["a", "b"]
        host.engine.call(actions.apply, [Wish(ADDRESS, {number: SlotState.OPEN})])
        assert client.call(actions.converse, source, ["c"]) == ["c"]
        host.engine.call(actions.apply, [Wish(ADDRESS, {number: SlotState.DRAINING})])
        assert client.call(actions.converse, source, ["d"]) == ["d"]
        client.call(actions.close_connection, source)

    def test_an_opening_slot_is_silent_about_connections_that_are_not_its_own(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """Their segments belong to the old owner: an RST from here would break them."""
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPENING))])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        strangers = next(shape for shape in shapes(ADDRESS) if shape.name == "TCP segments of a connection")
        segment.client.service.call(actions.start_tap)
        segment.client.engine.call(actions.send_frames, strangers.frames)
        assert outcomes(segment, many_sources(5), PATIENCE_S) == {"h1"}
        frames = segment.client.service.call(actions.stop_tap)
        assert breaking_resets(frames) == []

    # wishes

    def test_state_reads_back_what_was_wished(self, segment: Segment, hosts: list[Member]) -> None:
        other = replace(
            ADDRESS,
            resource="other-ip",
            ip=IPv4Address("10.77.255.2"),
            mac=shared_mac(IPv4Address("10.77.255.2"), PREFIXLEN),
            hash_kind=HashKind.SOURCEIP_SOURCEPORT_DESTPORT,
            slots=300,
        )
        wishes = [
            Wish(ADDRESS, {0: SlotState.OPEN, 1: SlotState.DRAINING, 2: SlotState.OPENING, 3: SlotState.CLOSED}),
            Wish(other, {0: SlotState.OPEN, 299: SlotState.OPEN}),
        ]
        engine = hosts[0].engine
        assert engine.call(actions.state) == []
        engine.call(actions.apply, wishes)
        found = {wish.address.resource: wish for wish in engine.call(actions.state)}
        assert found["VIP"] == Wish(ADDRESS, {number: wishes[0].states[number] for number in (0, 1, 2)})
        assert found["other-ip"] == wishes[1]
        assert engine.call(actions.apply, wishes) == []
        changes = engine.call(actions.apply, [wishes[1]])
        assert [(change.address, change.what) for change in changes] == [("VIP", "removed")]
        assert engine.call(actions.state) == [wishes[1]]

    def test_a_wrong_wish_is_refused_and_changes_nothing(self, hosts: list[Member]) -> None:
        engine = hosts[0].engine
        right = Wish(ADDRESS, {0: SlotState.OPEN})
        engine.call(actions.apply, [right])
        before = fingerprint(hosts[0])
        for wrong, named in (
            (Wish(replace(ADDRESS, interface="eth7"), {0: SlotState.OPEN}), "eth7"),
            (Wish(ADDRESS, {SLOTS: SlotState.OPEN}), f"slot {SLOTS}"),
            (Wish(replace(ADDRESS, mac="00:11:22:33:44:55"), {}), "00:11:22:33:44:55"),
            (Wish(replace(ADDRESS, slots=0), {}), "slots"),
        ):
            with pytest.raises(DatapathError, match=named):
                engine.call(actions.apply, [wrong])
            assert engine.call(actions.state) == [right]
            assert fingerprint(hosts[0]) == before

    def test_remove_leaves_the_host_as_it_was(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_announce=1")
        before = fingerprint(host)
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPEN))])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(5), PATIENCE_S) == {"h1"}
        assert fingerprint(host) != before
        host.engine.call(actions.remove)
        assert fingerprint(host) == before

    def test_a_new_process_inherits_what_runs_under_lease(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        wish = Wish(ADDRESS, all_slots(SlotState.OPEN))
        host.engine.call(actions.apply, [wish])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.restart_engine()
        self.assert_survives_the_process(segment, host)
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        host.engine.call(actions.apply, [wish])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(5), PATIENCE_S) == {"h1"}
        host.engine.call(actions.remove)
        assert host.engine.call(actions.state) == []

    def assert_survives_the_process(self, segment: Segment, host: Member) -> None:
        """Between two processes: an engine in the kernel goes on; one in user space must be silent."""
        assert outcomes(segment, many_sources(5), PATIENCE_S) == {host.name}


# helpers, also for the tests of one engine


def share(address: Address, hosts: Sequence[Member], owner: Mapping[int, Member]) -> None:
    """Give each slot to its owner and all hosts a long lease."""
    for host in hosts:
        states = {number: SlotState.OPEN for number, of in owner.items() if of is host}
        host.engine.call(actions.apply, [Wish(address, states)])
        host.engine.call(actions.renew, LONG_LEASE_MS)


def all_slots(state: SlotState) -> dict[int, SlotState]:
    return dict.fromkeys(range(SLOTS), state)


def many_sources(count: int) -> list[tuple[str, int]]:
    """Client addresses and ports, all different."""
    return [(f"10.80.{n % 250}.{1 + n // 250}", 20_000 + n) for n in range(count)]


def slot_of_source(address: Address, source: tuple[str, int]) -> int:
    key = key_of(address.hash_kind, IPv4Address(source[0]), source[1], PORT)
    return slot(key, address.seed, address.slots)


def outcomes(segment: Segment, sources: Sequence[tuple[str, int]], patience_s: float) -> set[str]:
    """How connections from these sources fared, each outcome once."""
    attempts = segment.client.engine.call(actions.connect_all, sources, VIP, PORT, patience_s)
    return {attempt.outcome for attempt in attempts}


def misjudged(segment: Segment, host: Member, wish: Wish, sent: Sequence[Shape]) -> list[str]:
    """Send each shape to a host that holds this wish; those of which it accepted other than the hash says."""
    wrong = []
    for shape in sent:
        before = accepted(host)
        segment.client.service.call(actions.send_frames, shape.frames)
        expected = sum(is_accepted(wish.address, packet, wish.states) for packet in shape.packets)
        if (got := settled_accepted(host, before + expected) - before) != expected:
            wrong.append(f"{shape.name}: {got} of {len(shape.packets)} accepted, the hash says {expected}")
    return wrong


def is_accepted(address: Address, packet: bytes, states: Mapping[int, SlotState]) -> bool:
    if is_neighbour_discovery(packet):
        return False
    number = slot_for(address, packet)
    return isinstance(number, int) and states.get(number) is SlotState.OPEN


def accepted(host: Member) -> int:
    return sum(c.packets for c in host.engine.call(actions.counters) if c.verdict == "accepted")


def settled_accepted(host: Member, expected: int) -> int:
    """The count once it has reached what is expected, and a moment later, to see that it stays there."""
    until(lambda: accepted(host), expected)
    time.sleep(0.02)
    return accepted(host)


def until(probe: object, wanted: int, patience_s: float = 15.0) -> int:
    """Ask until the answer is as wanted, or patience ends; the last answer."""
    assert callable(probe)
    end = time.monotonic() + patience_s
    while (value := int(probe())) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return value


def fingerprint(host: Member) -> str:
    """All of a host that an engine may touch."""
    settings = [
        f"net.ipv4.conf.{interface}.{name}"
        for interface in ("all", "default", "eth0", "lo")
        for name in ("arp_ignore", "arp_announce", "drop_unicast_in_l2_multicast", "rp_filter")
    ] + [
        f"net.ipv6.conf.{interface}.drop_unicast_in_l2_multicast" for interface in ("all", "default", "eth0", "lo")
    ]
    return "\n".join(
        (
            host.run("ip", "-brief", "link"),
            host.run("ip", "addr", "show", "scope", "host"),
            host.run("ip", "-brief", "addr"),
            *sorted(host.run("ip", "maddr", "show", "dev", "eth0").splitlines()),
            host.run("ip", "rule"),
            host.run("ip", "route", "show", "table", "all"),
            host.run("nft", "--stateless", "list", "ruleset"),  # counters go on by what still repeats itself
            host.run("sysctl", *settings),
        )
    )
