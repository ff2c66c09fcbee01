"""`make fuzz COUNT=1000000 SEED=0`: bad datagrams at the unsealing and decoding layer, and what one costs."""

from __future__ import annotations

import argparse
import logging
import time

from tests.fuzz.datagrams import Fuzz, cost_ns


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    fuzz = Fuzz(options.seed)
    begin = time.monotonic()
    fuzz.run(options.count)
    took_s = time.monotonic() - begin
    for reason, count in sorted(fuzz.target.transport.statistics().refusals.items()):
        print(f"{reason:<16} {count:>9}")
    print(f"{'delivered':<16} {fuzz.target.heard.total():>9}")
    print(f"{options.count} datagrams in {took_s:.0f} s: nothing raised, nothing grew")
    sample = 20_000
    for what, kind in (("forged", fuzz.forged), ("noise", fuzz.noise)):
        print(f"one {what} datagram costs {cost_ns([kind() for _ in range(sample)]):.0f} ns")


if __name__ == "__main__":
    main()
