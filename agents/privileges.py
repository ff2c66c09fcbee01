"""What vipcast-runner does for a core that is not root: `datapath.host.privileged` asks.

A socket of its own, for root and the core's user alone.  Nothing here takes a path, and what is written is looked at:
whoever takes over the core gets the network, which it has anyway, and the agents, which it may start anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
import subprocess
from pathlib import Path

import msgspec

from datapath.bpf.inheritance import lend_maps
from datapath.host.privileged import (
    SETTINGS,
    SYSCTL,
    TUN,
    USER,
    Answer,
    KillAgents,
    OpenMaps,
    OpenTun,
    Reboot,
    Request,
    WriteSetting,
    core_user,
)

log = logging.getLogger("vipcast.runner")

REQUEST_BYTES_MAX = 512
VALUE_MAX = 10
CGROUPS = Path("/sys/fs/cgroup")
UNIT = "vipcast-runner.service"
REBOOT = ("systemctl", "reboot", "--force", "--force")
"""systemctl(1): at once, neither services nor file systems are asked"""

_CREDENTIALS = struct.Struct("3i")
_decoder = msgspec.msgpack.Decoder(Request)


def may_ask(peer: socket.socket) -> int | None:
    """The peer's user where it is root, this process's user or the core's; None: it is a stranger."""
    _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid if uid in (0, os.geteuid(), core_user()) else None


def open_to_the_core(path: Path) -> None:
    """A socket's file to root and the core's user, from nobody's hands to theirs (it was made with mode 0600)."""
    user = core_user()
    if os.geteuid() == 0 and user is not None:
        os.chown(path, user, -1, follow_symlinks=False)


class Privileges:
    """Listens on the running loop from `start` to `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Raises OSError."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(self._path))
        finally:
            os.umask(before)
        open_to_the_core(self._path)
        listener.listen()
        asyncio.get_running_loop().add_reader(listener, self._take, listener)
        self._listener = listener

    def close(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    def _take(self, listener: socket.socket) -> None:
        """One connection; its request is there or comes within a moment, and is answered at once."""
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            if may_ask(connection) is None:
                log.warning("refused a request: it came from neither root nor %s", USER)
                connection.close()
                return
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            late = loop.call_later(1.0, self._forget, connection)
            loop.add_reader(connection, self._answer, connection, late)

    def _forget(self, connection: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()

    def _answer(self, connection: socket.socket, late: asyncio.TimerHandle) -> None:
        late.cancel()
        asyncio.get_running_loop().remove_reader(connection)
        with connection, contextlib.suppress(OSError):
            descriptors: list[int] = []
            try:
                descriptors = carry_out(_decoder.decode(connection.recv(REQUEST_BYTES_MAX)))
                answer = Answer(0, "")
            except OSError as error:
                answer = Answer(error.errno or errno.EIO, error.strerror or str(error))
            except (msgspec.MsgspecError, RecursionError) as error:
                answer = Answer(errno.EINVAL, f"not a request: {error}")
            try:
                socket.send_fds(connection, [msgspec.msgpack.encode(answer)], descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)


def carry_out(request: Request) -> list[int]:
    """Do it; descriptors for the asker.  Raises OSError."""
    match request:
        case WriteSetting(name=name, value=value):
            if not SETTINGS.fullmatch(name) or not 0 <= value <= VALUE_MAX:
                raise OSError(errno.EINVAL, f"net/{name} = {value} is none of the settings that vipcast needs")
            (SYSCTL / name).write_text(str(value), encoding="ascii")
        case OpenTun():
            return [os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)]
        case OpenMaps(program=program):
            return lend_maps(program)
        case KillAgents():
            kill_agents()
        case Reboot():
            log.critical("the core has lost quorum: this host reboots (no-quorum-policy=suicide)")
            subprocess.Popen(REBOOT, stdin=subprocess.DEVNULL, start_new_session=True)
    return []


def group(cgroups: Path = CGROUPS) -> Path | None:
    """The control group of the runner's own unit (cgroups(7), systemd.slice(5)); None: it has none."""
    found = cgroups / "system.slice" / UNIT
    return found if (found / "cgroup.kill").exists() else None


def kill_agents(cgroups: Path = CGROUPS) -> None:
    """All of the unit's group.  Without one the runner shares its group with strangers: OSError, nothing is done."""
    own = group(cgroups)
    if own is None:
        raise OSError(
            errno.ENOENT,
            f"there is no group of {UNIT} to kill: look for what is left of the resources on this host",
        )
    log.critical("not everything could be stopped: killing all of %s", own)
    (own / "cgroup.kill").write_text("1", encoding="ascii")
