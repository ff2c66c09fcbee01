"""The rules for alerts: right in Prometheus' eyes, and of names that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from daemon.control.metrics import METRICS

RULES = Path(__file__).parents[3] / "docs" / "monitoring" / "vipcast-alerts.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
_NAME = re.compile(r"\b(?:vipcast|ha_cluster)_[a-z_]+")


def test_promtool_finds_the_rules_right() -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], check=False, capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_told_when_it_should_be_and_not_otherwise() -> None:
    tested = subprocess.run(
        ["promtool", "test", "rules", str(CASES)], check=False, capture_output=True, text=True, timeout=60
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?", CASES.read_text())
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert {(name, bool(silent)) for name, silent in cases} == {
        (name, quiet) for name in alerts for quiet in (0, 1)
    }


def test_the_rules_ask_for_names_that_are_told() -> None:
    names = {metric.name for metric in METRICS} | {
        f"{metric.name}{part}" for metric in METRICS if metric.kind == "histogram" for part in ("_bucket", "_sum")
    }
    asked = {name for line in RULES.read_text().splitlines() if "expr:" in line for name in _NAME.findall(line)}
    assert len(asked) > 10
    assert asked <= names
