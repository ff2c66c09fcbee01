"""`vipcast who` without a daemon: the kernel's function, for people who check it by hand."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from datapath.engine import HashKind
from datapath.hashing import key_of, slot
from tests.unit.cli.console import vipcast


def offline(
    client: str, vip: str = "192.168.110.120", slots: str = "64", kind: str = "sourceip", seed: str = "0"
) -> list[str]:
    return ["who", client, "--vip", vip, "--slots", slots, "--hash", kind, "--seed", seed]


@pytest.mark.parametrize("kind", list(HashKind))
@pytest.mark.parametrize(
    ("client", "address", "vip"),
    [
        ("10.0.0.7:4321", "10.0.0.7", "192.168.110.120:80"),
        ("[2001:db8::7]:4321", "2001:db8::7", "[2001:db8::1]:80"),
    ],
)
def test_the_slot_is_the_one_that_the_datapath_computes(
    kind: HashKind, client: str, address: str, vip: str
) -> None:
    ran = vipcast(*offline(client, vip, "64", kind.value, "0x1234abcd"), "--json")
    expected = slot(key_of(kind, ip_address(address), 4321, 80), 0x1234ABCD, 64)
    assert ran.code == 0
    assert ran.stdout == f'{{"slot": {expected}}}\n'


def test_for_people_the_arithmetic_is_shown() -> None:
    ran = vipcast(*offline("10.0.0.7"))
    assert ran.code == 0
    assert ran.lines[0].startswith("slot ")
    assert "key     0a000007" in ran.stdout


def test_an_ipv6_address_needs_no_brackets_without_a_port() -> None:
    ran = vipcast(*offline("2001:db8::7", vip="2001:db8::1"), "--json")
    assert ran.code == 0


def test_the_services_port_may_be_an_option() -> None:
    words = offline("10.0.0.7:4321", kind="sourceip-sourceport-destport")
    with_option = vipcast(*words, "--destport", "80", "--json")
    with_colon = vipcast(
        *offline("10.0.0.7:4321", "192.168.110.120:80", kind="sourceip-sourceport-destport"), "--json"
    )
    assert with_option == with_colon
    assert vipcast(*words, "--json").code == 2


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (offline("10.0.0"), 2, "'10.0.0' is no client"),
        (offline("10.0.0.7:99999"), 2, "ports are 0 to 65535"),
        (offline("10.0.0.7", slots="0"), 2, "--slots takes a number from 1 to 65536"),
        (offline("10.0.0.7", slots="65537"), 2, "--slots takes a number from 1 to 65536"),
        (offline("10.0.0.7", slots="many"), 2, "not 'many'"),
        (offline("10.0.0.7", seed="0x1ffffffff"), 2, "--seed takes 32 bits"),
        (offline("10.0.0.7", seed="x"), 2, "--seed takes a number"),
        (offline("10.0.0.7", kind="destip"), 2, "--hash takes sourceip, sourceip-sourceport"),
        (offline("10.0.0.7", kind="sourceip-sourceport"), 2, "hashes the client's port as well"),
        (offline("10.0.0.7", vip="2001:db8::1"), 1, "10.0.0.7 is IPv4 and 2001:db8::1 is IPv6"),
        (["who", "10.0.0.7", "--slots", "4"], 2, "--vip and --hash and --seed must be given as well"),
        (
            ["who", "10.0.0.7", "--vip", "nonsense", "--slots", "4", "--hash", "sourceip", "--seed", "0"],
            2,
            "nonsense",
        ),
    ],
)
def test_wrong_input_is_named(words: list[str], code: int, told: str) -> None:
    ran = vipcast(*words)
    assert ran.code == code
    assert told in ran.stderr
    assert ran.stdout == ""
