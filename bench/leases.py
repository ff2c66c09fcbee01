"""What a host accepts after its lease: `make bench-leases` writes docs/performance/leases.md.

Each engine, each way to end a daemon, over and over; the trials of tests/netns/leases.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.netns.leases.trial import LEASE_MS, RENEWED_EVERY_MS, WAYS, Outcome, bench_of, trial
from tests.netns.moves.hosts import MAKERS

PAGE = Path("docs/performance/leases.md")
NS_PER_MS = 1e6
NS_PER_US = 1e3


@dataclass(frozen=True)
class Series:
    engine: str
    way: str
    outcomes: Sequence[Outcome]

    @property
    def accepted(self) -> int:
        return sum(outcome.accepted for outcome in self.outcomes)

    @property
    def after(self) -> int:
        """Requests that came after the deadlines, by the rate before them."""
        return sum(outcome.sent_after for outcome in self.outcomes)

    @property
    def late(self) -> int:
        return sum(outcome.late for outcome in self.outcomes)


def measure(trials: int) -> list[Series]:
    found = []
    for engine in MAKERS:
        with tempfile.TemporaryDirectory() as room, bench_of(engine, Path(room)) as bench:
            for name, (way, recover) in WAYS.items():
                series = Series(engine, name, [trial(bench, way, recover) for _ in range(trials)])
                last_ns = max(outcome.last_accepted for outcome in series.outcomes)
                print(
                    f"{engine}, {name}: {series.accepted} accepted, {series.late} late, last {last_ns} ns",
                    flush=True,
                )
                found.append(series)
    return found


def page(series: Sequence[Series]) -> str:
    trials = len(series[0].outcomes)
    return f"""# What a host accepts after its lease: nothing

Written by `make bench-leases`. Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores
that others used as well.

A host has a lease of {LEASE_MS} ms, renewed every {RENEWED_EVERY_MS} ms, and hears some thousands of echo requests a
second; its kernel answers each that is accepted, at once. At a random moment its daemon's process is stopped, killed
or frozen, or writes a deadline that has passed: {trials} times each. A stopped and a frozen one go on later, and write
what they were about to write. A capture behind the filter has what was accepted, with the kernel's stamps of when it
came; one at the client has the answers. Times are from the deadline on, the latest that the daemon had decided on, and
negative before it.

{_table(series)}

- *After*: requests that came from the deadline on, and *late*: those of them that were accepted.
- An answer that is stamped some µs after a deadline belongs to a request that was accepted before it.
- nft falls silent up to a tick of the kernel (4 ms) before the deadline where its element's time-out comes first; the
  raw engine a millisecond before: its forwarder looks at the clock, and then hands the packet to the kernel.

A short form is in `tests/netns/test_lease_end.py`.
"""


def _table(series: Iterable[Series]) -> str:
    lines = [
        "| | | accepted before | after | late | last accepted, ms: median | latest | last answer, latest, µs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in series:
        last = [outcome.last_accepted / NS_PER_MS for outcome in one.outcomes]
        answered = max(outcome.last_answered for outcome in one.outcomes) / NS_PER_US
        lines.append(
            f"| {one.engine} | {one.way} | {one.accepted:,} | {one.after:,} | {one.late} |"
            f" {statistics.median(last):.3f} | {max(last):.3f} | {answered:,.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-leases", description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="of each engine and way")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.trials < 1:
        parser.error("--trials: at least 1")
    series = measure(options.trials)
    options.page.write_text(page(series), encoding="utf-8")
    return 1 if any(one.late for one in series) else 0


if __name__ == "__main__":
    sys.exit(main())
