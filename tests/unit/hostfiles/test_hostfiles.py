"""A host becomes a member by two files, or stays as it was."""

from __future__ import annotations

import stat
import tomllib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import keys, places
from daemon.hostfiles import Files, HostFilesError, LinkTable, Membership, compose, group_of
from daemon.settings import load

KEY = bytes(range(32))
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True)


def membership(**changes: object) -> Membership:
    values: dict[str, object] = {
        "cluster": "web",
        "node": "n1",
        "links": (LinkTable("eth0", "239.192.110.1"),),
        "founders": ("n1",),
    }
    return Membership(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.at(places.SYSTEM, str(tmp_path / "etc" / "vipcast.toml"))


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_both_files_are_written_with_their_modes_and_read_back(files: Files) -> None:
    wanted = membership(authkey=files.authkey, profile="fast", timers={"lease_ms": 200}, cipher="chacha20-poly1305")
    files.put(wanted, KEY)
    loaded = load(files.settings)
    assert (loaded.cluster.name, loaded.node.name, loaded.founders) == ("web", "n1", ("n1",))
    assert loaded.links[0].interface == "eth0"
    assert (loaded.timers.heartbeat_ms, loaded.timers.lease_ms) == (20, 200)
    assert loaded.cluster.cipher == "chacha20-poly1305"
    assert loaded.key() == KEY
    assert stat.S_IMODE(files.settings.stat().st_mode) == 0o644
    assert stat.S_IMODE(files.authkey.stat().st_mode) == 0o600
    assert sorted(everything(files.settings.parent)) == ["authkey", "vipcast.toml"]


def test_a_member_that_joins_names_no_founders(files: Files) -> None:
    files.put(membership(founders=(), witness=True, authkey=files.authkey), KEY)
    loaded = load(files.settings)
    assert loaded.founders == ()
    assert loaded.node.witness


def test_settings_that_the_daemon_would_refuse_are_not_written(files: Files) -> None:
    with pytest.raises(HostFilesError, match="is no IPv4 multicast group"):
        files.put(membership(links=(LinkTable("eth0", "10.0.0.1"),)), KEY)
    assert everything(files.settings.parent) == {}


def test_what_was_there_before_is_kept_beside_it(files: Files) -> None:
    files.put(membership(authkey=files.authkey), KEY)
    before = files.settings.read_bytes()
    files.put(membership(cluster="other", authkey=files.authkey), bytes(32))
    found = everything(files.settings.parent)
    assert found["vipcast.toml.old"] == before
    assert found["authkey.old"] == KEY
    assert load(files.settings).cluster.name == "other"
    assert keys.read(files.authkey) == bytes(32)


def test_where_one_file_cannot_be_placed_the_other_is_put_back(files: Files) -> None:
    files.put(membership(authkey=files.authkey), KEY)
    files.settings.unlink()
    files.settings.mkdir()
    (files.settings / "in-the-way").touch()
    with pytest.raises(HostFilesError, match="nothing was changed"):
        files.put(membership(cluster="other", authkey=files.authkey), bytes(32))
    assert keys.read(files.authkey) == KEY
    assert (files.settings / "in-the-way").exists()
    assert not list(files.settings.parent.glob(".*.new"))


@given(NAMES)
def test_every_cluster_s_group_is_a_multicast_group_of_an_organization(name: str) -> None:
    assert IPv4Address(group_of(name)) in IPv4Network("239.192.0.0/14")
    assert group_of(name) == group_of(name)


@given(st.text(max_size=30))
def test_no_path_can_break_out_of_its_quotes(text: str) -> None:
    composed = compose(membership(authkey=Path("/" + text.replace("\0", ""))))
    assert tomllib.loads(composed)["cluster"]["name"] == "web"
