"""Who may do what on the control socket: decided by the kernel's word about the peer, not by the peer's.

root, the user that the daemon runs as, and the group `vipcast` write; the group `vipcast-ro` reads.  Who may hand out
the cluster's key must be able to read its file: only root and the daemon's user.  The groups'
numbers are looked up once, at start: a name service that hangs must not stop a heartbeat.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

WRITERS = "vipcast"
READERS = "vipcast-ro"

_SO_PEERGROUPS = 59  # linux/socket.h; Python has no name for it
_PEERGROUPS_BYTES_MAX = 1024  # what Python's getsockopt takes at most: 256 groups
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Right(IntEnum):
    """What a request needs, or a peer has; a greater one includes the lesser."""

    NONE = 0
    READ = 1
    WRITE = 2
    OWN = 3


@dataclass(frozen=True, slots=True)
class Peer:
    """A process at the other end, as it was when it connected (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """Credentials of the process at the other end of a unix socket.  Raises OSError where the kernel has none."""
    pid, uid, gid = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _PEERGROUPS_BYTES_MAX)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        raw = b""  # in more groups than can be asked for: only the primary one counts
    supplementary = struct.unpack(f"{len(raw) // 4}I", raw)
    return Peer(pid, uid, frozenset((gid, *supplementary)))


@dataclass(frozen=True, slots=True)
class Access:
    """Which users and groups may write and read."""

    writer_uids: frozenset[int]
    writer_gid: int | None
    reader_gid: int | None

    @classmethod
    def of_this_host(cls) -> Access:
        """The rule of the module's head, with this host's numbers."""
        return cls(frozenset((0, os.geteuid())), _gid_of(WRITERS), _gid_of(READERS))

    def right_of(self, peer: Peer) -> Right:
        if peer.uid in self.writer_uids:
            return Right.OWN
        if self.writer_gid in peer.groups:
            return Right.WRITE
        if self.reader_gid in peer.groups:
            return Right.READ
        return Right.NONE


def _gid_of(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
