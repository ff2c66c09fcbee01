"""Which rule, left out, is found by what: `make evidence` writes docs/promises-evidence.md.

Every omission is played anew; a row is written only for what was really found.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.simulation.omissions import OMISSIONS
from tests.simulation.omissions.arguments import ARGUMENTS
from tests.simulation.omissions.omission import Omission

PAGE = Path("docs/promises-evidence.md")
SEEDS_MAX = 150


def found_by(omission: Omission) -> tuple[str, str]:
    """(what found it, what was violated).  Raises AssertionError where nothing did."""
    if omission.scene is not None:
        violation = omission.is_found_in_its_scene()
        assert violation, f"{omission.name} is not found in its scene"
        return f"scene `{omission.scene.__name__}`", violation
    assert omission.first_seed is not None, f"{omission.name} has neither a scene nor a seed"
    for tried in range(1, SEEDS_MAX + 1):
        seed = omission.first_seed + tried - 1
        if violation := omission.is_found_by(seed):
            return f"random seed {seed}, {tried} tried from {omission.first_seed}", violation
    raise AssertionError(f"{omission.name}: {SEEDS_MAX} seeds from {omission.first_seed}, and nothing was violated")


def _order(rule: str) -> tuple[int, str]:
    return (int(rule), "") if rule.isdigit() else (100, rule)


def page() -> str:
    rows = []
    for omission in sorted(OMISSIONS.values(), key=lambda one: (_order(one.rule), one.name)):
        how, violation = found_by(omission)
        print(f"{omission.rule:<12} {omission.name:<22} {how}", flush=True)
        first = violation.splitlines()[0]
        rows.append(f"| {omission.rule} | {omission.mistake} | {how} | {first} |")
    arguments = [
        f"| {rule} | {argument} |" for rule, argument in sorted(ARGUMENTS.items(), key=lambda i: _order(i[0]))
    ]
    return "\n".join(
        [
            "# Evidence for the promises",
            "",
            "Written by `make evidence`. A checker that finds nothing proves nothing: each rule of the leases, and of",
            "consensus itself, is left out once, in a copy of what ships that lacks this one thing, and the simulation",
            "has to find out. `make test` does the same. By chance (a random seed decides every fault) where chance",
            "finds it soon, else in a scene, which is also played with the rule kept and must then do no harm.",
            "",
            "| rule | what was left out | found by | as |",
            "|---|---|---|---|",
            *rows,
            "",
            "## What no fault can reveal",
            "",
            "| rule | why it is kept, and how it is held |",
            "|---|---|",
            *arguments,
            "",
        ]
    )


def main() -> int:
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
