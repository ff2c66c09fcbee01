"""The other nodes' part of a bundle: each is asked by a remote shell to gather its own, and answers with an archive."""

from __future__ import annotations

import io
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from daemon.bundle import archive, manifest
from daemon.bundle.archive import BundleError
from daemon.bundle.manifest import NodeEntry

AT_ONCE = 16
TIMEOUT_S = 120
REMOTE_SHELL = "ssh -o BatchMode=yes -o ConnectTimeout=5"
ARCHIVE_BYTES_MAX = 256 << 20


@dataclass(frozen=True)
class Answer:
    """Of one node: its files by their names in the bundle, and its entry in the manifest."""

    node: str
    files: dict[str, bytes]
    entry: NodeEntry


def ask(nodes: list[str], remote_shell: list[str], command: list[str]) -> list[Answer]:
    """All at the same time.  Nothing is raised: who does not answer is said to be missing, and why."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda node: _ask(node, [*remote_shell, node, shlex.join(command)]), nodes))


def _ask(node: str, command: list[str]) -> Answer:
    try:
        files = archive.unpack(io.BytesIO(_answer(command)))
        entry = manifest.decode(files).nodes.get(node)
        if entry is None:
            raise BundleError("another node answered under its name")
    except BundleError as error:
        return Answer(node, {}, NodeEntry(missing={"node": str(error)}))
    return Answer(node, {name: body for name, body in files.items() if name.startswith(f"{node}/")}, entry)


def _answer(command: list[str]) -> bytes:
    """What the command prints.  Raises BundleError."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"no answer within {TIMEOUT_S} s") from None
    except OSError as error:
        raise BundleError(f"cannot run {command[0]}: {error.strerror or error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BundleError(said[-1] if said else f"{command[0]} ended with status {done.returncode}")
    if len(done.stdout) > ARCHIVE_BYTES_MAX:
        raise BundleError(f"it sent more than {ARCHIVE_BYTES_MAX >> 20} MiB")
    return done.stdout
