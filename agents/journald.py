"""The journal, with fields: `journalctl VIPCAST_RESOURCE=VIP` (systemd.io/JOURNAL_NATIVE_PROTOCOL).

Where standard error is the journal, records go to journald's own socket instead, a datagram each that is never
waited for.  What a record is about is told to the logger as `extra=about(resource="VIP")`; fields that are empty are
left out, and one with several values is there several times.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
PREFIX = "vipcast_"
FIELD_BYTES_MAX = 32 << 10
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""syslog(3); 7 below all of them"""


def about(**fields: object) -> dict[str, object]:
    """For `extra=` of a logger: resource, node, operation, slots, index, kind, as they are known."""
    return {f"{PREFIX}{name}": value for name, value in fields.items() if value not in (None, "", ())}


def named(*resources: str) -> tuple[str, ...]:
    """Values of the field for these resources: an instance (`web:1`) is found under its resource's name as well."""
    return tuple(sorted({name for full in resources if full for name in (full, full.partition(":")[0])}))


def handlers(environment: Mapping[str, str], identifier: str) -> list[logging.Handler]:
    """Of this process: the journal where standard error is that (systemd.exec(5), JOURNAL_STREAM), else the latter."""
    if environment.get("JOURNAL_STREAM") == _identity_of_stderr() and os.path.exists(SOCKET):
        return [JournalHandler(identifier)]
    return [logging.StreamHandler()]


def _identity_of_stderr() -> str | None:
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return None
    return f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """A record is one entry; what journald does not take at once is lost: a full journal delays no heartbeat."""

    def __init__(self, identifier: str, path: str = SOCKET) -> None:
        super().__init__()
        self._identifier = identifier
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.sendto(entry(self._identifier, record, self._message(record)), self._path)
        except OSError:
            return
        except (TypeError, ValueError):  # a message and its arguments that do not fit: a bug, told as logging does
            self.handleError(record)

    def _message(self, record: logging.LogRecord) -> str:
        """Without level and logger: they are fields of their own."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
        return text


def entry(identifier: str, record: logging.LogRecord, message: str) -> bytes:
    """The datagram."""
    priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
    fields: dict[str, object] = {
        "MESSAGE": message,
        "PRIORITY": priority,
        "SYSLOG_IDENTIFIER": identifier,
        "LOGGER": record.name,
        "CODE_FILE": record.filename,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        **{name.upper(): value for name, value in record.__dict__.items() if name.startswith(PREFIX)},
    }
    return b"".join(
        _field(name, str(one))
        for name, value in fields.items()
        for one in (value if isinstance(value, tuple) else (value,))
    )


def _field(name: str, value: str) -> bytes:
    """A value with line feeds is preceded by its length, 64 bits, little-endian."""
    content = value.encode(errors="replace")[:FIELD_BYTES_MAX]
    if b"\n" not in content:
        return name.encode() + b"=" + content + b"\n"
    return name.encode() + b"\n" + len(content).to_bytes(8, "little") + content + b"\n"
