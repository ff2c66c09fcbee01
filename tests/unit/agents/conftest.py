"""A network of one's own for tests that listen and connect: a fresh namespace with nothing but its loopback."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.namespaces import CLONE_NEWNET, setns

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def own_network() -> Iterator[None]:
    """The test's thread, and what it starts, is in a new network namespace (unshare(2)); needs root."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)
