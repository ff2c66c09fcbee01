"""The file: a tar archive that is written whole or not at all, and that is guilty until read when it comes from others.

vipcast-demo-20261122T101500Z/manifest.json     who has told what
vipcast-demo-20261122T101500Z/a1/status.json …  what each node knows
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import tempfile
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

FILE_BYTES_MAX = 64 << 20
WHOLE_BYTES_MAX = 512 << 20
MEMBERS_MAX = 10_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,199}){1,4}")


class BundleError(Exception):
    """The archive cannot be written, or what is there is none of ours."""


def write(path: Path, folder: str, files: Mapping[str, bytes]) -> None:
    """Make the archive, readable by its owner alone.  Raises BundleError, and then nothing is left of it."""
    temporary = None
    if sum(map(len, files.values())) > WHOLE_BYTES_MAX:
        raise BundleError(f"all that is more than {WHOLE_BYTES_MAX >> 20} MiB: make one on each host with --local")
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            pack(file, folder, files)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, this replaces nothing
    except FileExistsError:
        raise BundleError(f"there is already a {path}: name another file, or take it away") from None
    except OSError as error:
        raise BundleError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def pack(target: BinaryIO, folder: str, files: Mapping[str, bytes]) -> None:
    """The archive as a stream.  Raises OSError."""
    with tarfile.open(fileobj=target, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            archive.addfile(member, io.BytesIO(content))


def unpack(source: BinaryIO) -> dict[str, bytes]:
    """Every file by its name below the top folder.  Raises BundleError for whatever we would not have written.

    Nothing is written to the disk, so a name leads nowhere; links and devices are refused all the same.
    """
    files: dict[str, bytes] = {}
    try:
        unpacked = _Bounded(gzip.GzipFile(fileobj=source, mode="rb"))
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:  # type: ignore[call-overload]
            for number, member in enumerate(archive):
                if number >= MEMBERS_MAX:
                    raise BundleError(f"it has more than {MEMBERS_MAX} members")
                if not member.isreg() or member.issparse() or not _NAME.fullmatch(member.name):
                    raise BundleError(f"it has a member that no bundle has: {member.name[:80]!r}")
                if member.size > FILE_BYTES_MAX:
                    raise BundleError(f"{member.name!r} is larger than a file of a bundle may be")
                name = member.name.split("/", 1)[1]
                if name in files:
                    raise BundleError(f"{name!r} comes twice")
                content = archive.extractfile(member)
                assert content is not None, "a regular file has a content"
                files[name] = content.read()
                if len(files[name]) != member.size:
                    raise BundleError(f"{name!r} is cut off: copy it again")
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError) as error:
        raise BundleError(f"it is no whole gzipped tar archive ({error})") from error
    if not files:
        raise BundleError("there is nothing in it")
    return files


class _Bounded:
    """What a reader may take in all: a few bytes unpack to a thousand times as many."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self._left = WHOLE_BYTES_MAX

    def read(self, size: int) -> bytes:
        taken = self._source.read(min(size, self._left + 1))
        self._left -= len(taken)
        if self._left < 0:
            raise BundleError(f"it unpacks to more than {WHOLE_BYTES_MAX >> 20} MiB")
        return taken


def read(path: Path) -> dict[str, bytes]:
    """Raises BundleError, which names the file."""
    try:
        with path.open("rb") as file:
            return unpack(file)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BundleError(f"cannot read {str(path)!r}: {error}") from error
    except BundleError as error:
        raise BundleError(f"{path} is no support bundle: {error}") from error
