"""The notes of what a host was like before: complete after a crash, void after a boot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datapath.engine import DatapathError
from datapath.host.ledger import Ledger, note, strike


def test_what_was_noted_is_read_by_the_next_process(tmp_path: Path) -> None:
    ledger = Ledger.load(tmp_path / "host.json")
    ledger.settings["ipv4/conf/all/arp_ignore"] = ("0", "1")
    assert note(ledger.addresses, "lo", "10.0.0.1")
    assert not note(ledger.addresses, "lo", "10.0.0.1")
    note(ledger.macs, "eth0", "21:37:6f:88:c2:a0")
    ledger.save()
    again = Ledger.load(tmp_path / "host.json")
    assert again == ledger
    assert not again.is_empty
    assert list(tmp_path.iterdir()) == [tmp_path / "host.json"]


@pytest.mark.parametrize("place", [0, 1], ids=["boot", "namespace"])
def test_notes_of_another_boot_or_namespace_are_void(tmp_path: Path, place: int) -> None:
    path = tmp_path / "host.json"
    ledger = Ledger(path, settings={"ipv4/conf/all/arp_ignore": ("0", "1")})
    ledger.save()
    noted = json.loads(path.read_text())
    noted["where"][place] = "elsewhere"
    path.write_text(json.dumps(noted))
    assert Ledger.load(path).is_empty


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"where": 1}', '{"where": [], "settings": 3}'])
def test_damaged_notes_are_void(tmp_path: Path, content: str) -> None:
    (tmp_path / "host.json").write_text(content)
    assert Ledger.load(tmp_path / "host.json").is_empty


def test_striking_the_last_entry_leaves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "host.json")
    note(ledger.groups, "eth0", "239.255.0.1")
    strike(ledger.groups, "eth0", "239.255.0.1")
    strike(ledger.groups, "eth1", "239.255.0.1")
    assert ledger.is_empty


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatapathError, match=r"host\.json"):
        Ledger(tmp_path / "file" / "host.json").save()
