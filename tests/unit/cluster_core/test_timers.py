"""The arithmetic of the timers, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.cluster.timers import PROFILES, Timers


@pytest.mark.parametrize("profile", PROFILES)
def test_the_profiles_are_sound(profile: str) -> None:
    assert PROFILES[profile].findings() == []


def test_the_promise_outlasts_the_leadership_lease_by_the_drift() -> None:
    assert Timers().promise_ns == 180_000_000
    assert Timers().loss_after_ns == 425_000_000


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"lease_ms": 339}, "lease_ms"),
        ({"leadership_lease_ms": 170}, "lease_ms"),
        ({"leadership_lease_ms": 99}, "leadership_lease_ms"),
        ({"heartbeat_ms": 4}, "heartbeat_ms"),
        ({"heartbeat_ms": 0}, "heartbeat_ms"),
        ({"drift": 0.0}, "drift"),
        ({"drift": 1.5}, "drift"),
        ({"commit_bound_ms": 300}, "commit_bound_ms"),
        ({"margin_ms": -1}, "margin_ms"),
    ],
)
def test_unsound_timers_are_refused_by_name(changes: dict[str, float], name: str) -> None:
    findings = replace(Timers(), **changes).findings()  # type: ignore[arg-type]
    assert len(findings) == 1
    assert findings[0].startswith(name)


def test_the_shortest_sound_lease_is_named_as_the_remedy() -> None:
    [finding] = replace(Timers(), lease_ms=100).findings()
    assert "340" in finding
    assert replace(Timers(), lease_ms=340).findings() == []
