"""Network namespaces with names, which end with the process that made them, even by `kill -9`.

A keeper reads the names from a pipe whose other end is this process's alone; when that is closed, by whatever end,
it deletes what is left of them.
"""

from __future__ import annotations

import subprocess
from functools import cache

KEEPER = """
names=
while read -r name; do names="$names $name"; done
for name in $names; do ip netns delete "$name" 2>/dev/null; done
"""
TIMEOUT_S = 10


@cache
def _keeper() -> subprocess.Popen[bytes]:
    """One for each process of tests.  A session of its own: Ctrl-C is not for it."""
    return subprocess.Popen(
        ["sh", "-c", KEEPER], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, cwd="/"
    )


def add(name: str) -> None:
    """Make the namespace.  Raises CalledProcessError where there is one of that name."""
    pipe = _keeper().stdin
    assert pipe is not None
    pipe.write(f"{name}\n".encode())
    pipe.flush()
    subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, timeout=TIMEOUT_S)


def delete(name: str) -> None:
    """One that is gone already is no error."""
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=TIMEOUT_S)
