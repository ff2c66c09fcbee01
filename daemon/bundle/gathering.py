"""What this host tells about itself: asked of its daemon, of the kernel and of the journal.

Each source may fail by itself: the bundle then says which one and why, and has the others.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
from pydantic import ValidationError

from daemon import settings
from daemon.bundle import views
from daemon.bundle.hiding import Sieve
from daemon.cluster.records import LogEntry, Request
from daemon.cluster.store.errors import StoreError
from daemon.control.client import ControlClient, ControlError
from daemon.control.narrate import narrate
from daemon.control.schema import LogLine, StatusDocument, ViewDocument
from daemon.doctor import examine
from daemon.state.commands import Edit, StateCommand
from daemon.state.frozen import ThawError

TEXT_BYTES_MAX = 16 << 20
"""of one command's output: the newest part of it is kept"""
COMMAND_TIMEOUT_S = 30
ENTRIES_MAX = 20_000
PAGE = 1000

COMMANDS = {
    "version.txt": "uname -a",
    "system.txt": "cat /etc/os-release /proc/uptime /proc/loadavg /proc/meminfo",
    "disks.txt": "df -h",
    "processes.txt": "ps -eo pid,ppid,cls,rtprio,pcpu,rss,etime,stat,wchan:20,comm",
    "service.txt": "systemctl status --no-pager --full vipcastd.service vipcast-runner.service",
    "addresses.txt": "ip -details address show",
    "links.txt": "ip -details -statistics link show",
    "groups.txt": "ip maddress show",
    "routes.txt": "ip route show table all",
    "rules.txt": "ip rule show",
    "neighbours.txt": "ip neighbour show",
    "qdiscs.txt": "tc -statistics qdisc show",
    "sockets.txt": "ss -tuapin",
    "nft.txt": "nft list ruleset",
    "sysctl.txt": "sysctl -a --pattern ^net.ipv[46].conf.*(arp|rp_filter|forward|ignore|announce|dad|ra)",
}
"""file → what prints it; none of them changes anything, and none shows what a process was called with"""
UNITS = ("vipcastd", "vipcast-runner")

_entry = msgspec.msgpack.Decoder(LogEntry).decode
_command = msgspec.msgpack.Decoder(StateCommand).decode


@dataclass
class Gathered:
    """Of one node: its files, by name, and what could not be had."""

    node: str
    cluster: str
    members: tuple[str, ...]
    applied_index: int = -1
    """that the view is as of; -1: there is no view"""
    files: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def gather(client: ControlClient, settings_file: Path, since: str, sieve: Sieve) -> Gathered:
    """Everything of this host.  Raises settings.SettingsError where the host does not say who it is."""
    configured = settings.load(settings_file)
    told = Gathered(configured.node.name, configured.cluster.name, configured.founders)
    status = _status(client, told)
    for name in told.members:
        sieve.learn("node", name)
    # the log and the view first: they have the configuration as it was and is, and with it the secrets that are
    # hidden everywhere else
    if status is None:
        _of_the_disk(configured.paths.state, sieve, told)
    else:
        _learn(_entries(client, told), sieve)
        _put(told, "view.json", lambda: msgspec.json.encode(views.hidden(client.view(), sieve)))
        _of_the_daemon(client, sieve, told)
    _put(told, "doctor.json", lambda: _json(examine(settings_file, status), sieve))
    _put(told, "vipcast.toml", lambda: sieve.text(settings_file.read_text(errors="replace")).encode())
    for name, command in COMMANDS.items():
        _put(told, name, partial(_output, command.split(" "), sieve))
    unit_options = [option for unit in UNITS for option in ("-u", unit)]
    journal = ["journalctl", "--no-pager", "-o", "short-iso-precise", "--since", since, *unit_options]
    _put(told, "journal.txt", lambda: _output(journal, sieve))
    return told


def _status(client: ControlClient, told: Gathered) -> StatusDocument | None:
    try:
        status = client.status()
    except ControlError as error:
        told.missing["daemon"] = str(error)
        return None
    told.applied_index = status.applied_index
    told.members = tuple(node.name for node in status.nodes)
    return status


def _of_the_daemon(client: ControlClient, sieve: Sieve, told: Gathered) -> None:
    _put(told, "status.json", lambda: _json(msgspec.json.decode(client.status_json()), sieve))
    _put(told, "quorum.json", lambda: _json(client.quorum(), sieve))
    _put(told, "configuration.json", lambda: _json(client.configuration(), sieve))
    _put(told, "log.json", lambda: _json(list(_log(client)), sieve))
    _put(told, "metrics.txt", lambda: sieve.text(client.metrics().decode()).encode())


def _of_the_disk(folder: Path, sieve: Sieve, told: Gathered) -> None:
    """The view and the log, where no daemon answers."""
    try:
        view, told.applied_index, entries = views.remembered(folder, told.members)
    except (StoreError, ThawError) as error:
        told.missing["view.json"] = told.missing["log.json"] = str(error)
        return
    _learn(entries, sieve)
    _put(told, "view.json", lambda: msgspec.json.encode(views.hidden(view, sieve)))
    _put(told, "log.json", lambda: _json([narrate(entry) for entry in entries[-ENTRIES_MAX:]], sieve))


def _entries(client: ControlClient, told: Gathered) -> Iterator[LogEntry]:
    """All that are kept; where they end early, the bundle says why."""
    try:
        ends = client.log(-1, 1)
        following = ends.first_index
        while following <= ends.last_index:
            page = client.entries(following).entries
            if not page:
                return
            for encoded in page:
                entry = _entry(encoded)
                yield entry
                following = entry.index + 1
    except (ControlError, msgspec.MsgspecError) as error:
        told.missing["former secrets"] = f"only what is secret now was looked for everywhere: {error}"


def _learn(entries: Iterable[LogEntry], sieve: Sieve) -> None:
    """What was secret in configurations that have been replaced since: logs and journals still speak of it."""
    for entry in entries:
        if isinstance(entry.command, Request):
            with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                command = _command(entry.command.body)
                if isinstance(command, Edit):
                    sieve.read(msgspec.json.decode(command.configuration))


def view_of(body: bytes) -> ViewDocument:
    """The view of a bundle.  Raises ValueError."""
    return msgspec.json.decode(body, type=ViewDocument)


def _log(client: ControlClient) -> Iterator[LogLine]:
    """The newest entries as sentences."""
    ends = client.log(-1, 1)
    following = max(ends.first_index, ends.last_index - ENTRIES_MAX + 1)
    while following <= ends.last_index:
        page = client.log(following, PAGE).entries
        if not page:
            return
        yield from page
        following = page[-1].index + 1


def _json(document: object, sieve: Sieve) -> bytes:
    plain = msgspec.json.decode(msgspec.json.encode(document))
    return msgspec.json.format(msgspec.json.encode(sieve.document(plain)), indent=1)


def _put(told: Gathered, name: str, made: Callable[[], bytes]) -> None:
    try:
        told.files[name] = made()
    except (ControlError, StoreError, ThawError, ValidationError, OSError, ValueError, RecursionError) as error:
        told.missing[name] = str(error).splitlines()[0] if str(error) else type(error).__name__


def _output(command: list[str], sieve: Sieve) -> bytes:
    """What a command prints.  Raises OSError where it is not there, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} did not end within {COMMAND_TIMEOUT_S} s") from None
    except FileNotFoundError:
        raise OSError(f"there is no program {command[0]} here") from None
    if done.returncode and not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(
            f"{command[0]} failed with status {done.returncode}: {said[-1] if said else 'it said nothing'}"
        )
    printed = done.stdout
    if len(printed) > TEXT_BYTES_MAX:
        printed = printed[-TEXT_BYTES_MAX:].partition(b"\n")[
            2
        ]  # half a line may be half a secret, which nobody knows
    return sieve.text(printed.decode(errors="replace")).encode()
