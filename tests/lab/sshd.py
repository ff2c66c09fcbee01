"""A real ssh between the hosts of a laboratory: root may log in from each of them on each, by one key of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.lab.host import Host
from tests.lab.waiting import wait_until

CLIENT = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=2"
_SETTINGS = """\
HostKey /root/sshd/host
AuthorizedKeysFile /root/sshd/key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
SetEnv PATH={path}
"""


@contextmanager
def reachable_by_ssh(hosts: Iterable[Host]) -> Iterator[str]:
    """Run sshd on the hosts; gives the command that reaches one of them."""
    everyone = list(hosts)
    first = everyone[0]
    first.shell(_make("key")).check()
    with ExitStack() as running:
        for host in everyone:
            host.shell(f"mkdir -p /run/sshd; {_make('host')}").check()
            for name in ("key", "key.pub"):
                host.write_bytes(f"/root/sshd/{name}", first.path(f"/root/sshd/{name}").read_bytes(), mode=0o600)
            host.write("/root/sshd/settings", _SETTINGS.format(path=host.environment()["PATH"]))
            with host.log("sshd").open("ab") as log:
                daemon = host.popen(
                    "/usr/sbin/sshd", "-D", "-e", "-f", "/root/sshd/settings", stdout=log, stderr=log
                )
            running.callback(daemon.end)
        for host in everyone:
            wait_until(lambda: host.shell("ss -tln | grep -q ':22 '").returncode == 0, 10, "sshd")  # noqa: B023
        yield f"{CLIENT} -i /root/sshd/key"


def _make(key: str) -> str:
    return f"mkdir -p /root/sshd; test -e /root/sshd/{key} || ssh-keygen -q -t ed25519 -N '' -f /root/sshd/{key}"
