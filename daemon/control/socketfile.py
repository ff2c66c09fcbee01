"""The control socket's file: created with its final permissions, and never stolen from a living daemon."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from pathlib import Path

from daemon.control.access import Access

_BACKLOG = 64
_PATH_BYTES_MAX = 107  # sun_path of unix(7), less the final zero

# acl(5) as the kernel stores it (include/uapi/linux/posix_acl_xattr.h): version 2, then tag, permissions, id
_ACL_XATTR = "system.posix_acl_access"
_ACL_VERSION = struct.pack("<I", 2)
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_USER_OBJ, _ACL_GROUP_OBJ, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = 0x01, 0x04, 0x08, 0x10, 0x20
_ACL_NO_ID = 0xFFFFFFFF
_RW = 6  # to connect is to write


class SocketFileError(Exception):
    """The socket cannot be made; the text names the path, the reason and the remedy."""


def listen(path: Path, access: Access) -> socket.socket:
    """A listening unix socket at `path`, mode 0660 for the writers' group if there is one, else 0600.

    The readers' group gets an entry in the file's ACL.  A file that a dead daemon left is replaced, one on which
    somebody answers is refused.  Raises SocketFileError.
    """
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise SocketFileError(
            f"control socket {path}: a path of a unix socket may have {_PATH_BYTES_MAX} bytes; choose a shorter one"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear_the_way(path)
        old_umask = os.umask(0o177)  # nobody else connects between bind and chown
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(old_umask)
        _open_to_groups(path, access)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SocketFileError(
            f"control socket {path}: {error.strerror or error}; check that its folder exists and is writable"
        ) from error
    except SocketFileError:
        listener.close()
        raise
    return listener


def remove(path: Path) -> None:
    """Take the file away after the listener was closed."""
    with contextlib.suppress(OSError):
        path.unlink()


def _clear_the_way(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketFileError(
            f"control socket {path}: there is something that is not a socket; move it away, or choose another path"
        )
    if _somebody_answers(path):
        raise SocketFileError(
            f"control socket {path}: another vipcastd answers there; stop it, or give this one a path of its own"
        )
    path.unlink()


def _somebody_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)  # a full backlog says EAGAIN: alive, and busy
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            return error.errno not in {errno.ECONNREFUSED, errno.ENOENT}
        return True


def _open_to_groups(path: Path, access: Access) -> None:
    if access.writer_gid is None and access.reader_gid is None:
        return
    if access.writer_gid is not None:
        os.chown(path, -1, access.writer_gid)
        path.chmod(0o660)
    if access.reader_gid is not None:
        group = _RW if access.writer_gid is not None else 0
        os.setxattr(path, _ACL_XATTR, _acl(group, access.reader_gid))


def _acl(owning_group: int, reader_gid: int) -> bytes:
    """Owner and owning group as before, `reader_gid` may connect, others may not."""
    entries = (
        (_ACL_USER_OBJ, _RW, _ACL_NO_ID),
        (_ACL_GROUP_OBJ, owning_group, _ACL_NO_ID),
        (_ACL_GROUP, _RW, reader_gid),
        (_ACL_MASK, _RW, _ACL_NO_ID),
        (_ACL_OTHER, 0, _ACL_NO_ID),
    )
    return _ACL_VERSION + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)
