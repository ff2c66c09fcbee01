"""`make soak MINUTES=10 SEED=0`: rounds of faults on real daemons of all engines; the first broken promise ends it."""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter

from tests.lab import Lab
from tests.lab.service import serve_web, share_address
from tests.netns.faults.ordeal import Ordeal
from tests.soak.faults import Trouble, draw

ENGINES = {"a1": "bpf", "a2": "nft", "a3": "raw", "a4": "nft"}
NEVER_HELD_DOWN = {"hold_down_ms": 0}
FAULTS_A_ROUND = 6
PAUSE_S = (0.0, 2.5)
"""between one deed and the next"""
NEVER_SAID = ("Traceback", "did not come to rest")
"""in any log"""


def one_round(lab: Lab, chance: random.Random, counts: Counter[str]) -> None:
    """Several faults, begun and ended in any order, then a cluster that is whole again.  Raises AssertionError."""
    present: list[Trouble] = []
    with Ordeal(lab) as ordeal:

        def ended(trouble: Trouble) -> None:
            print(f"   {trouble.host}: no longer: {trouble.fault.name}", flush=True)
            present.remove(trouble)
            rebooted = not lab[trouble.host].up
            trouble.fault.end(lab, trouble.host)
            if rebooted:
                ordeal.watch(trouble.host)

        for _ in range(FAULTS_A_ROUND):
            time.sleep(chance.uniform(*PAUSE_S))
            trouble = draw(chance, lab, present)
            if trouble is not None:
                print(f"   {trouble.host}: {trouble.fault.name}", flush=True)
                trouble.fault.begin(lab, trouble.host)
                present.append(trouble)
                counts[trouble.fault.name] += 1
            time.sleep(chance.uniform(*PAUSE_S))
            passing = [trouble for trouble in present if not trouble.fault.by_quorum]
            if passing and chance.random() < 0.5:
                ended(chance.choice(passing))
        for trouble in sorted(present, key=lambda trouble: trouble.fault.by_quorum):
            ended(trouble)
        ordeal.healed()
    faults = [line for line in lab.tail(1_000_000).splitlines() if any(words in line for words in NEVER_SAID)]
    assert not faults, f"{faults}\n{lab.tail(200)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    end = time.monotonic() + 60 * options.minutes
    seed = options.seed
    with Lab(hosts=4, timers=NEVER_HELD_DOWN, engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, hash_kind="sourceip-sourceport")
        serve_web(lab)
        while time.monotonic() < end:
            print(f"round {seed}", flush=True)
            try:
                one_round(lab, random.Random(seed), counts)
            except Exception:
                print(
                    f"round {seed} broke a promise; the same round: make soak SEED={seed} MINUTES=0.1\n{lab.tail(60)}"
                )
                raise
            seed += 1
    for name, count in sorted(counts.items()):
        print(f"{name:<34} {count:>5}")
    print(f"{seed - options.seed} rounds: no packet answered twice, no acknowledged edit lost, whole after each")


if __name__ == "__main__":
    main()
