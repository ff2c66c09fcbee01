"""Who types a command, for the records of the cluster."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Mapping


def author(environment: Mapping[str, str]) -> str:
    """Who types this: the user behind sudo, or the user."""
    uid = os.geteuid()
    if uid == 0 and environment.get("SUDO_USER"):
        return environment["SUDO_USER"]
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"uid {uid}"
