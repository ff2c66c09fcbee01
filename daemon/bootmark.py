"""What is remembered of this boot of the host across restarts of the daemon: that all nodes were heard at once.

`wait-for-all` asks for it (votequorum(5) has the same rule).  The file lies in the run directory, which is empty
after a boot, and names the kernel's boot id all the same: some hosts keep that directory.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger("vipcast")

NAME = "heard-all"
BYTES_MAX = 128
"""a kernel's boot id has 36"""


def heard_all(run: Path, kernel_boot_id: str) -> bool:
    """Whether a daemon of this boot has heard all nodes; what cannot be read counts as no."""
    try:
        with (run / NAME).open("rb") as file:
            return file.read(BYTES_MAX).decode("ascii", "replace").strip() == kernel_boot_id
    except OSError:
        return False


def note_heard_all(run: Path, kernel_boot_id: str) -> None:
    """Failure costs only patience after a restart of the daemon, so it is told and no more."""
    new = run / f"{NAME}.new"
    try:
        new.write_text(f"{kernel_boot_id}\n", encoding="ascii")
        os.replace(new, run / NAME)
    except OSError as error:
        log.warning("cannot note in %s that all nodes were heard: %s", run / NAME, error.strerror or error)
