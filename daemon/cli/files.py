"""Files that commands read and write: CIBs and the like, whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from daemon.cli.call import CommandError

CIB_BYTES_MAX = 32 << 20


def read_file(path: str) -> bytes:
    """The bytes of a file of ours (`-` is standard input).  Raises CommandError."""
    try:
        if path == "-":
            content = sys.stdin.buffer.read(CIB_BYTES_MAX + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(CIB_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CommandError(f"cannot read {path!r}: {error}") from error
    if len(content) > CIB_BYTES_MAX:
        raise CommandError(f"{path} is larger than any CIB ({CIB_BYTES_MAX} bytes)")
    return content


def write_file(path: str, content: bytes) -> None:
    """Replace a file in one step, keeping its mode.  Raises CommandError, and then nothing has changed."""
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a pipe or a terminal: there is nothing to replace
            return
        target = Path(os.path.realpath(target))  # through a symbolic link, as an editor would
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
