"""The transport on a real multicast segment: stations in namespaces of their own, a bridge between them.

Each station is a thread: setns(2) moves one thread, so its event loop and every socket that it opens live there.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import pytest

from daemon.cluster.clock import boot_ns
from daemon.cluster.messages import (
    BODY_BYTES_MAX,
    Append,
    Heartbeat,
    Message,
    Proposal,
    Propose,
    Reject,
    VoteAnswer,
)
from daemon.cluster.seal import Sealer
from daemon.cluster.statistics import Statistics
from daemon.cluster.timers import Timers
from daemon.cluster.transport import Transport
from daemon.settings import Cluster, Datapath, Link, Node, Paths, Realtime, Settings
from tests.lab.namespaces import CLONE_NEWNET, setns
from tests.netns import named

pytestmark = pytest.mark.root

T = TypeVar("T")
Cipher = Literal["aes-256-gcm", "chacha20-poly1305"]

KEY = bytes(range(32))
GROUP, PORT = "239.192.110.1", 5405
MEMBERS = ("a1", "a2", "a3")
PATIENCE_S = 20
REPORTS_NS = 3_000_000_000
"""after this a kernel has repeated its reports (RFC 3376, 8.10 and 8.11) and answered the switch's first query"""


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class Segment:
    """Namespaces with one bridge for each link; station N has 10.80.LINK.N on ethLINK."""

    def __init__(self, links: int) -> None:
        self.links = links
        self._token = f"vt{os.getpid()}{secrets.token_hex(2)}"
        self._namespaces: list[str] = []
        self._stations: list[Station] = []

    def __enter__(self) -> Segment:
        try:
            self.switch = self._namespace("sw")
            for link in range(self.links):
                ip("-n", self.switch, "link", "add", f"br{link}", "type", "bridge", "mcast_snooping", "0")
                ip("-n", self.switch, "link", "set", f"br{link}", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for station in self._stations:
            station.end()
        for namespace in reversed(self._namespaces):
            named.delete(namespace)

    def _namespace(self, name: str) -> str:
        namespace = f"{self._token}{name}"
        named.add(namespace)
        self._namespaces.append(namespace)
        return namespace

    def plug(self, namespace: str, number: int, link: int, index: str = "") -> None:
        """Give the namespace an interface on a link (again), under an index of its own or the one that is told."""
        port = f"p{number}l{link}"
        own = ("index", index) if index else ()
        ip("-n", namespace, "link", "add", f"eth{link}", *own, "type", "veth", "peer", port, "netns", self.switch)
        ip("-n", self.switch, "link", "set", port, "master", f"br{link}", "up")
        ip("-n", namespace, "addr", "add", f"10.80.{link}.{number}/24", "dev", f"eth{link}")
        ip("-n", namespace, "link", "set", f"eth{link}", "up")

    def station(self, name: str, incarnation: int = 1, **other: bytes) -> Station:
        """A member with its transport open."""
        station = self.host(name)
        station.open(incarnation, other.get("key", KEY))
        return station

    def host(self, name: str) -> Station:
        """A member whose transport is not open yet."""
        namespace = self._namespace(f"{name}{len(self._namespaces)}")
        number = len(self._namespaces)
        for link in range(self.links):
            self.plug(namespace, number, link)
        station = Station(name, namespace, number, self.links)
        self._stations.append(station)
        return station


@dataclass
class Station:
    """One member: a thread in its namespace that runs an event loop."""

    name: str
    namespace: str
    number: int
    links: int
    heard: list[tuple[str, Message]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.transport: Transport | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        descriptor = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(descriptor, CLONE_NEWNET)
        finally:
            os.close(descriptor)
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run it on the station's loop."""
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return outcome.result(PATIENCE_S)

    def open(
        self,
        incarnation: int,
        key: bytes = KEY,
        cipher: Cipher = "aes-256-gcm",
        group: str = GROUP,
        peers: tuple[str, ...] = (),
        ports: tuple[int, ...] = (PORT,),
    ) -> None:
        links = tuple(
            Link(interface=f"eth{link}", group=group, port=port, peers=peers)
            for link in range(self.links)
            for port in ports
        )
        settings = Settings(
            file=Path("/nowhere"),
            cluster=Cluster(name="demo", nodes=MEMBERS, cipher=cipher),
            node=Node(name=self.name),
            links=links,
            timers=Timers(),
            datapath=Datapath(),
            paths=Paths(),
            realtime=Realtime(),
        )
        opening = Transport.open(settings, key, incarnation, MEMBERS, self._received, boot_ns)
        self.transport = asyncio.run_coroutine_threadsafe(opening, self._loop).result(PATIENCE_S)

    def _received(self, sender: str, message: Message) -> None:
        self.threads.add(threading.get_ident())
        self.heard.append((sender, message))

    def send(self, to: str | None, message: Message) -> None:
        transport = self.transport
        assert transport is not None
        self.call(lambda: transport.send(to, message))

    def statistics(self) -> Statistics:
        assert self.transport is not None
        return self.call(self.transport.statistics)

    def close(self) -> None:
        if self.transport is not None:
            self.call(self.transport.close)
            self.call(lambda: None)  # the loop's next turn frees the ports
            self.transport = None

    def end(self) -> None:
        if self._thread.is_alive():
            self.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)

    def packets(self, interface: str) -> socket.socket:
        """A raw socket in this station's namespace that sees what arrives."""

        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            sock.bind((interface, 0x0800))
            sock.settimeout(0.2)
            return sock

        return self.call(opened)

    def plain(self) -> socket.socket:
        """An ordinary UDP socket in this station's namespace."""
        return self.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment(links=1) as one:
        yield one


def until(condition: Callable[[], object], repeat: Callable[[], object] = lambda: None) -> None:
    """Wait for `condition`, doing `repeat` now and then; a bounded number of times."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.02)):
        if condition():
            return
        repeat()
        pause.wait(0.02)
    raise AssertionError("what was waited for did not happen")


def acquainted(*stations: Station) -> None:
    """Everybody has heard everybody, as the first heartbeats bring it about."""

    def all_heard() -> bool:
        return all({name for name, _ in one.heard} >= {o.name for o in stations} - {one.name} for one in stations)

    until(all_heard, lambda: [one.send(None, Reject(0)) for one in stations])
    settle(*stations)


def settle(*stations: Station) -> None:
    """What was sent so far has arrived; it is not what the test is about."""
    marks = [Reject(secrets.randbits(40)) for _ in stations]
    for one, mark in zip(stations, marks, strict=True):
        until(
            lambda mark=mark, one=one: all(any(m == mark for _, m in o.heard) for o in stations if o is not one),
            lambda mark=mark, one=one: one.send(None, mark),
        )
    for one in stations:
        one.heard.clear()


def heartbeat(incarnation: int = 1, sequence: int = 1) -> Heartbeat:
    return Heartbeat(incarnation, "boot", sequence, 1, 0, {})


def test_a_multicast_reaches_every_other_member_once(segment: Segment) -> None:
    stations = [segment.station(name) for name in MEMBERS]
    acquainted(*stations)
    stations[0].send(None, heartbeat(sequence=5))
    until(lambda: stations[1].heard and stations[2].heard)
    assert stations[1].heard == stations[2].heard == [("a1", heartbeat(sequence=5))]
    assert stations[0].heard == []


def test_a_message_to_one_member_goes_to_its_address_alone(segment: Segment) -> None:
    stations = [segment.station(name) for name in MEMBERS]
    acquainted(*stations)
    before = stations[2].statistics().links["eth0"]["received"]
    stations[0].send("a2", Reject(77))
    until(lambda: stations[1].heard)
    assert stations[1].heard == [("a1", Reject(77))]
    assert stations[2].statistics().links["eth0"]["received"] == before


def test_a_message_to_a_member_that_was_never_heard_is_multicast(segment: Segment) -> None:
    one = segment.station("a1")
    tap = segment.host("a2").packets("eth0")
    one.send("a3", Reject(1))
    until(lambda: GROUP in destinations(tap))
    tap.close()


def test_what_is_for_one_member_is_taken_by_nobody_else_though_it_goes_to_all_where_he_was_not_heard() -> None:
    """A vote that two candidates count makes two leaders."""
    with Segment(links=2) as segment:
        candidate, voter, rival = stations = [segment.station(name) for name in MEMBERS]
        ip("-n", candidate.namespace, "link", "set", "eth1", "down")
        acquainted(*stations)
        voter.send("a1", VoteAnswer(1, True))
        until(lambda: candidate.heard and rival.statistics().refusals.get("not-for-us"))
        assert candidate.heard == [("a2", VoteAnswer(1, True))]
        assert rival.heard == []


def destinations(tap: socket.socket) -> list[str]:
    found = []
    try:
        while True:
            frame = tap.recv(2048)
            if frame[23] == socket.IPPROTO_UDP and struct.unpack_from("!H", frame, 36) == (PORT,):
                found.append(socket.inet_ntoa(frame[30:34]))
    except TimeoutError:
        return found


def test_long_messages_arrive_whole_and_in_datagrams_that_fit_the_link(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    big = Propose(1, [Proposal(1, secrets.token_bytes(150_000))])
    until(lambda: other.heard, lambda: one.send("a2", big))
    assert other.heard[0] == ("a1", big)
    log = Append(1, 1, 0, 0, [], 0, True)
    other.send("a1", log)
    until(lambda: one.heard)
    assert one.heard == [("a2", log)]


def test_a_proposal_of_the_greatest_size_arrives(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    whole = Propose(1, [Proposal(1, bytes(BODY_BYTES_MAX))])
    until(lambda: other.heard, lambda: one.send("a2", whole))
    assert other.heard[0] == ("a1", whole)


def test_nodes_with_different_ciphers_understand_each_other(segment: Segment) -> None:
    one, other = segment.host("a1"), segment.host("a2")
    one.open(1, cipher="aes-256-gcm")
    other.open(1, cipher="chacha20-poly1305")
    acquainted(one, other)


def test_a_node_without_multicast_takes_part_by_unicast_and_gets_what_goes_to_all(segment: Segment) -> None:
    one, other, apart = segment.station("a1"), segment.station("a2"), segment.host("w1")
    apart.open(1, group="", peers=(f"10.80.0.{one.number}", f"10.80.0.{other.number}"))
    acquainted(one, other, apart)
    one.send(None, heartbeat(sequence=8))
    until(lambda: apart.heard and other.heard)
    assert apart.heard == other.heard == [("a1", heartbeat(sequence=8))]
    apart.send("a2", Reject(3))
    until(lambda: other.heard[1:])
    assert other.heard[1] == ("w1", Reject(3))
    groups = apart.call(lambda: Path("/proc/thread-self/net/igmp").read_text())
    assert socket.inet_aton(GROUP)[::-1].hex().upper() not in groups


def test_a_flood_is_dropped_by_the_kernel_and_not_queued_by_us(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    flood = segment.host("a3").plain()
    transport = other.transport
    assert transport is not None
    (link,) = transport._links
    queued: list[int] = []
    receive = link._on_datagram

    def observed(datagram: bytes, source: tuple[str, int]) -> None:
        assert link._stream is not None
        queued.append(link._stream._recvq.qsize())
        receive(datagram, source)

    link._on_datagram = observed
    for _ in range(20_000):
        flood.sendto(bytes(100), (f"10.80.0.{other.number}", PORT))
    until(lambda: other.heard, lambda: one.send("a2", Reject(5)))
    flood.close()
    assert 100 < len(queued) < 10_000, "a few were looked at, the kernel dropped the rest"
    assert max(queued) <= 3


def test_two_links_deliver_once_and_either_alone_suffices() -> None:
    with Segment(links=2) as segment:
        one, other = segment.station("a1"), segment.station("a2")
        acquainted(one, other)
        one.send(None, heartbeat(sequence=1))
        one.send("a2", heartbeat(sequence=2))
        until(lambda: len(other.heard) >= 2)
        settle_sequences = [m.sequence for _, m in other.heard if isinstance(m, Heartbeat)]
        assert settle_sequences == [1, 2]
        assert other.statistics().refusals["replayed"] > 0
        for broken in (0, 1):
            ip("-n", one.namespace, "link", "set", f"eth{broken}", "down")
            other.heard.clear()
            one.send(None, heartbeat(sequence=10 + broken))
            until(lambda: other.heard)
            assert [m for _, m in other.heard] == [heartbeat(sequence=10 + broken)]
            ip("-n", one.namespace, "link", "set", f"eth{broken}", "up")
            ip("-n", one.namespace, "addr", "replace", f"10.80.{broken}.{one.number}/24", "dev", f"eth{broken}")


def test_a_group_that_the_switch_eats_is_told_and_unicast_takes_its_place_until_it_heals(
    segment: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)

    def troubles() -> list[str]:
        return [peer.trouble for peer in one.statistics().peers["eth0"] if peer.name == "a2"]

    until(lambda: one.statistics().peers["eth0"][0].unicast_ms is not None)
    nft = ["ip", "netns", "exec", segment.switch, "nft"]
    rules = "add table bridge t; add chain bridge t f { type filter hook forward priority 0; };"
    rules += "add rule bridge t f ether daddr 01:00:5e:40:6e:01 drop"
    subprocess.run([*nft, rules], check=True)
    until(lambda: "querier" in troubles()[0], lambda: [o.send("a1", Reject(0)) for o in (other,)])
    one.heard.clear()
    until(lambda: one.heard, lambda: other.send(None, Reject(5)))
    assert one.heard[-1] == ("a2", Reject(5)), "by unicast, since a1 hears no group"
    subprocess.run([*nft, "delete table bridge t"], check=True)
    until(lambda: troubles() == [""], lambda: other.send(None, Reject(6)))
    said = [line for line in caplog.messages if "the group does not bring what a2" in line]
    assert len(said) == 1


def test_of_two_links_the_lost_one_is_shown_and_said_and_nothing_else_happens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Segment(links=2) as segment:
        one, other = segment.station("a1"), segment.station("a2")
        acquainted(one, other)
        ip("-n", other.namespace, "link", "set", "eth1", "down")

        def trouble() -> dict[str, str]:
            peers = one.statistics().peers
            return {link: next(p.trouble for p in peers[link] if p.name == "a2") for link in peers}

        until(
            lambda: trouble() == {"eth0": "", "eth1": "not heard on this link"},
            lambda: other.send(None, heartbeat(sequence=3)),
        )
        until(
            lambda: any("link eth1: a2 not heard here now" in line for line in caplog.messages),
            lambda: other.send(None, heartbeat(sequence=4)),
        )


def test_two_links_on_one_interface_are_told_apart(segment: Segment, caplog: pytest.LogCaptureFixture) -> None:
    one, other = segment.host("a1"), segment.host("a2")
    for station in (one, other):
        station.open(1, ports=(PORT, PORT + 1))
    acquainted(one, other)
    rules = "add table bridge t; add chain bridge t f { type filter hook forward priority 0; };"
    rules += f"add rule bridge t f udp dport {PORT + 1} drop"
    subprocess.run(["ip", "netns", "exec", segment.switch, "nft", rules], check=True)

    def trouble() -> dict[str, str]:
        peers = one.statistics().peers
        return {link: next(p.trouble for p in peers[link] if p.name == "a2") for link in peers}

    until(
        lambda: trouble() == {"eth0:5405": "", "eth0:5406": "not heard on this link"},
        lambda: other.send(None, heartbeat(sequence=3)),
    )
    until(
        lambda: any("link eth0:5406: a2 not heard here now" in line for line in caplog.messages),
        lambda: other.send(None, heartbeat(sequence=4)),
    )
    assert set(one.statistics().links) == {"eth0:5405", "eth0:5406"}
    other.heard.clear()
    one.send("a2", Reject(9))
    until(lambda: other.heard)
    assert other.heard == [("a1", Reject(9))]


def test_garbage_and_forgeries_change_nothing_and_are_counted(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    stranger = segment.host("a3")
    acquainted(one, other)
    plain = stranger.plain()
    forged = Sealer(bytes(32), "demo", "a1", 9, salt=bytes(16))
    known = Sealer(KEY, "demo", "mallory", 9, salt=bytes(16))
    target = (f"10.80.0.{other.number}", PORT)
    for _ in range(10):
        plain.sendto(secrets.token_bytes(200), target)
        plain.sendto(forged.seal(b"\x01" + bytes(50)), target)
        plain.sendto(known.seal(b"\x01" + bytes(50)), target)
        plain.sendto(b"", target)  # the kernel drops it: it is too short to be anybody's
    plain.close()
    until(lambda: sum(other.statistics().refusals.values()) >= 30)
    one.send("a2", Reject(5))
    until(lambda: other.heard)
    assert other.heard == [("a1", Reject(5))]
    refused = other.statistics().refusals
    assert refused["malformed"] == 10
    assert refused["wrong-key"] == 10
    assert refused["unproven"] >= 10, "who has the key and has not greeted us could be a recording"


def test_recorded_datagrams_change_nothing_not_even_at_a_member_that_has_just_started(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    recorder = segment.host("a3")
    acquainted(one, other)
    tap = recorder.packets("eth0")
    for sequence in range(20):
        one.send(None, heartbeat(sequence=sequence))
    until(lambda: len(other.heard) == 20)
    recorded = []
    while len(recorded) < 20:
        frame = tap.recv(2048)
        if socket.inet_ntoa(frame[30:34]) == GROUP and frame[26:30] == socket.inet_aton(f"10.80.0.{one.number}"):
            recorded.append(frame[42:])
    tap.close()
    other.heard.clear()
    replay = recorder.plain()
    target = (f"10.80.0.{other.number}", PORT)

    def replayed() -> None:
        for datagram in recorded:
            replay.sendto(datagram, target)

    replayed()
    until(lambda: other.statistics().refusals.get("replayed", 0) >= 20)
    other.close()
    other.open(incarnation=2)
    replayed()
    until(lambda: other.statistics().refusals.get("unproven", 0) >= 20)
    assert other.heard == []
    acquainted(one, other)
    before = other.statistics().refusals.get("replayed", 0)
    replayed()
    until(lambda: other.statistics().refusals.get("replayed", 0) >= before + 20)
    assert other.heard == []
    replay.close()


def test_a_member_that_starts_again_is_heard_and_its_former_self_is_not(segment: Segment) -> None:
    one, other = segment.station("a1", incarnation=5), segment.station("a2")
    acquainted(one, other)
    one.close()
    one.open(incarnation=6)
    acquainted(one, other)
    one.close()
    one.open(incarnation=5)
    one.send(None, heartbeat(5))
    until(lambda: other.statistics().refusals.get("old-incarnation"), lambda: one.send(None, heartbeat(5)))
    assert other.heard == []


def test_a_message_that_speaks_for_another_incarnation_is_refused(segment: Segment) -> None:
    one, other = segment.station("a1", incarnation=5), segment.station("a2")
    acquainted(one, other)
    one.send(None, heartbeat(incarnation=4))
    until(lambda: other.statistics().refusals.get("incarnation"))
    assert other.heard == []


def test_an_interface_that_goes_down_and_comes_back_is_used_again(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    ip("-n", one.namespace, "link", "set", "eth0", "down")
    for _ in range(50):
        one.send(None, heartbeat())
    assert "eth0" in one.statistics().troubles
    assert one.statistics().links["eth0"]["unsent"] >= 50
    ip("-n", one.namespace, "link", "set", "eth0", "up")
    acquainted(one, other)
    assert one.statistics().troubles == {}


def test_an_interface_that_is_taken_away_and_put_back_is_joined_again(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    ip("-n", one.namespace, "link", "del", "eth0")
    one.send(None, heartbeat())
    until(lambda: "no such interface" in one.statistics().troubles.get("eth0", ""))
    segment.plug(one.namespace, one.number, 0)
    acquainted(one, other)


def await_group(listener: Station, sender: str) -> None:
    """Wait until a probe to the group comes that is sent from now on: unicast hides nothing from this."""
    since_ns = boot_ns()

    def came() -> bool:
        (peer,) = [peer for peer in listener.statistics().peers["eth0"] if peer.name == sender]
        return peer.group_ms is not None and peer.group_ms * 1_000_000 < boot_ns() - since_ns

    until(came)


def snoop(segment: Segment) -> None:
    """The switch learns who is in a group, and asks; it floods until those who are there have had time to answer."""
    bridge = ("-n", segment.switch, "link", "set", "br0", "type", "bridge")
    ip(*bridge, "mcast_query_response_interval", "100", "mcast_igmp_version", "3")
    ip(*bridge, "mcast_snooping", "1", "mcast_querier", "1")


def members_port(segment: Segment, station: Station) -> bool:
    """Whether the switch delivers the group to the port of this station."""
    show = ["bridge", "-n", segment.switch, "mdb", "show"]
    lines = subprocess.run(show, check=True, capture_output=True, text=True).stdout.splitlines()
    return any(f"port p{station.number}l0 grp {GROUP} " in line for line in lines)


def test_a_flap_is_followed_by_a_new_report_to_the_switch_that_snoops(segment: Segment) -> None:
    snoop(segment)
    one = segment.station("a1")
    until(lambda: members_port(segment, one))
    other = segment.station("a2")
    acquainted(one, other)
    ip("-n", one.namespace, "link", "set", "eth0", "down")
    until(lambda: not members_port(segment, one))
    ip("-n", one.namespace, "link", "set", "eth0", "up")
    until(lambda: members_port(segment, one))
    await_group(one, "a2")
    await_group(other, "a1")


def test_a_switch_that_has_forgotten_a_member_is_told_again(segment: Segment) -> None:
    """As after a pulled cable, a report that was lost, or a new switch: the kernel waits for the next query."""
    snoop(segment)
    one = segment.station("a1")
    until(lambda: members_port(segment, one))
    other = segment.station("a2")
    acquainted(one, other)
    forget = ["bridge", "-n", segment.switch, "mdb", "del", "dev", "br0", "port", f"p{one.number}l0", "grp", GROUP]
    end_ns = boot_ns() + REPORTS_NS
    while boot_ns() < end_ns:
        subprocess.run(forget, check=False, capture_output=True)
        time.sleep(0.02)
    assert not members_port(segment, one)
    until(lambda: members_port(segment, one))
    await_group(one, "a2")


def test_an_interface_that_changes_its_address_stays_in_the_group_and_is_found_at_the_new_one(
    segment: Segment,
) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    ip("-n", one.namespace, "addr", "flush", "dev", "eth0")
    new = f"10.80.0.{one.number + 100}"
    ip("-n", one.namespace, "addr", "add", f"{new}/24", "dev", "eth0")
    await_group(one, "a2")
    await_group(other, "a1")
    transport = other.transport
    assert transport is not None
    until(lambda: other.call(lambda: transport.addresses_on("eth0")) == [new])
    one.heard.clear()
    other.send("a1", Reject(9))
    until(lambda: one.heard)
    assert one.heard == [("a2", Reject(9))]


def test_an_interface_that_comes_back_under_the_same_index_is_joined_again(segment: Segment) -> None:
    one, other = segment.station("a1"), segment.station("a2")
    acquainted(one, other)
    index = str(one.call(lambda: socket.if_nametoindex("eth0")))
    ip("-n", one.namespace, "link", "del", "eth0")
    segment.plug(one.namespace, one.number, 0, index)
    assert str(one.call(lambda: socket.if_nametoindex("eth0"))) == index
    await_group(one, "a2")
    await_group(other, "a1")


def test_a_port_that_another_process_has_is_an_error_at_once(segment: Segment) -> None:
    one = segment.host("a1")
    taken = one.plain()
    one.call(lambda: taken.bind(("", PORT)))
    with pytest.raises(OSError, match="in use"):
        one.open(1)
    taken.close()


def test_nothing_leaves_the_segment(segment: Segment) -> None:
    one = segment.station("a1")
    tap = segment.host("a2").packets("eth0")
    one.send(None, heartbeat())
    while True:
        frame = tap.recv(2048)
        if frame[26:30] == socket.inet_aton(f"10.80.0.{one.number}") and frame[30:34] == socket.inet_aton(GROUP):
            break
    tap.close()
    assert frame[22] == 1, "time to live"
