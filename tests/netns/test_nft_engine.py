"""The nft engine on real packets: the contract of all engines, and what only rules in the kernel can do wrong."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from datapath.engine import DatapathError, HashKind, MacMode, SlotState, Wish
from datapath.mac import shared_mac

pytest.register_assert_rewrite(
    "tests.netns.engine_contract",
    "tests.netns.segment_contract",
    "tests.netns.wayout_contract",
    "tests.netns.membership_contract",
    "tests.netns.field_contract",
)

from tests.netns import actions, nft_actions  # noqa: E402
from tests.netns.engine_contract import (  # noqa: E402
    ADDRESS,
    LONG_LEASE_MS,
    PATIENCE_S,
    PORT,
    SILENCE_S,
    EngineContract,
    all_slots,
    fingerprint,
    many_sources,
    outcomes,
    slot_of_source,
    until,
)
from tests.netns.field_contract import FieldContract  # noqa: E402
from tests.netns.frames import shapes  # noqa: E402
from tests.netns.kernel_hash import kernel_slots, read_vectors  # noqa: E402
from tests.netns.membership_contract import MembershipContract  # noqa: E402
from tests.netns.segment import CLIENT, VIP, Member, Segment  # noqa: E402
from tests.netns.segment_contract import BeltContract, SegmentContract  # noqa: E402
from tests.netns.wayout_contract import WayOutContract  # noqa: E402

pytestmark = pytest.mark.root

OPEN = Wish(ADDRESS, all_slots(SlotState.OPEN))


def counted(host: Member) -> int:
    return sum(counter.packets for counter in host.engine.call(actions.counters))


def without_counters(rules: str) -> str:
    """A listing of rules without numbers that packets change."""
    return re.sub(r"packets \d+ bytes \d+|expires \S+", "", rules)


class TestNftEngine(
    EngineContract, SegmentContract, BeltContract, WayOutContract, MembershipContract, FieldContract
):
    maker = "datapath.nft.engine:NftEngine"

    # the hash

    def test_the_kernel_gives_the_stored_vectors_again(self, segment: Segment) -> None:
        vectors = read_vectors()
        assert segment.client.service.call(kernel_slots, vectors) == vectors

    # leases

    def test_a_renewal_that_is_sent_after_its_own_deadline_accepts_nothing(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """What a daemon does that is stopped between computing a lease and telling the kernel."""
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(nft_actions.renew_late, 100, 150)
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}
        host.engine.call(nft_actions.renew_late, 30_000, 0)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    @pytest.mark.parametrize(
        ("wall_ms", "timeout_ms"), [(60_000, 150), (150, 60_000)], ids=["the timeout", "the deadline"]
    )
    def test_either_end_of_a_lease_is_enough(
        self, segment: Segment, hosts: list[Member], wall_ms: int, timeout_ms: int
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(nft_actions.write_term, wall_ms, timeout_ms)
        assert outcomes(segment, many_sources(10), 0.1) == {"h1"}
        time.sleep(0.25)
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}

    # others on the same host

    def test_a_flushed_ruleset_fails_closed_and_is_mended(self, segment: Segment, hosts: list[Member]) -> None:
        for host in hosts[:2]:
            host.engine.call(actions.apply, [OPEN] if host is hosts[0] else [Wish(ADDRESS)])
            host.engine.call(actions.renew, LONG_LEASE_MS)
            host.run("nft", "flush", "ruleset")
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}
        answers = segment.client.engine.call(actions.send_datagrams, many_sources(10), VIP, 8080, SILENCE_S)
        assert list(answers.values()) == [[]] * 10
        for host in hosts[:2]:
            changes = host.engine.call(actions.repair)
            assert {(change.address, change.what) for change in changes} == {
                ("VIP", "repaired"),
                ("vipcast-out", "repaired"),
            }
            assert host.engine.call(actions.repair) == []
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_rules_that_are_flushed_after_a_transaction_that_changed_nothing_are_missed(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """The kernel counts no generation for it."""
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert host.engine.call(actions.repair) == []
        for _ in range(2):
            host.engine.call(actions.renew_until, 0)
        host.run("nft", "flush", "ruleset")
        assert {change.address for change in host.engine.call(actions.repair)} == {"VIP", "vipcast-out"}
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    @pytest.mark.parametrize("transactions", [1, 2, 3])
    def test_rules_that_are_flushed_while_they_are_made_anew_are_made_once_more(
        self, segment: Segment, hosts: list[Member], transactions: int
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.run("nft", "flush", "ruleset")
        host.engine.call(nft_actions.flush_after, transactions)
        host.engine.call(actions.repair)
        with contextlib.suppress(DatapathError):
            host.engine.call(actions.renew, LONG_LEASE_MS)
        host.engine.call(actions.repair)
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert host.engine.call(actions.repair) == []
        assert host.engine.call(actions.state) == [OPEN]
        assert "vipcast-out" in host.run("nft", "list", "tables")
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_a_wish_that_meets_a_flushed_ruleset_is_carried_out(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        some = {number: state for number, state in OPEN.states.items() if number}
        host.engine.call(actions.apply, [Wish(ADDRESS, some)])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.run("nft", "flush", "ruleset")
        changes = host.engine.call(actions.apply, [OPEN])
        assert [(change.what, change.slots) for change in changes] == [("opened", (0,))]
        assert host.engine.call(actions.state) == [OPEN]
        assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1"}
        assert {change.address for change in host.engine.call(actions.repair)} == {"vipcast-out"}
        assert host.engine.call(actions.repair) == []

    @pytest.mark.parametrize(
        "damage",
        [
            ("nft", "delete", "element", "netdev", "vipcast", "vips4", "{", VIP, "}"),
            ("nft", "flush", "chain", "netdev", "vipcast", f"vip-{VIP}-open"),
            ("nft", "insert", "rule", "netdev", "vipcast", f"vip-{VIP}-source", "accept"),
            ("nft", "flush", "map", "netdev", "vipcast", f"vip-{VIP}-slots"),
            ("nft", "add", "element", "arp", "vipcast", "addresses", "{", "10.77.0.1", "}"),
            ("nft", "delete", "table", "arp", "vipcast"),
            ("ip", "addr", "del", f"{VIP}/32", "dev", "lo"),
            ("sysctl", "-qw", "net.ipv4.conf.eth0.drop_unicast_in_l2_multicast=0"),
            ("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0"),
            ("ip", "maddr", "del", ADDRESS.mac, "dev", "eth0"),
        ],
        ids=" ".join,
    )
    def test_what_others_break_is_mended_and_named(
        self, segment: Segment, hosts: list[Member], damage: tuple[str, ...]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.run(*damage)
        changes = host.engine.call(actions.repair)
        assert [change.what for change in changes] == ["repaired"]
        assert host.engine.call(actions.repair) == []
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_a_table_that_another_process_takes_for_itself_is_silent_and_ours_again_when_it_ends(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        with owned_by_another(host, "netdev vipcast"):
            with pytest.raises(DatapathError, match="another process owns what is to be changed"):
                host.engine.call(actions.repair)
            with pytest.raises(DatapathError, match="another process owns what is to be changed"):
                host.engine.call(actions.renew, LONG_LEASE_MS)
            assert outcomes(segment, many_sources(5), SILENCE_S) == {"silence"}
        changes = host.engine.call(actions.repair)
        assert [change.what for change in changes] == ["repaired"]
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_a_change_of_somebody_elses_rules_is_no_damage(self, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.run("nft", "add", "table", "inet", "somebody")
        assert host.engine.call(actions.repair) == []
        host.run("nft", "delete", "table", "inet", "somebody")

    def test_other_tables_are_not_touched(self, hosts: list[Member]) -> None:
        host = hosts[0]
        host.run("nft", "add", "table", "netdev", "other")
        host.run(
            "nft", "add chain netdev other c { type filter hook ingress device eth0 priority 5; }; "
            "add rule netdev other c tcp dport 1 counter"
        )  # fmt: skip
        host.run("nft", "add", "table", "arp", "other")
        theirs = host.run("nft", "list", "table", "netdev", "other")
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.engine.call(actions.apply, [Wish(ADDRESS, {1: SlotState.OPEN})])
        host.engine.call(actions.remove)
        assert host.run("nft", "list", "table", "netdev", "other") == theirs
        assert "vipcast" not in host.run("nft", "list", "ruleset")
        for family in ("netdev", "arp"):
            host.run("nft", "delete", "table", family, "other")

    # ARP

    def test_the_kernel_never_answers_for_a_shared_address(self, segment: Segment, hosts: list[Member]) -> None:
        hosts[0].engine.call(actions.apply, [OPEN])
        # even with everything set for an answer, the ARP belt holds
        hosts[0].run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0")
        assert segment.client.service.call(nft_actions.who_has, VIP, CLIENT, SILENCE_S) == []
        assert segment.client.service.call(nft_actions.who_has, hosts[0].ip, CLIENT, PATIENCE_S) != []

    def test_a_question_from_a_shared_address_carries_the_shared_mac(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        segment.client.service.call(actions.start_tap)
        host.service.call(nft_actions.ask_from, VIP, "10.77.200.1")
        # the setting alone is enough: the host asks with its own address
        senders = nft_actions.arp_senders(segment.client.service.call(actions.stop_tap))
        assert VIP not in senders
        # without the setting the belt holds
        host.run("sysctl", "-qw", "net.ipv4.conf.all.arp_announce=0", "net.ipv4.conf.eth0.arp_announce=0")
        segment.client.service.call(actions.start_tap)
        host.service.call(nft_actions.ask_from, VIP, "10.77.200.2")
        host.service.call(nft_actions.ask_from, host.ip, "10.77.200.3")
        time.sleep(0.2)
        senders = nft_actions.arp_senders(segment.client.service.call(actions.stop_tap))
        assert senders[VIP] == {ADDRESS.mac}
        assert ADDRESS.mac not in senders[host.ip]

    # moves

    def test_flows_are_forgotten_when_their_slot_has_moved(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        source = ("10.80.0.7", 30_011)
        segment.client.engine.call(actions.open_connection, source, VIP, 8080)
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.DRAINING))])
        assert host.engine.call(nft_actions.moving_flows, VIP) == 1
        host.engine.call(actions.apply, [OPEN])
        assert host.engine.call(nft_actions.moving_flows, VIP) == 0
        assert segment.client.engine.call(actions.converse, source, ["still"]) == ["still"]
        segment.client.engine.call(actions.close_connection, source)

    # size

    def test_thousands_of_slots_are_one_transaction(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        address = replace(ADDRESS, slots=4096)
        everything = Wish(address, dict.fromkeys(range(4096), SlotState.OPEN))
        nothing = Wish(address)
        for wish in (everything, nothing, everything):
            before = host.engine.call(nft_actions.generation)
            host.engine.call(actions.apply, [wish])
            # the first one takes three: it makes the tables, one of them for the way out, then fills them
            assert host.engine.call(nft_actions.generation) - before <= 3
            assert host.engine.call(actions.state) == [wish]
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(20), PATIENCE_S) == {"h1"}

    def test_a_hundred_addresses_live_side_by_side(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        others = [
            Wish(replace(ADDRESS, resource=f"ip{n}", ip=ADDRESS.ip + n, seed=n), {0: SlotState.OPEN})
            for n in range(1, 101)
        ]
        segment.client.engine.send(actions.connect_all, many_sources(200), VIP, 8080, PATIENCE_S)
        changes = host.engine.call(actions.apply, [OPEN, *others])
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert len([change for change in changes if change.what == "added"]) == 100
        assert len(host.engine.call(actions.state)) == 101
        host.engine.call(actions.apply, [OPEN])
        assert host.engine.call(actions.state) == [OPEN]

    # counters

    def test_counters_tell_what_became_of_each_packet(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        address = replace(ADDRESS, hash_kind=HashKind.SOURCEIP_SOURCEPORT, slots=2)
        by_name = {shape.name: shape for shape in shapes(address)}
        host.engine.call(actions.apply, [Wish(address, {0: SlotState.OPEN})])
        segment.client.service.call(actions.send_frames, by_name["UDP"].frames)
        until(lambda: counted(host), len(by_name["UDP"].packets))
        host.engine.call(actions.renew, LONG_LEASE_MS)
        segment.client.service.call(actions.send_frames, by_name["UDP"].frames)
        segment.client.service.call(actions.send_frames, by_name["TCP of one byte"].frames[:1])
        total = len(by_name["UDP"].packets)
        assert until(lambda: counted(host), 2 * total + 1) == 2 * total + 1
        found = {(c.slot, c.verdict): c.packets for c in host.engine.call(actions.counters)}
        assert found[None, "expired"] == total
        assert found[None, "truncated"] == 1
        assert found[0, "accepted"] > 0
        assert found[0, "accepted"] + found[None, "foreign"] == total
        assert found[None, "accepted"] == 0
        # what a slot has accepted stays counted when it is open no more
        host.engine.call(actions.apply, [Wish(address)])
        after = {(c.slot, c.verdict): c.packets for c in host.engine.call(actions.counters)}
        assert after[None, "accepted"] == found[0, "accepted"]

    # restarts

    def test_a_former_process_rules_are_replaced_without_a_gap(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.restart_engine()
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        segment.client.engine.send(actions.connect_all, many_sources(500), VIP, 8080, PATIENCE_S)
        # no renewal by the new process: the lease of the old one is carried over
        host.engine.call(actions.apply, [OPEN])
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_a_new_process_starts_closed_for_what_is_not_wanted_any_more(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.restart_engine()
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        host.engine.call(actions.apply, [])
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}
        assert host.engine.call(actions.state) == []

    # choosing

    def test_probing_the_kernel_disturbs_nothing(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        rules = host.run("nft", "list", "ruleset")
        segment.client.engine.send(actions.connect_all, many_sources(300), VIP, 8080, PATIENCE_S)
        name, _ = host.service.call(nft_actions.choose, "nft", str(tmp_path))
        assert name == "nft"
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert without_counters(host.run("nft", "list", "ruleset")) == without_counters(rules)

    def test_without_the_kernels_leave_auto_says_why_it_takes_raw(
        self, hosts: list[Member], tmp_path: Path
    ) -> None:
        engine = hosts[1].engine
        engine.call(actions.close)
        hosts[1].restart_engine()
        hosts[1].engine.call(nft_actions.give_up_privileges)
        try:
            name, reason = hosts[1].engine.call(nft_actions.choose, "auto", str(tmp_path))
            assert name == "raw"
            assert "netdev" in reason
            with pytest.raises(DatapathError, match="CAP_NET_ADMIN"):
                hosts[1].engine.call(nft_actions.choose, "nft", str(tmp_path))
        finally:
            hosts[1].restart_engine()
            hosts[1].engine.call(actions.start_engine, self.maker, str(tmp_path / hosts[1].name))

    def test_choosing_raw_takes_left_rules_down(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.run("nft", "add", "table", "inet", "somebody")
        name, _ = host.service.call(nft_actions.choose, "raw", str(tmp_path))
        assert name == "raw"
        rules = host.run("nft", "list", "ruleset")
        assert "table netdev vipcast {" not in rules
        assert "somebody" in rules
        assert outcomes(segment, many_sources(5), SILENCE_S) == {"silence"}
        host.run("nft", "delete", "table", "inet", "somebody")

    # kinds of MAC

    @pytest.mark.parametrize("mode", list(MacMode))
    def test_each_kind_of_mac_is_let_in_and_taken_back(
        self, segment: Segment, hosts: list[Member], mode: MacMode
    ) -> None:
        host, client = hosts[0], segment.client
        mac = shared_mac(ADDRESS.ip, ADDRESS.prefixlen, mode=mode)
        before = fingerprint(host)
        host.engine.call(actions.apply, [Wish(replace(ADDRESS, mac=mac, mac_mode=mode), OPEN.states)])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        # with nobody but us: an interface that filters would be deaf otherwise
        listed = host.run("bridge", "fdb", "show", "dev", "eth0") + host.run("ip", "maddr", "show", "dev", "eth0")
        assert mac in listed
        assert ("239.255.255.1" in listed) == (mode is MacMode.IGMP)
        neighbour = ("ip", "neigh", "replace", VIP, "lladdr")
        client.run(*neighbour, mac, "nud", "permanent", "dev", "eth0")
        try:
            assert outcomes(segment, many_sources(5), PATIENCE_S) == {"h1"}
            assert host.engine.call(actions.repair) == []
        finally:
            client.run(*neighbour, ADDRESS.mac, "nud", "permanent", "dev", "eth0")
        host.engine.call(actions.remove)
        assert fingerprint(host) == before
        assert mac not in host.run("bridge", "fdb", "show", "dev", "eth0")

    # connections of slots that move

    def test_connections_that_were_listed_beforehand_are_kept_and_struck_out_when_they_have_ended(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host, client, source = hosts[0], segment.client.engine, ("10.80.0.21", 30_021)
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert client.call(actions.open_connection, source, VIP, PORT) == "h1"
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.NOTING))])
        assert host.engine.call(nft_actions.kept_flows, VIP) == 0
        host.engine.call(actions.prepare, "VIP")
        assert host.engine.call(nft_actions.kept_flows, VIP) >= 1, "and what earlier tests left half-closed"
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.DRAINING))])
        assert client.call(actions.converse, source, ["a", "b"]) == ["a", "b"]
        client.call(actions.abort_connection, source)
        assert until(lambda: host.engine.call(actions.flows_left, "VIP", slot_of_source(ADDRESS, source)), 0) == 0

        def kept() -> int:
            host.engine.call(actions.repair)
            return host.engine.call(nft_actions.kept_flows, VIP)

        assert until(kept, 0) == 0
        host.engine.call(actions.apply, [OPEN])
        assert host.engine.call(nft_actions.moving_flows, VIP) == 0

    def test_what_was_listed_for_a_move_that_was_given_up_is_listed_anew_for_the_next(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host, client, source = hosts[0], segment.client.engine, ("10.80.0.22", 30_022)
        noting = Wish(ADDRESS, all_slots(SlotState.NOTING))
        host.engine.call(actions.apply, [noting])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.engine.call(actions.prepare, "VIP")
        host.engine.call(actions.apply, [OPEN])
        assert client.call(actions.open_connection, source, VIP, PORT) == "h1"
        host.engine.call(actions.apply, [noting])
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.DRAINING))])
        assert client.call(actions.converse, source, ["a", "b"]) == ["a", "b"]
        client.call(actions.abort_connection, source)

    def test_slots_move_although_a_flood_has_left_no_room_for_their_connections(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host, client = hosts[0], segment.client.engine
        sources = [("10.80.0.23", 30_100 + number) for number in range(20)]
        host.engine.call(nft_actions.leave_room_for, 16)
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert {client.call(actions.open_connection, source, VIP, PORT) for source in sources} == {"h1"}
        draining = Wish(ADDRESS, all_slots(SlotState.DRAINING))
        host.engine.call(actions.apply, [draining])
        assert host.engine.call(actions.state) == [draining]
        for source in sources:
            client.call(actions.abort_connection, source)

    # refusals

    def test_an_ordinary_address_is_not_shared_by_mistake(self, hosts: list[Member]) -> None:
        host = hosts[0]
        host.run("ip", "addr", "add", f"{VIP}/16", "dev", "eth0")
        try:
            with pytest.raises(DatapathError, match=f"ip address del {VIP}/16 dev eth0"):
                host.engine.call(actions.apply, [OPEN])
        finally:
            host.run("ip", "addr", "del", f"{VIP}/16", "dev", "eth0")

    def test_an_interface_that_vanishes_is_named_and_comes_back(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.run("ip", "link", "add", "vc0", "type", "veth", "peer", "name", "vc1")
        wish = Wish(replace(ADDRESS, interface="vc0"), all_slots(SlotState.OPEN))
        host.engine.call(actions.apply, [wish])
        host.run("ip", "link", "del", "vc0")
        with pytest.raises(DatapathError, match="vc0"):
            host.engine.call(actions.repair)
        host.run("ip", "link", "add", "vc0", "type", "veth", "peer", "name", "vc1")
        assert {change.what for change in host.engine.call(actions.repair)} == {"repaired"}
        assert 'device "vc0"' in host.run("nft", "list", "chain", "netdev", "vipcast", "in-vc0")
        host.engine.call(actions.apply, [])
        host.run("ip", "link", "del", "vc0")


@contextmanager
def owned_by_another(host: Member, table: str) -> Iterator[None]:
    """The table is another process' own (NFT_TABLE_F_OWNER): it ends with that, and nobody else may change it."""
    other = subprocess.Popen(
        ["ip", "netns", "exec", host.namespace, "nft", "-i"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert other.stdin is not None
    try:
        other.stdin.write(f"delete table {table}; add table {table} {{ flags owner; }}\n")
        other.stdin.flush()
        assert until(lambda: "flags owner" in host.run("nft", "list", "table", *table.split()), 1) == 1
        yield
    finally:
        other.stdin.close()
        other.wait(5)
