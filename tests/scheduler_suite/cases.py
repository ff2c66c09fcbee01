"""The peer's regression cases as data: where they are, and what is compared.

They are not part of the repository: `VIPCAST_SCHEDULER_SUITE` names the folder, else `../shared/scheduler-suite`
beside it is taken.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.simulate import simulate

REPOSITORY = Path(__file__).resolve().parents[2]
NOW_MS = 1_700_000_000_000
"""for the few cases that say no execution-date"""


def suite_folder() -> Path:
    named = os.environ.get("VIPCAST_SCHEDULER_SUITE")
    return Path(named) if named else REPOSITORY.parent / "shared" / "scheduler-suite"


@dataclass(frozen=True)
class Case:
    name: str
    document: bytes
    expected: dict[str, Any]

    @property
    def kind(self) -> str:
        """A: the core; B: beyond it."""
        return str(self.expected["class"])


def case_names() -> list[str]:
    return sorted(path.stem for path in (suite_folder() / "dev" / "expected").glob("*.json"))


def load(name: str) -> Case:
    folder = suite_folder() / "dev"
    expected = json.loads((folder / "expected" / f"{name}.json").read_text(encoding="utf-8"))
    return Case(name, (folder / "xml" / f"{name}.xml").read_bytes(), expected)


def differences(case: Case) -> list[str]:
    """What our result says otherwise than the peer's, a sentence for each resource."""
    result = simulate(read_view(case.document, NOW_MS))
    found: list[str] = []
    expected: dict[str, dict[str, str]] = case.expected["expected"]
    for name in sorted({*expected, *result["placement"]}):
        wanted = expected.get(name, {})
        hosts, got = sorted(wanted), result["placement"].get(name, [])
        if hosts != got:
            found.append(f"{name} is to run on {hosts}, not {got}")
            continue
        promoted = sorted(host for host, role in wanted.items() if role in {"Promoted", "Master"})
        masters = result["promoted"].get(name, [])
        if promoted != masters:
            found.append(f"{name} is to be promoted on {promoted}, not {masters}")
    return found
