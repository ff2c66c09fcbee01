"""What the core cannot do as an ordinary user: kernel settings, opening the TUN device and a former process's maps.

As root it does so itself.  As a service it runs without root and with /proc/sys and /dev closed to it, and asks
vipcast-runner, by a socket of its own beside that of the agents: one request and one answer a connection (unix(7),
SOCK_SEQPACKET), descriptors as ancillary data.  Requests are waited for, `ANSWER_S` at most: they come when an
address comes or goes, and each takes a fraction of a millisecond.  Whoever gets RunnerAwayError asks again later
(`daemon.applying`): a runner that is started again is away for a second or two.

`agents.privileges` is the other side, and judges what it is asked for by `SETTINGS`.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import socket
import time
from pathlib import Path

import msgspec

USER = "vipcast"
"""whom the core runs as (systemd/vipcast.sysusers)"""
TUN = "/dev/net/tun"
SYSCTL = Path("/proc/sys/net")
SETTINGS = re.compile(
    r"ipv[46]/conf/(?!\.{1,2}/)[^/\s]{1,15}/(arp_ignore|arp_announce|drop_unicast_in_l2_multicast|rp_filter|addr_gen_mode)"
)
"""below net/ (Documentation/networking/ip-sysctl.rst); an interface's name has 15 bytes, no slash (dev_valid_name)"""
ANSWER_S = 0.2
"""less than a lease: a runner that hangs costs an address its set-up, and nobody a heartbeat more than that"""
ANSWER_BYTES_MAX = 4096
DESCRIPTORS_MAX = 32
AGAIN_S = 0.1
REST_S = 2.0
"""after a runner that did not answer in time: until then nobody waits for it again"""
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class RunnerAwayError(OSError):
    """vipcast-runner does not answer just now: it is started again, or starved.  The same may be asked again soon."""


class RunnerEndedError(RunnerAwayError):
    """It took the request and ended before it answered: as KillAgents and Reboot have it do."""


class WriteSetting(msgspec.Struct, tag="setting", array_like=True, frozen=True):
    """Write a kernel setting below net/."""

    name: str
    value: int


class OpenTun(msgspec.Struct, tag="tun", array_like=True, frozen=True):
    """Hand out an open descriptor of the TUN device; what is made of it needs CAP_NET_ADMIN all the same."""


class OpenMaps(msgspec.Struct, tag="maps", array_like=True, frozen=True):
    """Hand out the maps of a BPF program that vipcast has attached on this host (`datapath.bpf.inheritance`)."""

    program: int


class KillAgents(msgspec.Struct, tag="kill-agents", array_like=True, frozen=True):
    """End everything that agents have started, the runner included (no-quorum-policy=suicide)."""


class Reboot(msgspec.Struct, tag="reboot", array_like=True, frozen=True):
    """Reboot the host at once (no-quorum-policy=suicide)."""


class Answer(msgspec.Struct, array_like=True, frozen=True):
    errno: int
    """0: done"""
    reason: str


Request = WriteSetting | OpenTun | OpenMaps | KillAgents | Reboot

_door: Path | None = None
_rest_until = 0.0
"""time.monotonic() until which a runner that hangs is not asked"""


def core_user() -> int | None:
    """Number of the user that the core runs as; None on a host that has none: there it is root."""
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        return None


def sockets_beside(run: Path) -> Path:
    """The runner's own folder, beside that of the core: root writes into none that another user may change."""
    return run.with_name(f"{run.name}-runner")


def ask_at(path: Path | None) -> None:
    """Where the runner takes such requests, for the rest of this process; None: nowhere."""
    global _door, _rest_until
    _door, _rest_until = path, 0.0


def write_setting(name: str, value: str) -> None:
    """Write `value` to the kernel setting net/`name`.  Raises OSError, RunnerAwayError among them."""
    try:
        (SYSCTL / name).write_text(value, encoding="ascii")
    except OSError as error:
        if error.errno not in _CLOSED or _door is None:
            raise
        ask(WriteSetting(name, int(value)))


def open_tun() -> int:
    """A descriptor of the TUN device, not blocking, closed on exec.  Raises OSError, RunnerAwayError among them."""
    try:
        return os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (*_CLOSED, errno.ENOENT) or _door is None:
            raise
        (descriptor,) = ask(OpenTun())
        os.set_blocking(descriptor, False)
        return descriptor


def away() -> str | None:
    """Why what needs root cannot be done just now; None where this process may do it, or the runner listens."""
    if _door is None or os.access(SYSCTL / "ipv4/conf/all/arp_ignore", os.W_OK):
        return None
    try:
        with _knock(_door):
            return None
    except RunnerAwayError as error:
        return error.strerror


def insist(request: Request, patience_s: float) -> list[int]:
    """`ask`, again and again while the runner is away.  Blocks for `patience_s` at most: for a process that ends."""
    end = time.monotonic() + patience_s
    while True:
        try:
            return ask(request)
        except RunnerEndedError:
            raise
        except RunnerAwayError:
            if time.monotonic() >= end:
                raise
        time.sleep(AGAIN_S)


def ask(request: Request) -> list[int]:
    """Have the runner do something; the descriptors that it sends.

    Raises RunnerAwayError, and OSError with the runner's reason.
    """
    if _door is None:
        raise OSError(errno.EPERM, "this needs root, or vipcast-runner to ask")
    with _knock(_door) as connection:
        try:
            connection.send(msgspec.msgpack.encode(request))
            told, descriptors, _, _ = socket.recv_fds(
                connection, ANSWER_BYTES_MAX, DESCRIPTORS_MAX, flags=socket.MSG_CMSG_CLOEXEC
            )
        except TimeoutError:
            raise _silent(_door) from None
        except OSError as error:
            raise RunnerEndedError(error.errno, f"vipcast-runner ended before it answered on {_door}") from error
    if not told:
        raise RunnerEndedError(errno.ECONNRESET, f"vipcast-runner ended before it answered on {_door}")
    try:
        answer = msgspec.msgpack.decode(told, type=Answer)
    except msgspec.MsgspecError:
        answer = Answer(errno.EPROTO, "vipcast-runner is of another version: systemctl restart vipcast-runner")
    most = {OpenTun: 1, OpenMaps: DESCRIPTORS_MAX}.get(type(request), 0)
    if answer.errno or len(descriptors) > most or (most and not descriptors):
        for descriptor in descriptors:
            os.close(descriptor)
        raise OSError(answer.errno or errno.EPROTO, answer.reason or "vipcast-runner sent no descriptor")
    return list(descriptors)


def _knock(door: Path) -> socket.socket:
    """A connection to the runner.  Raises RunnerAwayError."""
    if time.monotonic() < _rest_until:
        raise RunnerAwayError(errno.ETIMEDOUT, f"vipcast-runner does not answer on {door}")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    connection.settimeout(ANSWER_S)
    try:
        connection.connect(os.fspath(door))
    except TimeoutError:
        connection.close()
        raise _silent(door) from None
    except OSError as error:
        connection.close()
        reason = f"vipcast-runner cannot be asked on {door}: {error.strerror}; is it running?"
        raise RunnerAwayError(error.errno, reason) from error
    return connection


def _silent(door: Path) -> RunnerAwayError:
    """It hangs: the loop must not wait for it at each of many settings."""
    global _rest_until  # noqa: PLW0603 - as above
    _rest_until = time.monotonic() + REST_S
    return RunnerAwayError(errno.ETIMEDOUT, f"vipcast-runner does not answer on {door}")
