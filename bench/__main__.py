"""Entry of `make bench`: all benchmarks, or those that are named."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import agreement, commit, footprint, gap, moves, packets, repair, scheduler, suspicion
from bench.page import put_into
from bench.report import Report

BENCHMARKS = {
    "gap": gap.measure,
    "agreement": agreement.measure,
    "commit": commit.measure,
    "suspicion": suspicion.measure,
    "packets": packets.measure,
    "moves": moves.measure,
    "repair": repair.measure,
    "footprint": footprint.measure,
    "scheduler": scheduler.measure,
}
OUTPUT = Path("build/bench.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which (default: all)")
    parser.add_argument("--runs", type=int, default=10, help="samples of each figure")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--page", type=Path, help="a page of the documentation whose table is written anew")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")
    report = Report()
    for name in options.names or BENCHMARKS:
        BENCHMARKS[name](report, options.runs)
    report.write(options.output)
    if options.page is not None:
        put_into(options.page, report.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
