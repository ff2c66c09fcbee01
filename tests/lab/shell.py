"""`make lab-shell HOST=a1`: a shell in a host of the laboratory that is up, or of a new one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab.host import environment
from tests.lab.lab import Lab
from tests.lab.running import running

GREETING = """\
# written for `make lab-shell`
PS1='[root@\\h \\W]# '
alias pcs=vipcast
cd /root
"""
RCFILE = "/run/lab.bashrc"


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: make lab-shell HOST=a1", file=sys.stderr)
        return 2
    name = sys.argv[1]
    labs = running()
    if labs:
        return enter(name, labs[0].hosts)
    print("No laboratory is up (make demo KEEP=1 leaves one): building one that ends with this shell.")
    try:
        with Lab() as lab:
            lab.start_daemons()
            lab.await_cluster()
            return enter(name, {one: host.init for one, host in lab.hosts.items()})
    except (RuntimeError, TimeoutError, KeyboardInterrupt) as error:
        print(error or "interrupted", file=sys.stderr)
        return 1


def enter(name: str, hosts: dict[str, int]) -> int:
    """An interactive shell; returns its exit status."""
    init = hosts.get(name, 0)
    if not init:
        print(f"{name} is no host that is up; there are: {', '.join(n for n, pid in hosts.items() if pid)}")
        return 1
    Path(f"/proc/{init}/root{RCFILE}").write_text(GREETING)
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the shell's, not ours
    status = subprocess.call(
        [
            *("nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--"),
            *("bash", "--rcfile", RCFILE, "-i"),
        ],
        env=environment(),
    )
    return 0 if sys.stdin.isatty() else status  # at a terminal, the last command's failure is not make's


if __name__ == "__main__":
    sys.exit(main())
