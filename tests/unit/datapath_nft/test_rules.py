"""What is said to nf_tables, as data: names, leases, transactions; what it does is tested in tests/netns."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from datapath.engine import Address, DatapathError, HashKind, MacMode, SlotState, Wish
from datapath.hashing import key_of, slot
from datapath.netlink import Message
from datapath.nft import contents, ruleset
from datapath.nft.contents import flow_key, flow_key_of, name_of
from datapath.nft.lease import Term, renewal, term_until
from datapath.nft.moves import movement, slots_of_keys
from datapath.nft.names import CHAIN_STATES, STATE_CHAINS, Names, Part, describe, recognise
from datapath.nft.protocol import ELEMENTS, Msg, Verdict, payload_of
from datapath.nft.rules import chains_of
from datapath.wishes import transitions

ADDRESS = Address(
    resource="VIP",
    ip=IPv4Address("192.168.110.120"),
    prefixlen=24,
    interface="eth0",
    mac="21:37:6f:88:c2:a0",
    hash_kind=HashKind.SOURCEIP_SOURCEPORT,
    seed=0xFFFFFFFF,
    slots=65_536,
    mac_mode=MacMode.MULTICAST,
)
ADDRESS6 = replace(ADDRESS, ip=IPv6Address("fd00::7"), prefixlen=64, resource="web ä")

OPEN, DRAINING, OPENING, CLOSED = SlotState.OPEN, SlotState.DRAINING, SlotState.OPENING, SlotState.CLOSED


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_a_chain_tells_whose_it_is(address: Address) -> None:
    assert recognise(describe(address)) == address


@pytest.mark.parametrize(
    "userdata", [b"", b"\0\5hello", b"\1\5hello", describe(ADDRESS)[:-20], b"\0\4" + b"\xff" * 4, b"\0\2a "]
)
def test_a_strange_comment_is_nobody(userdata: bytes) -> None:
    assert recognise(userdata) is None


def test_too_long_an_id_is_named() -> None:
    with pytest.raises(DatapathError, match="shorten"):
        describe(replace(ADDRESS, resource="x" * 200))


def test_names_of_different_addresses_never_meet() -> None:
    ips = [IPv4Address("10.0.0.1"), IPv4Address("10.0.0.11"), IPv6Address("fd00::1"), IPv6Address("fd00::11")]
    names = [
        name
        for ip in ips
        for own in [Names.of(ip)]
        for name in (own.slots, own.keep, own.mine, own.never, own.never_syns)
    ]
    chains = [Names.of(ip).chain(part) for ip in ips for part in Part]
    assert len(set(names + chains)) == len(names + chains)
    assert all(":" not in name for name in names + chains)  # nft could not name it on its command line


def test_each_state_that_lets_packets_in_has_a_chain() -> None:
    assert set(STATE_CHAINS) == set(SlotState) - {SlotState.CLOSED}
    assert {CHAIN_STATES[part] for part in STATE_CHAINS.values()} == set(STATE_CHAINS)


@pytest.mark.parametrize("name", [bytes(range(8)), bytes(range(20))])
def test_a_flow_has_the_same_name_for_hosts_and_for_the_kernel(name: bytes) -> None:
    client, ports = name[:-4], name[-4:]
    key = flow_key(ip_address(client), int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big"))
    assert flow_key_of(name) == key
    assert name_of(key) == name
    assert flow_key_of(name + b"\1\2\3\4") == key + b"\1\2\3\4"


@pytest.mark.parametrize("kind", list(HashKind))
@pytest.mark.parametrize("ip", [IPv4Address("10.0.0.1"), IPv6Address("fd00::1")])
def test_every_chain_that_a_rule_names_exists(kind: HashKind, ip: IPv4Address | IPv6Address) -> None:
    address = replace(ADDRESS, ip=ip, hash_kind=kind)
    chains = chains_of(address)
    there = {Names.of(ip).chain(part) for part in chains}
    named = {
        members["data"]["verdict"]["chain"]
        for rules in chains.values()
        for rule in rules
        for name, members in rule
        if name == "immediate" and "chain" in members["data"].get("verdict", {})
    }
    assert named <= there


def test_nothing_goes_on_without_a_lease() -> None:
    for kind in HashKind:
        chains = chains_of(replace(ADDRESS, hash_kind=kind))
        entry = [list(rule) for rule in chains[Part.ENTRY]]
        at = next(
            n for n, rule in enumerate(entry) if rule[2] == ("lookup", {"set": "lease", "sreg": 18, "flags": 1})
        )
        assert {rule[-1][1]["data"]["verdict"]["code"] for rule in entry[:at]} <= {Verdict.RETURN}
        assert [name for name, _ in entry[at]] == ["meta", "byteorder", "lookup", "objref", "immediate"]
        assert entry[at][-1] == ("immediate", {"dreg": 0, "data": {"verdict": {"code": 0}}})
        # and there is no way around: nobody else leads to an address but by its entry
        added = [m for m in ruleset.add_address(ADDRESS) if m.what == "fill the set vips4"]
        (element,) = ELEMENTS.unpack(payload_of(added[0].body))["elements"]
        assert element["data"]["verdict"] == {"code": -4, "chain": Names.of(ADDRESS.ip).chain(Part.ENTRY)}


def test_adding_and_removing_an_address_name_the_same_objects() -> None:
    made = [m.what for m in ruleset.add_address(ADDRESS) if m.what.startswith("make ")]
    unmade = [m.what for m in ruleset.remove_address(ADDRESS) if m.what.startswith("remove ")]
    assert sorted(what.removeprefix("make ") for what in made) == sorted(
        what.removeprefix("remove ") for what in unmade
    )


# slots


def test_only_slots_that_change_are_said() -> None:
    before = {1: OPEN, 2: OPEN, 3: DRAINING, 4: OPEN}
    after = {1: OPEN, 2: DRAINING, 4: CLOSED, 5: OPENING}
    removals, additions = contents.set_slots(ADDRESS.ip, transitions(before, after))
    assert _slots(removals) == {2: "", 3: "", 4: ""}
    prefix = "vip-192.168.110.120"
    assert _slots(additions) == {2: f"{prefix}-draining", 5: f"{prefix}-opening"}
    assert contents.set_slots(ADDRESS.ip, transitions(before, dict(before))) == []


def test_thousands_of_slots_are_said_in_messages_of_bounded_size() -> None:
    messages = contents.set_slots(ADDRESS.ip, transitions({}, dict.fromkeys(range(65_536), OPEN)))
    assert sum(len(_slots(message)) for message in messages) == 65_536
    assert max(len(message.body) for message in messages) < 1 << 16


def _slots(message: Message) -> dict[int, str]:
    """Slot → chain of the elements in a message, empty for a removal."""
    elements = ELEMENTS.unpack(payload_of(message.body))["elements"]
    return {
        int.from_bytes(element["key"]["value"], "little"): element.get("data", {})
        .get("verdict", {})
        .get("chain", "")
        for element in elements
    }


# leases


def test_a_term_is_as_long_as_what_is_left_on_the_boot_clock() -> None:
    left_ns = 3_600_000_000_000
    boot, wall = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    term = term_until(boot + left_ns)
    boot_after, wall_after = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    elapsed = boot_after - boot
    # the two clocks advance together, to within what passed between the four readings
    assert wall + left_ns - elapsed <= term.wall_ns <= wall_after + left_ns
    assert left_ns - elapsed <= term.timeout_ms * 1_000_000 < left_ns + 1_000_000


@pytest.mark.parametrize("deadline_ns", [0, -1, 1])
def test_a_deadline_that_has_passed_only_empties_the_lease(deadline_ns: int) -> None:
    (only,) = renewal(term_until(deadline_ns))
    assert only.type & 0xFF == Msg.DELSETELEM


def test_a_renewal_empties_and_fills_with_one_interval_from_zero() -> None:
    empty, fill = renewal(Term(wall_ns=0x18EA_6A70_0000_0001, timeout_ms=350))
    assert (empty.type & 0xFF, fill.type & 0xFF) == (Msg.DELSETELEM, Msg.NEWSETELEM)
    start, end = ELEMENTS.unpack(payload_of(fill.body))["elements"]
    assert start == {"key": {"value": bytes(8)}, "timeout": 350}
    assert end == {"key": {"value": bytes.fromhex("18ea6a7000000001")}, "flags": 1}


def test_the_size_of_a_renewal_does_not_depend_on_slots() -> None:
    assert sum(len(message.body) for message in renewal(Term(1, 1))) < 200


# moves


def test_what_a_move_asks_for() -> None:
    held = Wish(ADDRESS, {0: OPEN, 1: OPEN, 2: DRAINING, 4: OPENING})
    move = movement(held, Wish(ADDRESS, {0: OPEN, 1: DRAINING, 3: OPENING, 4: OPEN}))
    assert move.to_note == [1]
    assert move.to_keep == {1, 3}
    assert move.ended
    assert not movement(held, held).ended
    assert movement(held, held).ways == {}


@pytest.mark.parametrize("kind", list(HashKind))
def test_a_flow_in_a_set_has_the_slot_of_its_packets(kind: HashKind) -> None:
    address = replace(ADDRESS, hash_kind=kind, slots=8)
    clients = [(IPv4Address(f"10.0.{n}.7"), 1000 + n) for n in range(50)]
    numbers = [slot(key_of(kind, ip, port, 80), address.seed, 8) for ip, port in clients]
    known = [contents.flow_key(ip, port, 80) for ip, port in clients]
    assert slots_of_keys(address, known) == numbers
    assert len(set(numbers)) == 8


def test_more_addresses_than_the_maps_have_room_for_are_refused_before_anything_is_done() -> None:
    first = IPv4Address("10.0.0.0")
    many = [replace(ADDRESS, ip=first + number) for number in range(ruleset.ADDRESSES_MAX + 1)]
    ruleset.check_room(many[1:])
    with pytest.raises(
        DatapathError, match="4097 shared addresses of IPv4 are wanted, and the nft engine takes 4096"
    ):
        ruleset.check_room(many)
