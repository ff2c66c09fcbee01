"""The cluster's secret: a file that is the same on every node, readable by its owner alone.

It is 32 random bytes, or, while one key replaces another, lines of `MARK:HEX` with the active key first.  Behind a
retired one is until when it opens (seconds since 1970), `MARK:HEX:SECONDS`; behind one that revokes all before it,
`MARK:HEX:revokes`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from daemon.cluster.keyring import Keyring, RingKey
from datapath.host.privileged import core_user

KEY_BYTES = 32
REVOKES = "revokes"
FILE_BYTES_MAX = 1024


class KeyFileError(Exception):
    """The key cannot be read or written; `reason` says why, `remedy` what to type."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


def generate() -> bytes:
    """A new key from the kernel's random source."""
    return secrets.token_bytes(KEY_BYTES)


def write(path: Path, key: bytes) -> None:
    """Put `key` into a new file of mode 0600, on disk when this returns.

    An existing file is never touched: a key that other nodes still use would be lost with it.
    Raises KeyFileError.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyFileError(
            path, "it exists already and is left as it is", f"name another file, or remove it first: rm {path}"
        ) from None
    except FileNotFoundError:
        raise KeyFileError(path, "its directory does not exist", f"make it: mkdir -p {path.parent}") from None
    except OSError as error:
        raise KeyFileError(path, _said(error), f"check the permissions of {path.parent}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # the umask may have taken bits, never the owner's reading of it
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key is worse than none
        raise KeyFileError(path, _said(error), "make room on the disk and try again") from None


def read(path: Path) -> bytes:
    """The active key in `path`.  Raises KeyFileError."""
    return read_ring(path).active.key


def write_ring(path: Path, ring: Keyring) -> None:
    """Replace `path` by a file of mode 0600 with these keys: on disk when this returns, and never half of it.

    Raises OSError.
    """
    single = len(ring.keys) == 1
    content = ring.active.key if single else "".join(f"{_line(one)}\n" for one in ring.keys).encode()
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            _keep_owner(file.fileno(), path)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_owner(descriptor: int, path: Path) -> None:
    """What root writes anew by hand stays the core's."""
    if os.geteuid() == 0:
        with contextlib.suppress(FileNotFoundError):
            os.fchown(descriptor, path.lstat().st_uid, -1)


def read_ring(path: Path) -> Keyring:
    """The keys in `path`, if nobody but this process's user can have read or changed it.

    As a service the core is no root and owns its key; root's commands, and a core that root runs by hand, take it too.
    Raises KeyFileError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(
            path,
            "there is no key",
            f"make one with 'vipcast keygen {path}' on one node and copy it to the others",
        ) from None
    except OSError as error:
        raise KeyFileError(path, _said(error), f"run as the owner of {path}, or check the path") from None
    with os.fdopen(descriptor, "rb") as file:
        # Judged by the open file, so that it cannot be exchanged between the look and the reading.
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(path, "it is not a regular file", f"make a key with 'vipcast keygen {path}'")
        if status.st_uid != os.geteuid() and (os.geteuid() != 0 or status.st_uid != core_user()):
            raise KeyFileError(
                path,
                f"it belongs to user {status.st_uid}, and this process runs as user {os.geteuid()}",
                f"give it to this user: chown {os.geteuid()} {path}",
            )
        if status.st_mode & 0o077:
            raise KeyFileError(
                path,
                f"others can use it (mode {stat.S_IMODE(status.st_mode):04o})",
                f"close it: chmod 600 {path}; if others may have read it, make a new key for all nodes",
            )
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) == KEY_BYTES:
        return Keyring.of(content)
    ring = _parsed(content) if len(content) <= FILE_BYTES_MAX else None
    if ring is None:
        raise KeyFileError(
            path,
            f"a key has {KEY_BYTES} bytes and this file {status.st_size}, and it is no list of keys either",
            "copy it again from a node that works",
        )
    return ring


def _line(key: RingKey) -> str:
    rest = f":{key.until_s}" if key.until_s else f":{REVOKES}" if key.revokes else ""
    return f"{key.mark.hex()}:{key.key.hex()}{rest}"


def _parsed(content: bytes) -> Keyring | None:
    """None for what is no list of keys; a mark that is not its key's shows damage."""
    found = []
    try:
        for line in content.decode("ascii").splitlines():
            mark, key, *rest = line.split(":")
            revokes = rest == [REVOKES]
            one = RingKey(bytes.fromhex(key), int(rest[0]) if rest and not revokes else 0, revokes)
            if len(rest) > 1 or one.mark.hex() != mark:
                return None
            found.append(one)
        return Keyring(tuple(found))
    except ValueError:
        return None


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
