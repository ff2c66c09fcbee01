"""`vipcast metrics`: for monitoring that cannot ask a unix socket."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from daemon.cli.call import OK, Call, CommandError

READABLE = 0o644
"""whoever scrapes is somebody else, and nothing in it is secret"""


def metrics(call: Call) -> int:
    """`metrics [--out FILE]`"""
    text = call.client.metrics()
    target = call.value("--out")
    if target is None:
        call.out.raw(text.decode())
    else:
        _replace(Path(target), text)
    return OK


def _replace(target: Path, content: bytes) -> None:
    """All of it at once: a reader sees the former file or this one.  Raises CommandError."""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as fresh:
            try:
                fresh.write(content)
                fresh.flush()
                os.fchmod(fresh.fileno(), READABLE)
                os.replace(fresh.name, target)
            except BaseException:
                os.unlink(fresh.name)
                raise
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror or error}") from error
