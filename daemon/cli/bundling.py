"""`vipcast support-bundle`: what every node knows, for those who are to help, in one file and without secrets."""

from __future__ import annotations

import re
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from daemon import settings
from daemon.bundle import archive, gathering, manifest, others
from daemon.bundle.archive import BundleError
from daemon.bundle.gathering import Gathered
from daemon.bundle.hiding import Sieve
from daemon.bundle.manifest import Manifest, NodeEntry
from daemon.cli.call import OK, Call, CommandError

SINCE = "-24h"


def support_bundle(call: Call) -> int:
    """`support-bundle [FILE | -] [--local] [--since TIME] [--hide PATTERN] [--ssh COMMAND]`"""
    target = call.arguments[0] if call.arguments else None
    if target == "-" and sys.stdout.isatty():
        raise call.misuse("an archive is nothing for a terminal: name a file, or send it into a pipe")
    sieve = _sieve(call)
    try:
        told = gathering.gather(call.client, _settings_file(call), call.value("--since") or SINCE, sieve)
    except (settings.SettingsError, OSError) as error:
        raise CommandError(
            f"{error}\nWhich cluster and node this is, only the settings say: --settings FILE"
        ) from error
    now = datetime.now(UTC)
    entries = {told.node: NodeEntry(told.applied_index, told.missing)}
    files = {f"{told.node}/{name}": body for name, body in told.files.items()}
    if not call.has("--local"):
        for answer in others.ask(*_questions(call, told)):
            entries[answer.node] = answer.entry
            files |= answer.files
    about = Manifest(told.cluster, told.node, now.isoformat(timespec="seconds"), version("vipcast"), entries)
    files = {manifest.FILE: manifest.encode(about), **files}
    folder = f"vipcast-{told.cluster}-{now:%Y%m%dT%H%M%SZ}"
    _deliver(call, target or f"{folder}.tar.gz", folder, files)
    for name, entry in entries.items():
        call.out.note(_told_of(name, entry))
    return OK


def _sieve(call: Call) -> Sieve:
    try:
        return Sieve([value for name, value in call.invocation.given if name == "--hide" and value])
    except re.error as error:
        raise call.misuse(f"--hide takes a regular expression of names: {error}") from error


def _settings_file(call: Call) -> Path:
    return Path(call.value("--settings") or settings.DEFAULT_FILE)


def _questions(call: Call, told: Gathered) -> tuple[list[str], list[str], list[str]]:
    """Whom to ask, by which remote shell, and what.  Raises UsageError."""
    try:
        remote_shell = shlex.split(call.value("--ssh") or others.REMOTE_SHELL)
    except ValueError as error:
        raise call.misuse(f"--ssh: {error}") from error
    if not remote_shell:
        raise call.misuse("--ssh takes the command that reaches another host, such as 'ssh -l admin'")
    passed_on = [f"{name}={value}" for name, value in call.invocation.given if name in {"--since", "--hide"}]
    nodes = [name for name in told.members if name != told.node and settings.is_name(name)]
    return nodes, remote_shell, ["vipcast", "support-bundle", "-", "--local", *passed_on]


def _deliver(call: Call, target: str, folder: str, files: dict[str, bytes]) -> None:
    try:
        if target == "-":
            archive.pack(sys.stdout.buffer, folder, files)
            sys.stdout.buffer.flush()
            return
        archive.write(Path(target), folder, files)
    except BundleError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write the archive: {error.strerror or error}") from error
    size = Path(target).stat().st_size
    if call.out.json_wanted:
        call.out.document({"file": target, "bytes": size, "files": len(files)})
    else:
        call.out.line(f"{target}: {len(files)} files, {size / 1e6:.1f} MB; look through it before you send it")


def _told_of(name: str, entry: NodeEntry) -> str:
    if "node" in entry.missing:
        return f"{name} is not in it: {entry.missing['node']} (on {name}: vipcast support-bundle --local)"
    if not entry.missing:
        return f"{name} is whole"
    return f"{name} lacks {len(entry.missing)}: " + "; ".join(
        f"{what}: {why}" for what, why in entry.missing.items()
    )
