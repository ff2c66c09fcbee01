"""`make lab-down`: end the laboratories that `make demo KEEP=1` left up."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from tests.lab.namespaces import status_of
from tests.lab.running import running
from tests.lab.waiting import wait_until

BOUND_S = 15.0


def main() -> int:
    labs = [lab for lab in running() if (lab.directory / "kept").exists()]
    if not labs:
        print("No laboratory was left up.")
    for lab in labs:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
            os.kill(lab.pid, signal.SIGTERM)
        wait_until(lambda pid=lab.pid: status_of(pid) is None, BOUND_S, f"end of {lab.pid}")  # type: ignore[misc]
        print(f"Removed the laboratory of process {lab.pid}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
