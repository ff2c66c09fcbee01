"""The two files that make a host a member: vipcast.toml and authkey, composed, checked and put in place together.

Either both are as they should be afterwards or nothing has changed.  What was there before is kept beside it, under
its name with `.old`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from daemon import places
from daemon.settings import Settings, SettingsError, load

PORT_DEFAULT = 5405
SETTINGS_MODE = 0o644
KEY_MODE = 0o600
_GROUPS = int(IPv4Address("239.192.0.0"))
_GROUP_BITS = 18  # 239.192.0.0/14, the organization-local scope (RFC 2365, section 6.2)


class HostFilesError(Exception):
    """Nothing was written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class LinkTable:
    interface: str
    group: str
    port: int = PORT_DEFAULT
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Membership:
    """What the settings of a new member say."""

    cluster: str
    node: str
    links: tuple[LinkTable, ...]
    founders: tuple[str, ...] = ()
    witness: bool = False
    cipher: str = "aes-256-gcm"
    profile: str = "default"
    timers: Mapping[str, float] = field(default_factory=dict)
    authkey: Path | None = None
    """where it is not at its usual place"""


def group_of(cluster: str) -> str:
    """A multicast group for a cluster of this name: the same everywhere, and rarely that of another name."""
    drawn = int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:4], "big") >> (32 - _GROUP_BITS)
    return str(IPv4Address(_GROUPS + drawn))


def compose(membership: Membership) -> str:
    """The text of vipcast.toml."""
    return "\n".join(_lines(membership)) + "\n"


def _lines(membership: Membership) -> Iterator[str]:
    yield "# Written by `vipcast cluster`; every key is in the guide, under installation.  `vipcastd --check` reads it."
    yield "[cluster]"
    yield f"name = {_quoted(membership.cluster)}"
    if membership.founders:
        yield "# who founded the cluster; who belongs to it now is in its log: `vipcast status nodes`"
        yield f"nodes = [{', '.join(map(_quoted, membership.founders))}]"
    if membership.cipher != "aes-256-gcm":
        yield f"cipher = {_quoted(membership.cipher)}"
    yield ""
    yield "[node]"
    yield f"name = {_quoted(membership.node)}"
    if membership.witness:
        yield "witness = true"
    for link in membership.links:
        yield ""
        yield "[[link]]"
        yield f"interface = {_quoted(link.interface)}"
        if link.group:
            yield f"group = {_quoted(link.group)}"
        yield f"port = {link.port}"
        if link.peers:
            yield f"peers = [{', '.join(map(_quoted, link.peers))}]"
    if membership.profile != "default" or membership.timers:
        yield ""
        yield "[timers]"
        yield "# the same on all nodes"
        yield f"profile = {_quoted(membership.profile)}"
        for name, value in membership.timers.items():
            yield f"{name} = {value}"
    if membership.authkey is not None:
        yield ""
        yield "[paths]"
        yield f"authkey = {_quoted(str(membership.authkey))}"


def _quoted(text: str) -> str:
    """A basic string of TOML; what is put in here has passed the checks for names, or is a path."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


@dataclass(frozen=True, slots=True)
class Files:
    """Where the two files go."""

    settings: Path
    authkey: Path

    @classmethod
    def at(cls, own: places.Places, moved: str | None) -> Files:
        """At their usual places, or beside the settings file that was named."""
        if moved is None:
            return cls(own.settings, own.authkey)
        settings_file = Path(moved).absolute()
        return cls(settings_file, settings_file.parent / "authkey")

    def existing(self) -> list[Path]:
        return [path for path in (self.settings, self.authkey) if os.path.lexists(path)]

    def put(self, membership: Membership, key: bytes) -> Settings:
        """Write both, or nothing.  Returns the settings as `vipcastd` will read them.

        Raises HostFilesError.
        """
        wanted = ((self.authkey, key, KEY_MODE), (self.settings, compose(membership).encode(), SETTINGS_MODE))
        drafts: list[tuple[Path, Path]] = []
        try:
            for path, content, mode in wanted:
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                drafts.append((_draft(path, content, mode), path))
            read = load(drafts[-1][0])
            _exchange(drafts)
        except SettingsError as error:
            told = "; ".join(f"{finding.message}, {finding.remedy}" for finding in error.findings)
            raise HostFilesError(f"these settings would be refused, nothing was written: {told}") from error
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise HostFilesError(
                f"{error.filename or self.settings}: {said}; nothing was changed; is this root, and is there room?"
            ) from error
        finally:
            for draft, _ in drafts:
                draft.unlink(missing_ok=True)
        return read


def _draft(path: Path, content: bytes, mode: int) -> Path:
    """A file beside `path` with this content, on disk when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask may have taken bits
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _exchange(drafts: Sequence[tuple[Path, Path]]) -> None:
    """Put every draft in its place; where one cannot be, put back what was there.  Raises OSError."""
    done: list[tuple[Path, Path | None]] = []
    try:
        for draft, path in drafts:
            done.append((path, _kept(path)))
            draft.rename(path)
        for folder in {path.parent for _, path in drafts}:
            _sync(folder)
    except OSError:
        for path, kept in reversed(done):
            with contextlib.suppress(OSError):
                if kept is None:
                    path.unlink(missing_ok=True)
                else:
                    kept.replace(path)
        raise


def _kept(path: Path) -> Path | None:
    """A second name for what is there now; None: nothing is."""
    if not os.path.lexists(path):
        return None
    kept = path.with_name(f"{path.name}.old")
    kept.unlink(missing_ok=True)
    os.link(path, kept, follow_symlinks=False)
    return kept


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
