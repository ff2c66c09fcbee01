"""No secret leaves by a bundle: by its name in documents and in text, by its value everywhere else."""

from __future__ import annotations

import json
import shlex
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.hiding import HIDDEN, Sieve

SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    "document",
    [
        {"passwd": SECRET},
        {"values": {"ip": "192.0.2.1", "login_password": SECRET}},
        {"name": "passwd", "value": SECRET, "id": "x"},
        [{"nested": [{"SNMP_COMMUNITY": SECRET}]}],
        {"token": SECRET, "reason": f"the agent was given {SECRET}"},
    ],
)
def test_a_secrets_value_is_hidden_in_a_document(document: object) -> None:
    assert SECRET not in json.dumps(Sieve().document(document))


@pytest.mark.parametrize(
    "text",
    [
        f"vipcast resource create db ocf:x:y user=me passwd={SECRET} op monitor",
        f"admin_password = '{SECRET}'",
        f'password: "{SECRET}"',
        f'<nvpair id="a" name="passwd" value="{SECRET}"/>',
        f"<nvpair name='root_pwd' id='a' value='{SECRET}'/>",
        f"OCF_RESKEY_secret_key={SECRET};",
    ],
)
def test_a_value_whose_name_speaks_of_a_secret_is_hidden_in_text(text: str) -> None:
    told = Sieve().text(text)
    assert SECRET not in told
    assert HIDDEN in told


def test_a_value_that_was_hidden_once_is_hidden_in_all_that_follows() -> None:
    sieve = Sieve()
    sieve.document({"passwd": SECRET, "pin_password": "1234"})
    assert sieve.text(f"login as root/{SECRET} failed") == f"login as root/{HIDDEN} failed"
    assert sieve.text("1234 packets") == "1234 packets", "a short value is no telling one"


def test_what_is_no_secret_stays_as_it_is() -> None:
    document = {"ip": "192.0.2.1", "slots": 4, "nodes": ["a1"], "name": "monitor", "value": "10s", "is_up": True}
    assert Sieve().document(document) == document
    assert Sieve().text("a1 opened slot 0 of VIP") == "a1 opened slot 0 of VIP"


def test_a_site_can_name_more_secrets() -> None:
    sieve = Sieve(["^ipmi_"])
    assert sieve.document({"ipmi_user": "admin77"}) == {"ipmi_user": HIDDEN}
    assert Sieve().document({"ipmi_user": "admin77"}) == {"ipmi_user": "admin77"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    st.text(alphabet="abcdefgh0123456789", min_size=8, max_size=20).filter(lambda text: text not in HIDDEN),
)
def test_a_planted_secret_is_nowhere_in_what_comes_out(document: object, secret: str) -> None:
    sieve = Sieve()
    told = sieve.document({"passwd": secret, "rest": document, "said": f"x {secret} y"})
    assert secret not in json.dumps(told) or secret in json.dumps(document)


TRICKY = "open/se\"same'&7"


@pytest.mark.parametrize(
    "text",
    [
        "vipcast resource update db 'password=two words gh9'",
        'Auth: {"apikey": "abcdefgh9"}',
        'said {\\"passwd\\": \\"abcdefgh9\\"}',
        "fence_apc --password abcdefgh9 --ip 10.0.0.1",
        "curl --user-token=abcdefgh9",
        'rejected: secret_key: "abc def gh9"',
        "<nvpair value='abcdefgh9' id='i' name='login_pass'/>",
        "pin=abcdefgh9; access_key: abcdefgh9; psk=abcdefgh9",
        "http://monitor:abcdefgh9@10.0.0.1/server-status",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabcdefgh9\n-----END RSA PRIVATE KEY-----\n",
        "abcdefgh9abcdefgh9==\n-----END PRIVATE KEY-----\n",
        f"key {'0badc0de' * 8} of the cluster",
        "vipcast cluster join VIPCAST-AEBAGBAFABCDEFGHABCDEFGHabcdefgh",
    ],
)
def test_a_secret_is_known_by_its_name_or_by_its_shape(text: str) -> None:
    told = Sieve().text(text)
    assert HIDDEN in told
    for trace in ("abcdefgh9", "gh9", "words", "0badc0de", "AEBAG"):
        assert trace not in told, told


@pytest.mark.parametrize(
    "text",
    [
        "vipcast resource create VIP ocf:heartbeat:IPaddr2 ip=192.168.110.120 clusterip_hash=sourceip",
        'authkey = "/etc/vipcast/authkey"',
        "bypass=1 compass=north spinning: yes",
        "http://10.0.0.1:8080/server-status?auto",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert Sieve().text(text) == text


def test_a_learned_value_is_hidden_in_every_spelling() -> None:
    sieve = Sieve()
    sieve.read({"resources": [{"id": "ipmi", "instance": [{"id": "s", "values": {"passwd": TRICKY}}]}]})
    for form in (TRICKY, json.dumps(TRICKY), shlex.quote(TRICKY), escape(TRICKY)):
        assert "same" not in sieve.text(f"login with {form} refused")


def test_a_value_that_is_part_of_a_name_is_hidden_as_a_value_only() -> None:
    sieve = Sieve()
    document = {"id": "database", "values": {"passwd": "datab", "dir": "/var/lib/database"}}
    assert sieve.document(document) == {
        "id": "database",
        "values": {"passwd": HIDDEN, "dir": "/var/lib/database"},
    }


def test_sections_that_are_kept_as_xml_give_nothing_away() -> None:
    kept = '<alert id="mail"><instance_attributes><nvpair value="abcdefgh9" name="smtp_password" id="x"/></alert>'
    sieve = Sieve()
    assert "abcdefgh9" not in json.dumps(sieve.document({"kept": [kept]}))
    assert sieve.text("sending with abcdefgh9 failed") == f"sending with {HIDDEN} failed"


def test_a_long_line_is_read_once() -> None:
    line = "-" * 200_000 + "passwd" * 10_000
    assert Sieve().text(line) == line
