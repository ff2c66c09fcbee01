"""Where vipcast's files are: the system's folders for root, the user's own for a witness that is not root.

A witness serves nothing and needs no privilege, so it may run as anybody: its settings, key, log and sockets are
then where the XDG Base Directory Specification puts a user's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    settings: Path
    authkey: Path
    state: Path
    run: Path


SYSTEM = Places(
    settings=Path("/etc/vipcast/vipcast.toml"),
    authkey=Path("/etc/vipcast/authkey"),
    state=Path("/var/lib/vipcast"),
    run=Path("/run/vipcast"),
)


def of_this_user(environment: Mapping[str, str]) -> Places:
    """The system's places where this process may write them, else the user's own."""
    return SYSTEM if is_writable(SYSTEM.state) else of_a_user(environment)


def of_a_user(environment: Mapping[str, str]) -> Places:
    """Folders under the home directory.  Sockets are not under XDG_RUNTIME_DIR: it ends with the login session."""
    home = Path(environment.get("HOME") or "/")
    settings = _folder(environment, "XDG_CONFIG_HOME", home / ".config")
    state = _folder(environment, "XDG_STATE_HOME", home / ".local" / "state")
    return Places(
        settings=settings / "vipcast.toml",
        authkey=settings / "authkey",
        state=state,
        run=state / "run",
    )


def is_writable(path: Path) -> bool:
    """Whether this process may write into the folder, or make it where it is not there yet."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK)


def _folder(environment: Mapping[str, str], variable: str, default: Path) -> Path:
    """The specification: a relative path there is invalid and ignored."""
    given = environment.get(variable, "")
    return (Path(given) if given.startswith("/") else default) / "vipcast"
