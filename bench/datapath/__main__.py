"""Entry of `make bench-datapath`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.datapath import alone, changes, packets, relay, traffic
from bench.datapath.goals import Measured, goals
from bench.datapath.page import page, plot

PAGE = Path("docs/performance/datapath.md")
PLOTS = {which: PAGE.with_name(f"datapath-{which}.svg") for which in ("slots", "addresses")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-datapath", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=10, help="seconds of each stream; everything else in proportion"
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")
    runs = options.runs
    print("packets", flush=True)
    packet_figures = packets.measure(20 * runs)
    print("the program alone, and the forwarder", flush=True)
    alone_figures, relay_figures = alone.measure(2 * runs), relay.measure(2 * runs)
    print("slots and leases", flush=True)
    change_figures = changes.measure(2 * runs)
    print("streams and connections", flush=True)
    measured = Measured(
        packet_figures,
        alone_figures,
        relay_figures,
        traffic.gigabits(2 * runs),
        traffic.connections(2 * runs),
        change_figures,
    )
    options.page.write_text(page(measured), encoding="utf-8")
    for which, path in PLOTS.items():
        options.page.with_name(path.name).write_text(plot(measured.packets, which), encoding="utf-8")
    for goal in goals(measured):
        said = "met" if goal.is_met else "MISSED"
        print(f"{goal.text}: {goal.figure:{goal.shown}} (at most {goal.bound:{goal.shown}}): {said}")
    print(f"written to {options.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
