"""The units say what the programs rely on, and give a reason for every line."""

from __future__ import annotations

import configparser
import signal
from pathlib import Path

import pytest

from agents import unit_order
from daemon.ending import SIGNALS, Cause

UNITS = Path(__file__).resolve().parents[3] / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNITS / name)
    return parsed


def test_the_daemon_notifies_is_watched_and_is_not_tried_again_with_wrong_settings() -> None:
    service = unit("vipcastd.service")["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert service["WatchdogSec"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "78")
    assert unit("vipcastd.service")["Unit"]["After"]


def test_the_runner_leaves_the_services_of_its_agents_alone() -> None:
    assert unit("vipcast-runner.service")["Service"]["KillMode"] == "process"


@pytest.mark.parametrize("name", ["vipcastd.service", "vipcast-runner.service", "vipcast.target"])
def test_every_setting_has_its_reason_above_it(name: str) -> None:
    explained = {"Description", "Documentation", "ExecStart"}
    before = ""
    for line in (UNITS / name).read_text().splitlines():
        key = line.split("=")[0]
        if "=" in line and not line.startswith("#") and key not in explained:
            assert before.startswith("#"), f"{name}: {line} has no reason"
        before = line


def test_a_restart_of_the_daemon_is_told_from_a_stop_by_its_signal() -> None:
    service = unit("vipcastd.service")["Service"]
    assert SIGNALS[signal.Signals[service["RestartKillSignal"]]] is Cause.RESTART
    assert "KillSignal" not in service
    assert SIGNALS[signal.SIGTERM] is Cause.STOP


def test_a_unit_that_the_cluster_runs_is_ordered_before_the_core_and_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_order, "DROP_INS", tmp_path)
    assert unit_order.claim("nginx.service")
    assert not unit_order.claim("nginx.service"), "systemd knows it already"
    drop_in = unit(str(tmp_path / "nginx.service.d" / unit_order.NAME))
    assert drop_in["Unit"]["Before"] == "vipcastd.service"
    assert drop_in["Service"]["Restart"] == "no"
    assert unit_order.claim("data.mount")
    assert "Service" not in unit(str(tmp_path / "data.mount.d" / unit_order.NAME))
    other = tmp_path / "nginx.service.d" / "by-hand.conf"
    other.touch()
    assert unit_order.release("nginx.service")
    assert not unit_order.release("nginx.service")
    assert other.exists()
    assert unit_order.release("data.mount")
    assert list(tmp_path.iterdir()) == [other.parent]
