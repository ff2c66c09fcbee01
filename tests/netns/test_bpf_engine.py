"""The bpf engine on real packets: the contract of all engines, and what only a BPF program has."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

pytest.register_assert_rewrite(
    "tests.netns.engine_contract",
    "tests.netns.segment_contract",
    "tests.netns.wayout_contract",
    "tests.netns.membership_contract",
    "tests.netns.field_contract",
)

from datapath.engine import DatapathError, HashKind, SlotState, Wish  # noqa: E402
from datapath.hashing import slot_of_packet  # noqa: E402
from tests.netns import actions, bpf_actions, nft_actions  # noqa: E402
from tests.netns.engine_contract import (  # noqa: E402
    ADDRESS,
    LONG_LEASE_MS,
    PATIENCE_S,
    PORT,
    SILENCE_S,
    SLOTS,
    EngineContract,
    accepted,
    all_slots,
    fingerprint,
    many_sources,
    outcomes,
    settled_accepted,
    share,
    until,
)
from tests.netns.field_contract import FieldContract  # noqa: E402
from tests.netns.frames import CLIENT_MAC, shapes  # noqa: E402
from tests.netns.membership_contract import MembershipContract  # noqa: E402
from tests.netns.segment import CLIENT, VIP, Member, Segment  # noqa: E402
from tests.netns.segment_contract import BeltContract, SegmentContract  # noqa: E402
from tests.netns.wayout_contract import WayOutContract  # noqa: E402

pytestmark = pytest.mark.root

OPEN = Wish(ADDRESS, all_slots(SlotState.OPEN))


def syn(source: str) -> bytes:
    """The frame that begins a connection to the server."""
    head = Ether(dst=ADDRESS.mac, src=CLIENT_MAC)
    return bytes(head / IP(src=source, dst=VIP) / TCP(sport=40_000, dport=PORT, flags="S", seq=7))


def traffic_control(host: Member) -> str:
    """Everything on the hooks of tc, as an administrator sees it."""
    return "\n".join(
        (
            host.run("tc", "qdisc", "show"),
            host.run("tc", "filter", "show", "dev", "eth0", "ingress"),
            host.run("tc", "filter", "show", "dev", "eth0", "egress"),
        )
    )


class TestBpfEngine(
    EngineContract, SegmentContract, BeltContract, WayOutContract, MembershipContract, FieldContract
):
    maker = "datapath.bpf.engine:BpfEngine"

    # others on the same host

    def test_nothing_of_ours_is_left_on_the_hooks(self, hosts: list[Member]) -> None:
        host = hosts[0]
        before = traffic_control(host)
        host.engine.call(actions.apply, [OPEN])
        held = traffic_control(host)
        assert "clsact" in held
        assert "vipcast" in held
        host.engine.call(actions.remove)
        assert traffic_control(host) == before

    def test_a_hook_that_somebody_else_made_stays(self, hosts: list[Member]) -> None:
        host = hosts[0]
        host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
        try:
            before = traffic_control(host)
            host.engine.call(actions.apply, [OPEN])
            host.engine.call(actions.remove)
            assert traffic_control(host) == before
        finally:
            host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")

    @pytest.mark.parametrize("preference", [1, 50_000])
    def test_filters_of_others_live_beside_ours(
        self, segment: Segment, hosts: list[Member], preference: int
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.service.call(bpf_actions.attach_foreign, preference)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
        host.engine.call(actions.remove)
        left = traffic_control(host)
        assert "somebody" in left
        assert "vipcast" not in left
        host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")

    @pytest.mark.parametrize(
        "damage",
        [
            ("tc", "qdisc", "del", "dev", "eth0", "clsact"),
            ("tc", "filter", "del", "dev", "eth0", "ingress"),
        ],
    )
    def test_a_filter_that_somebody_removes_fails_closed_and_is_mended(
        self, segment: Segment, hosts: list[Member], damage: tuple[str, ...]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert host.engine.call(actions.repair) == []
        host.run(*damage)
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}
        changes = host.engine.call(actions.repair)
        assert [(change.address, change.what) for change in changes] == [("VIP", "repaired")]
        assert "eth0" in changes[0].detail
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
        assert host.engine.call(actions.repair) == []
        host.engine.call(actions.remove)
        assert "clsact" not in traffic_control(host)

    def test_the_first_address_waits_for_no_verifier(self, segment: Segment, hosts: list[Member]) -> None:
        """What was loaded at the start is taken: from then on nothing could be loaded."""
        host = hosts[0]
        host.engine.call(bpf_actions.await_spare)
        host.engine.call(bpf_actions.miss_object)
        try:
            host.engine.call(actions.apply, [OPEN])
            host.engine.call(actions.renew, LONG_LEASE_MS)
            assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
            host.engine.call(actions.remove)
            assert "clsact" not in traffic_control(host)
        finally:
            host.engine.call(bpf_actions.find_object)

    def test_a_wish_that_meets_a_removed_filter_is_carried_out(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [Wish(ADDRESS)])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")
        host.engine.call(actions.apply, [OPEN])
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_maps_that_somebody_writes_into_are_mended(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.engine.call(bpf_actions.tamper_with_states)
        assert host.engine.call(actions.state) == [Wish(ADDRESS)]
        assert {change.what for change in host.engine.call(actions.repair)} == {"repaired"}
        assert host.engine.call(actions.state) == [OPEN]
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_the_older_ingress_qdisc_of_somebody_serves_as_well(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.run("tc", "qdisc", "add", "dev", "eth0", "ingress")
        try:
            before = traffic_control(host)
            host.engine.call(actions.apply, [OPEN])
            host.engine.call(actions.renew, LONG_LEASE_MS)
            assert host.engine.call(actions.repair) == []
            assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
            host.engine.call(actions.remove)
            assert traffic_control(host) == before
        finally:
            host.run("tc", "qdisc", "del", "dev", "eth0", "ingress")

    # frames that a test run of the program cannot have

    def test_a_packet_that_is_cut_within_its_header_is_not_accepted(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        datagrams = next(shape for shape in shapes(ADDRESS) if shape.name == "UDP").frames
        before = accepted(host)
        cut = [datagrams[0][:length] for length in range(15, 42)]
        segment.client.service.call(actions.send_frames, cut)
        segment.client.service.call(actions.send_frames, datagrams)
        assert settled_accepted(host, before + len(datagrams)) - before == len(datagrams)

    # moves

    def test_a_draining_slot_takes_the_repeated_syn_of_a_half_open_connection_and_no_other(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        share(ADDRESS, [host], dict.fromkeys(range(SLOTS), host))
        # nobody has these addresses: what the host answers is lost on the way, and the connections stay half open
        known, new = syn("10.77.200.9"), syn("10.77.200.10")
        send = segment.client.service.call
        before = accepted(host)
        send(actions.send_frames, [known])
        assert settled_accepted(host, before + 1) == before + 1
        host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.DRAINING))])
        send(actions.send_frames, [known, new, known])
        assert settled_accepted(host, before + 3) == before + 3
        verdicts = {counter.verdict: counter.packets for counter in host.engine.call(actions.counters)}
        assert verdicts["draining"] == 1

    def test_a_connection_by_syn_cookie_comes_about_in_an_opening_slot(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        """There is no socket until the client's answer has arrived: the noted SYN tells whose it is."""
        host = hosts[0]
        always = host.run("sysctl", "-n", "net.ipv4.tcp_syncookies").strip()
        host.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
        try:
            host.engine.call(actions.apply, [Wish(ADDRESS, all_slots(SlotState.OPENING))])
            host.engine.call(actions.renew, LONG_LEASE_MS)
            assert outcomes(segment, many_sources(100), PATIENCE_S) == {"h1"}
        finally:
            host.run("sysctl", "-qw", f"net.ipv4.tcp_syncookies={always}")

    # ARP

    def test_the_kernel_never_answers_for_a_shared_address(self, segment: Segment, hosts: list[Member]) -> None:
        hosts[0].engine.call(actions.apply, [OPEN])
        # even with everything set for an answer, the belt holds
        hosts[0].run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0")
        assert segment.client.service.call(nft_actions.who_has, VIP, CLIENT, SILENCE_S) == []
        assert segment.client.service.call(nft_actions.who_has, hosts[0].ip, CLIENT, PATIENCE_S) != []

    def test_a_question_from_a_shared_address_carries_the_shared_mac(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.run("sysctl", "-qw", "net.ipv4.conf.all.arp_announce=0", "net.ipv4.conf.eth0.arp_announce=0")
        segment.client.service.call(actions.start_tap)
        host.service.call(nft_actions.ask_from, VIP, "10.77.200.2")
        host.service.call(nft_actions.ask_from, host.ip, "10.77.200.3")
        time.sleep(0.2)
        senders = nft_actions.arp_senders(segment.client.service.call(actions.stop_tap))
        assert senders[VIP] == {ADDRESS.mac}
        assert ADDRESS.mac not in senders[host.ip]

    # changes

    def test_a_slot_that_stays_open_loses_no_packet_while_thousands_of_others_change(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        address = replace(ADDRESS, slots=1000)
        datagram = next(shape for shape in shapes(address) if shape.name == "UDP").frames[0]
        number = slot_of_packet(datagram[14:], address.hash_kind, address.seed, address.slots)
        assert isinstance(number, int)
        turns = [
            Wish(address, dict.fromkeys(range(parity, 1000, 2), SlotState.OPEN) | {number: SlotState.OPEN})
            for parity in (0, 1)
        ]
        host.engine.call(actions.apply, turns[:1])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        before = accepted(host)
        host.engine.send(bpf_actions.apply_in_turn, turns, 200)
        for _ in range(40):
            segment.client.service.call(actions.send_frames, [datagram] * 500)
        host.engine.receive()
        assert settled_accepted(host, before + 20_000) - before == 20_000

    # size

    def test_thousands_of_slots_come_in_one_step_and_keep_what_was_counted(
        self, segment: Segment, hosts: list[Member]
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(50), PATIENCE_S) == {"h1"}
        counted = host.engine.call(actions.counters)
        room = host.engine.call(bpf_actions.capacity)
        many = Wish(
            replace(ADDRESS, resource="many", ip=ADDRESS.ip + 1, slots=4096),
            dict.fromkeys(range(4096), SlotState.OPEN),
        )
        segment.client.engine.send(actions.connect_all, many_sources(300), VIP, PORT, PATIENCE_S)
        host.engine.call(actions.apply, [OPEN, many])
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert host.engine.call(bpf_actions.capacity)[1] > room[1]
        assert host.engine.call(actions.state) == [OPEN, many]
        after = {(c.address, c.slot, c.verdict): c.packets for c in host.engine.call(actions.counters)}
        for counter in counted:
            assert after[counter.address, counter.slot, counter.verdict] > counter.packets
        host.engine.call(actions.apply, [OPEN])
        assert host.engine.call(actions.state) == [OPEN]
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}

    def test_hundreds_of_addresses_live_side_by_side(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        others = [
            Wish(
                replace(
                    ADDRESS,
                    resource=f"ip{n}",
                    ip=ADDRESS.ip + n if n % 2 else IPv6Address(f"fd77::{n:x}"),
                    prefixlen=16 if n % 2 else 64,
                    seed=n,
                ),
                {0: SlotState.OPEN},
            )
            for n in range(1, 201)
        ]
        segment.client.engine.send(actions.connect_all, many_sources(200), VIP, PORT, PATIENCE_S)
        changes = host.engine.call(actions.apply, [OPEN, *others])
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert len([change for change in changes if change.what == "added"]) == 200
        assert len(host.engine.call(actions.state)) == 201
        host.engine.call(actions.apply, [OPEN])
        assert host.engine.call(actions.state) == [OPEN]

    def test_a_name_that_does_not_fit_is_refused_and_changes_nothing(self, hosts: list[Member]) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        before = fingerprint(host)
        long_name = replace(ADDRESS, resource="x" * 500)
        with pytest.raises(DatapathError, match="too long"):
            host.engine.call(actions.apply, [Wish(long_name)])
        assert host.engine.call(actions.state) == [OPEN]
        assert fingerprint(host) == before

    # counters

    def test_counters_tell_what_became_of_each_packet(self, segment: Segment, hosts: list[Member]) -> None:
        host = hosts[0]
        address = replace(ADDRESS, hash_kind=HashKind.SOURCEIP_SOURCEPORT, slots=2)
        by_name = {shape.name: shape for shape in shapes(address)}
        datagrams = len(by_name["UDP"].packets)

        def counted() -> int:
            return sum(counter.packets for counter in host.engine.call(actions.counters))

        host.engine.call(actions.apply, [Wish(address, {0: SlotState.OPEN})])
        segment.client.service.call(actions.send_frames, by_name["UDP"].frames)
        until(counted, datagrams)
        host.engine.call(actions.renew, LONG_LEASE_MS)
        segment.client.service.call(actions.send_frames, by_name["UDP"].frames)
        segment.client.service.call(actions.send_frames, by_name["TCP of one byte"].frames[:1])
        assert until(counted, 2 * datagrams + 1) == 2 * datagrams + 1
        found = {(c.slot, c.verdict): c.packets for c in host.engine.call(actions.counters)}
        assert found[0, "expired"] == found[0, "accepted"] > 0
        assert found[1, "foreign"] == 2 * (datagrams - found[0, "accepted"])
        assert found[None, "truncated"] == 1
        assert len(found) == 4

    # restarts

    def test_a_former_process_program_is_replaced_without_a_gap(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        deadline = host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
        counted = host.engine.call(actions.counters)
        host.restart_engine()
        segment.client.engine.send(actions.connect_all, many_sources(500), VIP, PORT, PATIENCE_S)
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        assert host.engine.call(actions.state) == [OPEN]
        # no renewal by the new process: the lease of the old one is carried over
        host.engine.call(actions.apply, [OPEN])
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert host.engine.call(bpf_actions.noted_deadline) == deadline
        after = {(c.slot, c.verdict): c.packets for c in host.engine.call(actions.counters)}
        assert all(after[c.slot, c.verdict] > c.packets for c in counted)
        host.engine.call(actions.remove)
        assert "clsact" not in traffic_control(host)

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
        assert "clsact" not in traffic_control(host)

    def test_without_the_right_to_open_old_maps_a_new_process_is_silent_until_its_lease(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        host.restart_engine()
        host.engine.call(bpf_actions.give_up_administration)
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
        host.engine.call(actions.apply, [OPEN])
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}
        host.engine.call(actions.renew, LONG_LEASE_MS)
        assert outcomes(segment, many_sources(10), PATIENCE_S) == {"h1"}
        host.engine.call(actions.remove)
        assert "vipcast" not in traffic_control(host)
        host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")

    def test_a_core_that_may_not_open_old_maps_is_lent_them_and_nobody_elses(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host, door = hosts[0], str(tmp_path / "host.sock")
        host.engine.call(actions.apply, [OPEN])
        deadline = host.engine.call(actions.renew, LONG_LEASE_MS)
        host.service.call(bpf_actions.help_the_core, door)
        host.restart_engine()
        host.engine.call(bpf_actions.give_up_administration)
        host.engine.call(bpf_actions.ask_at, door)
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))
        assert host.engine.call(actions.state) == [OPEN]
        segment.client.engine.send(actions.connect_all, many_sources(300), VIP, PORT, PATIENCE_S)
        host.engine.call(actions.apply, [OPEN])
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert host.engine.call(bpf_actions.noted_deadline) == deadline
        foreign = host.service.call(bpf_actions.attach_foreign, 7)
        for number in (foreign, 2**31):
            refused = host.engine.call(bpf_actions.borrow, number)
            assert refused == f"the BPF program {number} is none that vipcast has attached here"
        host.engine.call(actions.remove)
        host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")

    # choosing

    def test_auto_takes_bpf_and_disturbs_nothing(
        self, segment: Segment, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        before = traffic_control(host)
        segment.client.engine.send(actions.connect_all, many_sources(300), VIP, PORT, PATIENCE_S)
        assert host.service.call(nft_actions.choose, "auto", str(tmp_path)) == ("bpf", "bpf: the kernel has it")
        assert {attempt.outcome for attempt in segment.client.engine.receive()} == {"h1"}  # type: ignore[attr-defined]
        assert traffic_control(host) == before

    def test_without_the_compiled_program_auto_says_what_is_missing(
        self, hosts: list[Member], tmp_path: Path
    ) -> None:
        host = hosts[0]
        host.engine.call(actions.close)
        host.restart_engine()
        host.engine.call(bpf_actions.miss_object)
        name, reason = host.engine.call(nft_actions.choose, "auto", str(tmp_path))
        assert name == "nft"
        assert "slots.bpf.o" in reason
        with pytest.raises(DatapathError, match="make bpf"):
            host.engine.call(nft_actions.choose, "bpf", str(tmp_path))
        host.restart_engine()
        host.engine.call(actions.start_engine, self.maker, str(tmp_path / host.name))

    @pytest.mark.parametrize("other", ["nft", "raw"])
    def test_choosing_another_engine_takes_the_program_down(
        self, segment: Segment, hosts: list[Member], tmp_path: Path, other: str
    ) -> None:
        host = hosts[0]
        before = traffic_control(host)
        host.engine.call(actions.apply, [OPEN])
        host.engine.call(actions.renew, LONG_LEASE_MS)
        name, _ = host.service.call(nft_actions.choose, other, str(tmp_path / host.name))
        assert name == other
        assert traffic_control(host) == before
        assert outcomes(segment, many_sources(10), SILENCE_S) == {"silence"}

    def test_choosing_bpf_takes_left_rules_down(self, hosts: list[Member], tmp_path: Path) -> None:
        host = hosts[0]
        host.service.call(actions.start_engine, "datapath.nft.engine:NftEngine", str(tmp_path / "nft"))
        host.service.call(actions.apply, [OPEN])
        assert "vipcast" in host.run("nft", "list", "ruleset")
        name, _ = host.engine.call(nft_actions.choose, "bpf", str(tmp_path / "nft"))
        assert name == "bpf"
        assert "table netdev vipcast {" not in host.run("nft", "list", "ruleset")
        host.service.call(actions.remove)
        host.service.call(actions.close)
