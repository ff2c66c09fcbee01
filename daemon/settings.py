"""What one host must know before it can join: /etc/vipcast/vipcast.toml, read once at the start.

Everything that the cluster shares is in the replicated configuration; here stands only what differs between hosts
or is needed to find the others.  Wrong settings are refused as a whole, with every finding at once, each with its
file, line and remedy.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon import keys, linksettings, places
from daemon.cluster.keyring import Keyring
from daemon.cluster.timers import PROFILES, Timers
from daemon.settings_findings import Finding, Places, refusal, syntax
from daemon.tomllines import LineIndex
from datapath.host.privileged import sockets_beside

DEFAULT_FILE = places.SYSTEM.settings
NODES_MAX = 128
SETTINGS_BYTES_MAX = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


class SettingsError(Exception):
    """The settings cannot be used; `findings` has all reasons."""

    def __init__(self, found: list[Finding]) -> None:
        super().__init__("\n".join(str(finding) for finding in found))
        self.findings = found


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Cluster(_Table):
    name: str
    """the same on all nodes: who has another one is not heard"""
    nodes: tuple[str, ...] = Field(default=(), strict=False)
    """who founds the cluster, the same list on each; the order is the rank in which they stand for leader.
    None: this node joins a cluster that is there, and the log says who belongs to it"""
    cipher: Literal["aes-256-gcm", "chacha20-poly1305"] = "aes-256-gcm"
    """what this node seals with; every node opens both.  ChaCha20 is faster where the processor has no AES"""


class Node(_Table):
    name: str = ""
    """where the file has none: the host's name, whole or its first label, whichever cluster.nodes has"""
    witness: bool = False
    """it votes and keeps the log, and serves nothing: no root, no engine, no runner (`vipcastd --witness`)"""
    suicide: Literal["end", "reboot"] = "end"
    """how this node ends itself under no-quorum-policy=suicide: `end` closes the kernel and ends the processes of all
    resources and the daemon; `reboot` then boots the host at once, by `systemctl reboot --force --force`"""


Link = linksettings.Link


class TimerTable(_Table):
    profile: Literal["default", "fast"] = "default"
    """what the others are, where they are not given"""
    heartbeat_ms: int | None = None
    """from one heartbeat to the next"""
    leadership_lease_ms: int | None = None
    """a leader that a quorum has not answered for this long leads no more"""
    lease_ms: int | None = None
    """a host that the leader has not granted anything for this long accepts no packet of a shared address"""
    drift: float | None = Field(default=None, strict=False)
    """how much faster or slower a clock may run than another, as a part of 1"""
    restart_ms: int | None = None
    """how long the kernel may go on serving while vipcastd starts again"""
    hold_down_ms: int | None = None
    """a node that is lost again and again waits for longer each time, this long at most; 0: never"""


class Datapath(_Table):
    engine: Literal["auto", "nft", "raw", "bpf"] = "auto"
    """`auto` takes bpf where its compiled object is there and the kernel loads it, else nft, else raw"""


class Paths(_Table):
    """Of a witness that may not write to /var/lib the defaults are the user's own places (daemon.places)."""

    authkey: Path = Field(default=places.SYSTEM.authkey, strict=False)
    """the cluster's key, readable by nobody else"""
    state: Path = Field(default=places.SYSTEM.state, strict=False)
    """folder of the log, on a disk that syncs what it says it has synced"""
    run: Path = Field(default=places.SYSTEM.run, strict=False)
    """folder of the control socket and of notes about this boot; the runner's is beside it, with `-runner` behind"""
    agents: tuple[Annotated[Path, Field(strict=False)], ...] = Field(default=(Path("/usr/lib/ocf"),), strict=False)
    """OCF roots, searched in this order"""

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def runner_socket(self) -> Path:
        return sockets_beside(self.run) / "runner.sock"

    @property
    def privileges_socket(self) -> Path:
        return sockets_beside(self.run) / "host.sock"


class Realtime(_Table):
    scheduling: Literal["auto", "rr", "off"] = "auto"
    """SCHED_RR 1 and mlockall: `auto` tries and warns, `rr` insists, `off` does not try"""


class _File(_Table):
    """The file as it is written."""

    cluster: Cluster
    node: Node = Field(default_factory=Node)
    link: tuple[Link, ...] = Field(strict=False)
    timers: TimerTable = Field(default_factory=TimerTable)
    datapath: Datapath = Field(default_factory=Datapath)
    paths: Paths = Field(default_factory=Paths)
    realtime: Realtime = Field(default_factory=Realtime)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings that passed every check."""

    file: Path
    cluster: Cluster
    node: Node
    links: tuple[Link, ...]
    timers: Timers
    datapath: Datapath
    paths: Paths
    realtime: Realtime
    warnings: tuple[Finding, ...] = ()
    timer_table: TimerTable = dataclasses.field(default_factory=TimerTable)
    """what `timers` was made from: what a node that joins is told"""

    @property
    def founders(self) -> tuple[str, ...]:
        """Whose cluster this is to begin with; empty on a node that joins one."""
        return self.cluster.nodes

    def key(self) -> bytes:
        """The cluster's key.  Raises KeyFileError."""
        return keys.read(self.paths.authkey)

    def keyring(self) -> Keyring:
        """The same with what opens beside it.  Raises KeyFileError."""
        return keys.read_ring(self.paths.authkey)


def is_name(text: str) -> bool:
    """Whether a cluster or a node may have this name."""
    return _NAME.fullmatch(text) is not None


def load(path: Path = DEFAULT_FILE, *, witness: bool = False) -> Settings:
    """Read and check `path`.  Raises SettingsError with every finding.

    `witness`: this node is one, whatever the file says (`vipcastd --witness`).
    """
    settings, found = _examine(path, witness=witness)
    errors = [finding for finding in found if finding.severity == "error"]
    if settings is None or errors:
        raise SettingsError(found)
    return settings


def check(path: Path = DEFAULT_FILE, *, witness: bool = False) -> list[Finding]:
    """Every finding about `path` and the key file that it names, for `vipcastd --check`; none: all is well."""
    settings, found = _examine(path, witness=witness)
    if settings is not None:
        try:
            settings.key()
        except keys.KeyFileError as error:
            found.append(Finding("key-file", "error", str(error.path), error.reason, error.remedy))
    return found


def _examine(path: Path, *, witness: bool) -> tuple[Settings | None, list[Finding]]:
    """The settings, if they could be read at all, and everything that is to be said about them."""
    try:
        with path.open("rb") as file:
            raw = file.read(SETTINGS_BYTES_MAX + 1)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        remedy = "name the right file with --config"
        if isinstance(error, FileNotFoundError):
            remedy = "'vipcast cluster init NAME' or 'vipcast cluster join TOKEN' make it, --config names another"
        return None, [Finding("unreadable", "error", str(path), said, remedy)]
    if len(raw) > SETTINGS_BYTES_MAX:
        return None, [Finding("unreadable", "error", str(path), "longer than 1 MiB", "this is no settings file")]
    try:
        text = raw.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, [Finding("syntax", "error", f"{path}:{line}", "not UTF-8", "save the file as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        return None, [syntax(path, error)]
    except RecursionError:
        return None, [Finding("syntax", "error", str(path), "nested too deeply", "this is no settings file")]
    where = Places(path, LineIndex(text))
    try:
        parsed = _File.model_validate(document)
    except ValidationError as error:
        return None, [refusal(where, detail, _known_keys(detail["loc"][:-1])) for detail in error.errors()]
    node = _this_node(parsed, witness=witness)
    parsed = parsed.model_copy(update={"node": node, "paths": _paths_of(node, parsed.paths)})
    found = [*_cluster(where, parsed), *linksettings.findings(where, parsed.link), *_paths(where, parsed)]
    timers, about_timers = _timers(where, parsed.timers)
    found += about_timers
    if timers is None or any(finding.severity == "error" for finding in found):
        return None, found
    settings = Settings(
        file=path,
        cluster=parsed.cluster,
        node=parsed.node,
        links=parsed.link,
        timers=timers,
        datapath=parsed.datapath,
        paths=parsed.paths,
        realtime=parsed.realtime,
        warnings=tuple(found),
        timer_table=parsed.timers,
    )
    return settings, found


def _this_node(parsed: _File, *, witness: bool) -> Node:
    name = parsed.node.name
    if "name" not in parsed.node.model_fields_set:
        whole = socket.gethostname()
        name = whole if whole in parsed.cluster.nodes else whole.split(".", 1)[0]
    return parsed.node.model_copy(update={"name": name, "witness": parsed.node.witness or witness})


def _paths_of(node: Node, stated: Paths) -> Paths:
    """A witness needs no root: where the system's folders are closed to it, its defaults are the user's."""
    if not node.witness:
        return stated
    own = places.of_this_user(os.environ)
    defaults = {"authkey": own.authkey, "state": own.state, "run": own.run}
    return stated.model_copy(update={k: v for k, v in defaults.items() if k not in stated.model_fields_set})


def _known_keys(table: tuple[str | int, ...]) -> list[str]:
    names = tuple(part for part in table if isinstance(part, str))
    models: dict[tuple[str, ...], type[BaseModel]] = {
        (): _File,
        ("cluster",): Cluster,
        ("node",): Node,
        ("link",): Link,
        ("timers",): TimerTable,
        ("datapath",): Datapath,
        ("paths",): Paths,
        ("realtime",): Realtime,
    }
    return sorted(models[names].model_fields) if names in models else []


def _cluster(places: Places, parsed: _File) -> Iterator[Finding]:
    cluster = parsed.cluster
    advice = "use letters, digits, '-', '_' and '.', at most 63 characters"
    if not _NAME.fullmatch(cluster.name):
        yield Finding("bad-value", "error", places("cluster", "name"), f"{cluster.name!r} is no name", advice)
    where = places("cluster", "nodes")
    if "nodes" in cluster.model_fields_set and not 1 <= len(cluster.nodes) <= NODES_MAX:
        yield Finding(
            "bad-value",
            "error",
            where,
            f"{len(cluster.nodes)} nodes",
            f"name the 1 to {NODES_MAX} nodes that found the cluster, or leave nodes out to join one",
        )
    for name in dict.fromkeys(cluster.nodes):
        if not _NAME.fullmatch(name):
            yield Finding("bad-value", "error", where, f"{name!r} is no name of a node", advice)
        if (times := cluster.nodes.count(name)) > 1:
            yield Finding("bad-value", "error", where, f"node {name!r} is listed {times} times", "list it once")
    if not _NAME.fullmatch(parsed.node.name):
        yield Finding(
            "bad-value", "error", places("node", "name"), f"{parsed.node.name!r} is no name of a node", advice
        )
    elif cluster.nodes and parsed.node.name not in cluster.nodes:
        yield Finding(
            "bad-value",
            "error",
            places("node", "name"),
            f"this node is {parsed.node.name!r}, which is none of {', '.join(cluster.nodes)}",
            "set name under [node]; a node that joins a cluster which is there has no cluster.nodes",
        )


def _paths(places: Places, parsed: _File) -> Iterator[Finding]:
    named = [
        (("paths", "authkey"), parsed.paths.authkey),
        (("paths", "state"), parsed.paths.state),
        (("paths", "run"), parsed.paths.run),
        *((("paths", "agents"), root) for root in parsed.paths.agents),
    ]
    for key, path in named:
        if not path.is_absolute():
            yield Finding(
                "bad-value",
                "error",
                places(*key),
                f"{str(path)!r} depends on the directory that the daemon is started in",
                "write the whole path, from /",
            )
    # sun_path has 108 bytes with its end (unix(7)).
    if len(os.fsencode(parsed.paths.control_socket)) > 107:
        yield Finding(
            "bad-value",
            "error",
            places("paths", "run"),
            f"{parsed.paths.control_socket} is longer than the 107 bytes that a unix socket's path may have",
            "choose a shorter directory",
        )


def _timers(places: Places, table: TimerTable) -> tuple[Timers | None, list[Finding]]:
    given = table.model_dump(exclude={"profile"}, exclude_none=True)
    timers = dataclasses.replace(PROFILES[table.profile], **given)
    found = [
        Finding("timers", "error", places("timers", *_named_in(message, given)), message)
        for message in timers.findings()
    ]
    return (None if found else timers), found


def _named_in(message: str, keys_given: Iterable[str]) -> list[str]:
    """The key that a finding of the timers begins with, if the file has it: there the administrator must look."""
    first = message.split(" ", 1)[0]
    return [first] if first in keys_given else []
