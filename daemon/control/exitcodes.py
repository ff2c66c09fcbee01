"""What the exit codes of resource agents say (OCF Resource Agent API 1.1, section 4)."""

from __future__ import annotations

_MEANING = {
    0: "ok",
    1: "error",
    2: "invalid argument",
    3: "unimplemented feature",
    4: "insufficient privileges",
    5: "not installed",
    6: "not configured",
    7: "not running",
    8: "promoted",
    9: "failed while promoted",
}


def meaning_of(exit_code: int) -> str:
    """An agent's exit code in words."""
    return _MEANING.get(exit_code, f"exit code {exit_code}")
