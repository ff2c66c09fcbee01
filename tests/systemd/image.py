"""What `make install DESTDIR=` makes of this tree, once for all laboratories that run it."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.lab.host import REPOSITORY

ROOM = REPOSITORY / "build" / "systemd-lab"
SOURCES = ("Makefile", "agents", "daemon", "datapath", "pyproject.toml", "requirements/runtime.txt", "systemd")
BOUND_S = 240
KEPT = 3
"""former ones, which laboratories may still run"""


def _digest() -> str:
    """Of everything that is installed."""
    found = hashlib.sha256()
    for source in SOURCES:
        path = REPOSITORY / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".o":
                found.update(f"{file.relative_to(REPOSITORY)}\0".encode())
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


@functools.cache
def installed() -> Path:
    """The tree of an installation of what is here now; built where nobody has built it yet."""
    ROOM.mkdir(parents=True, exist_ok=True)
    with (ROOM / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        image = ROOM / _digest()
        if image.exists():
            return image
        former = sorted((path for path in ROOM.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        fresh = ROOM / "fresh"
        for old in (fresh, *former[:-KEPT]):
            shutil.rmtree(old, ignore_errors=True)
        for command in (
            ["make", "--no-print-directory", "install", f"DESTDIR={fresh}"],
            # as the package does it on the host: a third of a start is compiling
            ["/usr/bin/python3", "-m", "compileall", "-q", "-j", "0", "-s", str(fresh), f"{fresh}/usr/lib/vipcast"],
        ):
            done = subprocess.run(
                command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=BOUND_S
            )
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        fresh.rename(image)
        return image
