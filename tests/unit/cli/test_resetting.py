"""`vipcast node reset`: a memory is moved aside, never while somebody uses it and never without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon import places
from daemon.cluster.store import Store
from daemon.cluster.store.reset import move_aside
from tests.unit.cli.console import Ran, vipcast


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a host that was a member."""
    system = places.Places(tmp_path / "vipcast.toml", tmp_path / "authkey", tmp_path / "state", tmp_path / "run")
    monkeypatch.setattr(places, "SYSTEM", system)
    folder = tmp_path / "state"
    text = f"""
        [cluster]
        name = "web"
        nodes = ["n1", "n2", "n3"]
        [node]
        name = "n1"
        [[link]]
        interface = "lo"
        group = "239.192.7.7"
        port = 5405
        [paths]
        state = "{folder}"
    """
    system.settings.write_text(text)
    Store.open(folder).close()
    return folder


def reset(state: Path, *words: str) -> Ran:
    return vipcast("node", "reset", *words, "--settings", str(state.parent / "vipcast.toml"))


def test_the_memory_is_moved_aside_and_what_comes_next_is_said(state: Path) -> None:
    before = (state / "cluster.db").read_bytes()
    ran = reset(state, "--yes")
    assert ran.code == 0, ran
    (aside,) = state.glob("reset-*")
    assert str(aside) in ran.lines[0]
    assert "joins the cluster as a learner" in ran.stderr
    assert (aside / "cluster.db").read_bytes() == before
    assert not (state / "cluster.db").exists()
    store = Store.open(state)
    assert store.saved.hard_state.term == 0
    store.close()


def test_a_damaged_memory_can_be_moved_aside(state: Path) -> None:
    (state / "cluster.db").write_bytes(b"no database")
    (state / "cluster.db-wal").write_bytes(b"nor this")
    ran = reset(state, "--yes", "--json")
    assert ran.code == 0, ran
    aside = Path(json.loads(ran.stdout)["moved_to"])
    assert sorted(file.name for file in aside.iterdir()) == ["cluster.db", "cluster.db-wal"]
    Store.open(state).close()


def test_it_is_refused_while_a_daemon_uses_the_folder(state: Path) -> None:
    store = Store.open(state)
    ran = reset(state, "--yes")
    store.close()
    assert ran.code == 1
    assert "systemctl stop vipcastd" in ran.stderr
    assert (state / "cluster.db").exists()
    assert list(state.glob("reset-*")) == []


def test_nobody_is_reset_by_accident(state: Path) -> None:
    ran = reset(state)
    assert ran.code == 1
    assert "nothing was changed: say --yes" in ran.stderr
    assert "the cluster's state is lost" in ran.stderr
    assert (state / "cluster.db").exists()


def test_where_there_is_nothing_that_is_said(state: Path) -> None:
    move_aside(state, "before")
    ran = reset(state, "--yes")
    assert ran.code == 1
    assert "there is no cluster.db here; nothing has to be done" in ran.stderr


def test_without_readable_settings_nothing_is_guessed(state: Path) -> None:
    (state.parent / "vipcast.toml").write_text("[cluster")
    ran = reset(state, "--yes")
    assert ran.code == 1
    assert "Nothing was changed" in ran.stderr
    assert (state / "cluster.db").exists()
