"""Which slot and host a client belongs to, read off a status document; the arithmetic is the datapath's own."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec
import pytest

from daemon.control.schema import SlotStatus
from daemon.control.who import WhoError, who
from datapath.engine import HashKind
from datapath.hashing import key_of, slot
from tests.unit.control import documents

CLIENT = ip_address("10.0.0.7")


@pytest.mark.parametrize("wanted", [None, "VIP", "VIP-clone", "192.168.110.120"])
def test_an_address_is_found_by_its_id_its_clone_or_its_number(wanted: str | None) -> None:
    (answer,) = who(documents.status(), CLIENT, 4321, wanted).addresses
    assert answer.address == "VIP"


def test_the_slot_is_the_one_that_the_datapath_computes() -> None:
    for port in range(1024, 1124):
        (answer,) = who(documents.status(), CLIENT, port).addresses
        key = key_of(HashKind.SOURCEIP_SOURCEPORT, CLIENT, port)
        assert answer.slot == slot(key, 0x1234ABCD, 4)
        assert answer.slot == (answer.hashed * answer.slots_total) >> 32
        assert bytes.fromhex(answer.key) == key
        assert answer.answers == answer.holder == documents.HOSTS[answer.slot]
        assert answer.warnings == ()


def with_every_slot(told: SlotStatus) -> msgspec.Struct:
    slots = tuple(msgspec.structs.replace(told, slot=number) for number in range(4))
    return documents.status(addresses=(documents.address(slots=slots),))


def test_new_connections_go_to_the_successor_only_once_it_opens() -> None:
    draining = with_every_slot(SlotStatus(0, "a1", "draining", "a4"))
    opening = with_every_slot(SlotStatus(0, "a1", "opening", "a4"))
    assert who(draining, CLIENT, 1).addresses[0].answers is None  # type: ignore[arg-type]
    assert "moving to a4" in who(draining, CLIENT, 1).addresses[0].warnings[0]  # type: ignore[arg-type]
    assert who(opening, CLIENT, 1).addresses[0].answers == "a4"  # type: ignore[arg-type]
    assert "moving to a4" in who(opening, CLIENT, 1).addresses[0].warnings[0]  # type: ignore[arg-type]


def test_a_slot_without_a_holder_is_said_to_be_dropped_everywhere() -> None:
    (answer,) = who(with_every_slot(SlotStatus(0, None, "free")), CLIENT, 1).addresses  # type: ignore[arg-type]
    assert answer.answers is None
    assert "no host serves this slot" in answer.warnings[0]


def test_a_holder_that_is_not_online_or_has_no_lease_is_named() -> None:
    document = documents.status()
    offline = tuple(msgspec.structs.replace(node, online=False) for node in document.nodes)
    expired = tuple(msgspec.structs.replace(node, lease_left_ms=0) for node in document.nodes)
    (answer,) = who(documents.status(nodes=offline), CLIENT, 1).addresses
    assert not answer.holder_online
    assert "is not online" in answer.warnings[0]
    (answer,) = who(documents.status(nodes=expired), CLIENT, 1).addresses
    assert "has no lease" in answer.warnings[0]


def test_a_node_without_quorum_warns_that_its_answer_may_be_old() -> None:
    (answer,) = who(documents.status(quorate=False), CLIENT, 1).addresses
    assert "no quorum" in answer.warnings[0]


@pytest.mark.parametrize(
    ("client", "port", "wanted", "told"),
    [
        ("10.0.0.7", None, "VIP", "name the client's port as well, 10.0.0.7:PORT"),
        ("10.0.0.7", 1, "web", "'web' is no address that several hosts share; there are: VIP (192.168.110.120)"),
        ("2001:db8::7", 1, "VIP", "is IPv6"),
    ],
)
def test_a_question_without_an_answer_says_what_to_ask(
    client: str, port: int | None, wanted: str, told: str
) -> None:
    with pytest.raises(WhoError, match=None) as raised:
        who(documents.status(), ip_address(client), port, wanted)
    assert told in str(raised.value)


def test_a_hash_with_the_services_port_asks_for_it() -> None:
    document = documents.status(addresses=(documents.address(hash="sourceip-sourceport-destport"),))
    with pytest.raises(WhoError, match="VIP:PORT"):
        who(document, CLIENT, 1)
    (answer,) = who(document, CLIENT, 1, "VIP", 80).addresses
    assert answer.key == (CLIENT.packed + b"\0\1\0\0" + b"\0\x50\0\0").hex()


def test_a_cluster_without_shared_addresses_says_how_to_get_one() -> None:
    with pytest.raises(WhoError, match="globally-unique"):
        who(documents.status(addresses=()), CLIENT, 1)


def test_a_rule_for_a_port_decides_instead_of_the_hash() -> None:
    document = documents.status(addresses=(documents.address(port_rules="22:one:3 25:refused"),))
    (told,) = who(document, CLIENT, 4321, None, 22).addresses
    assert (told.slot, told.answers, told.rule) == (3, documents.HOSTS[3], "22:one:3")
    (told,) = who(document, CLIENT, 4321, None, 25).addresses
    assert (told.answers, told.rule) == (None, "25:refused")
    assert "every host drops it" in told.warnings[0]
    (told,) = who(document, CLIENT, 4321, None, 80).addresses
    assert (told.slot, told.rule) == (slot(key_of(HashKind.SOURCEIP_SOURCEPORT, CLIENT, 4321), 0x1234ABCD, 4), "")
    (told,) = who(document, CLIENT, 4321).addresses
    assert "name the service's port" in told.warnings[-1]


def test_clients_of_one_network_are_told_the_same_without_a_port() -> None:
    document = documents.status(addresses=(documents.address(hash="sourcenet"),))
    slots = {who(document, ip_address(f"10.0.0.{number}")).addresses[0].slot for number in range(1, 255)}
    assert len(slots) == 1
