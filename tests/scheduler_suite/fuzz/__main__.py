"""`python -m tests.scheduler_suite.fuzz`: random clusters until the count, or the time, is used up.

`--neighbours` takes the suite's cases with a few changes each instead of clusters out of nothing.

Prints a line for each difference with its seed, the shrunk CIB into the folder that `--keep` names, and a line of
totals at the end.  Exits 1 if there was any difference.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.scheduler_suite.fuzz.cluster import random_cib
from tests.scheduler_suite.fuzz.comparison import compare
from tests.scheduler_suite.fuzz.mutations import neighbour
from tests.scheduler_suite.fuzz.shrink import shrink
from tests.scheduler_suite.peer import PeerRefusedError


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz-scheduler", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000, help="clusters to try")
    parser.add_argument("--seed", type=int, default=0, help="the first one's")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long (0: not by time)")
    parser.add_argument("--themes", default="", help="instead of what each seed chooses, separated by commas")
    parser.add_argument("--further", default="", help="in all of them, too: tickets, locks, health, demote, twice")
    parser.add_argument("--neighbours", action="store_true", help="changed cases of the suite")
    parser.add_argument("--keep", type=Path, help="folder for the shrunk CIBs; printed if none is given")
    parser.add_argument("--whole", action="store_true", help="do not shrink")
    given = parser.parse_args()
    themes = frozenset(given.themes.split(",")) if given.themes else None
    further = frozenset(given.further.split(",")) if given.further else frozenset()
    until = time.monotonic() + given.minutes * 60 if given.minutes else None
    tried = unfinished = explained = different = 0
    with TemporaryDirectory() as name:
        folder = Path(name)

        for seed in range(given.seed, given.seed + given.count):
            if until is not None and time.monotonic() >= until:
                break
            document = neighbour(seed) if given.neighbours else random_cib(seed, themes, further)
            tried += 1
            try:
                found = compare(document, folder)
            except PeerRefusedError as problem:
                if "assertion" not in str(problem) and not given.neighbours:
                    raise  # what we have drawn is no valid CIB
                found = None
            unfinished += found is None
            explained += found is not None and bool(found.fault)
            if found is None or not found.differs:
                continue
            different += 1
            if not given.whole:
                document = shrink(document, still_one_of(set(found.sentences()), folder))
                found = compare(document, folder) or found
            print(f"seed {seed}: {'; '.join(found.sentences())}", flush=True)
            if given.keep:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / f"{seed}.xml").write_bytes(document)
            elif not given.whole:
                print(document.decode(), flush=True)
    print(
        f"{tried} clusters: {different} planned differently, {explained} by known faults of the peer, "
        f"{unfinished} that the peer does not finish"
    )
    return 1 if different else 0


def still_one_of(sentences: set[str], folder: Path) -> Callable[[bytes], bool]:
    """Does a document differ in one of these ways?"""

    def differs(document: bytes) -> bool:
        try:
            found = compare(document, folder)
        except PeerRefusedError:
            return False
        return found is not None and found.differs and not sentences.isdisjoint(found.sentences())

    return differs


if __name__ == "__main__":
    sys.exit(main())
