"""The clock's rate: what a time daemon may do to it, and what the leases allow for."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cluster.timers import DRIFT_MIN, Timers
from daemon.slew import CRYSTAL_PPM, bound_ppm, drift_for, findings


def host(root: Path, *running: str, **files: str) -> Path:
    for number, name in enumerate(running, 1):
        (root / "proc" / str(number)).mkdir(parents=True)
        (root / "proc" / str(number) / "comm").write_text(f"{name[:15]}\n")
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_conf", ".conf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_default_allows_for_chrony_s_default(tmp_path: Path) -> None:
    assert findings(Timers().drift, host(tmp_path, "chronyd", etc__chrony__chrony_conf="pool x\n")) == []


def test_a_host_without_a_time_daemon_is_fine_with_the_least_drift(tmp_path: Path) -> None:
    assert findings(DRIFT_MIN, host(tmp_path, "bash")) == []


@pytest.mark.parametrize("daemon", ["ntpd", "systemd-timesyncd"])
def test_daemons_that_leave_slewing_to_the_kernel_are_fine_with_the_least_drift(
    tmp_path: Path, daemon: str
) -> None:
    assert findings(DRIFT_MIN, host(tmp_path, daemon)) == []


def test_a_chrony_that_may_slew_too_fast_is_named_with_its_line_and_both_remedies(tmp_path: Path) -> None:
    root = host(tmp_path, "chronyd", etc__chrony__chrony_conf="pool x\nmaxslewrate 90000\nmaxslewrate 95000\n")
    [finding] = findings(0.2, root)
    assert finding.running
    assert (
        "chronyd may change the clock's rate by 95000 ppm (maxslewrate in /etc/chrony/chrony.conf:3)"
        in finding.sentence
    )
    assert "set maxslewrate 90409 in chrony.conf, or set drift = 0.22 under [timers]" in finding.sentence


def test_following_the_remedy_helps(tmp_path: Path) -> None:
    root = host(tmp_path, "chronyd", etc__chrony__chrony_conf="maxslewrate 90409\n")
    assert findings(0.2, root) == []
    assert (
        findings(drift_for(95_000 + CRYSTAL_PPM), host(tmp_path / "b", etc__chrony_conf="maxslewrate 95000")) == []
    )


def test_files_that_chrony_conf_includes_are_read(tmp_path: Path) -> None:
    root = host(
        tmp_path,
        etc__chrony__chrony_conf="confdir /etc/chrony/conf.d\n",
        **{"etc__chrony__conf.d__fast_conf": "maxslewrate 100000\n"},
    )
    [finding] = findings(0.2, root)
    assert not finding.running
    assert "/etc/chrony/conf.d/fast.conf:1" in finding.sentence


@pytest.mark.parametrize("text", ["maxslewrate\n", "maxslewrate quick\n", "\x00\xff maxslewrate", ""])
def test_nonsense_in_chrony_conf_leaves_the_default(tmp_path: Path, text: str) -> None:
    assert findings(0.2, host(tmp_path, "chronyd", etc__chrony_conf=text)) == []


def test_the_bound_is_that_of_the_leases() -> None:
    for drift in (0.01, 0.2, 1.0):
        rho = bound_ppm(drift) / 1_000_000
        assert (1 + rho) / (1 - rho) == pytest.approx(1 + drift)
