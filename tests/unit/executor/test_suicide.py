"""What suicide kills, what it never kills, and what is remembered of a boot."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agents import privileges
from daemon import bootmark, suicide


def test_only_a_group_of_the_runner_s_own_unit_is_killed(tmp_path: Path) -> None:
    assert privileges.group(tmp_path) is None
    group = tmp_path / "system.slice" / privileges.UNIT
    group.mkdir(parents=True)
    with pytest.raises(OSError, match="no group of"):
        privileges.kill_agents(tmp_path)
    (group / "cgroup.kill").touch()
    privileges.kill_agents(tmp_path)
    assert (group / "cgroup.kill").read_text() == "1"


def test_the_host_is_left_alone_unless_its_settings_say_reboot(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it must not run anything")

    monkeypatch.setattr(suicide.os, "execvp", refuse)
    with caplog.at_level(logging.CRITICAL):
        suicide.last_word("end")
    assert "no-quorum-policy=suicide" in caplog.text


def test_that_all_were_heard_is_remembered_for_this_boot_only(tmp_path: Path) -> None:
    assert not bootmark.heard_all(tmp_path, "boot-1")
    bootmark.note_heard_all(tmp_path, "boot-1")
    assert bootmark.heard_all(tmp_path, "boot-1")
    assert not bootmark.heard_all(tmp_path, "boot-2")


def test_a_run_directory_that_cannot_be_written_is_told_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bootmark.note_heard_all(tmp_path / "missing", "boot-1")
    assert "cannot note" in caplog.text
    assert not bootmark.heard_all(tmp_path / "missing", "boot-1")
