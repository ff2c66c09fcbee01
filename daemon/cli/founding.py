"""`vipcast cluster init`: the first host of a cluster; and what it shares with `cluster join`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from ipaddress import IPv4Address
from pathlib import Path

from daemon import hostfiles, interfaces, keys, places, settings
from daemon.cli.call import OK, Call, CommandError
from daemon.cluster.timers import PROFILES
from daemon.hostfiles import Files, HostFilesError, LinkTable, Membership
from daemon.settings import Settings

SERVICES = ("vipcast-runner", "vipcastd")
SYSTEMD_RUNS = Path("/run/systemd/system")  # sd_booted(3)
UNIT_OF_A_WITNESS = "systemctl enable --now vipcastd"
DATABASE = "cluster.db"


def init(call: Call) -> int:
    """`vipcast cluster init <name>`"""
    return _found(call, call.arguments[0], node_name(call))


def setup(call: Call) -> int:
    """`vipcast cluster setup <name> [<node>]...`, or `--name <name> [<node>]...` as older versions of pcs have it."""
    named = call.value("--name")
    cluster, nodes = (named, call.arguments) if named else (call.arguments[0], call.arguments[1:])
    node = own_name()
    others = [other for other in nodes if other != node and "=" not in other]
    if others:
        told = ", ".join(others)
        raise CommandError(
            f"a cluster begins with one host, this one ({node}): 'vipcast cluster init {cluster}'. Others"
            f" ({told}) join from their own side: print a token here with 'vipcast cluster token' once vipcastd runs,"
            " and type 'vipcast cluster join TOKEN' there"
        )
    return _found(call, cluster, node)


def _found(call: Call, name: str, node: str) -> int:
    refuse_name(name, "a cluster")
    own = own_places(call, witness=False)
    files = Files.at(own, call.value("--settings"))
    if call.has("--force"):
        _forget_unused(own.state)
    refuse_existing(call, files, own)
    choice = link_choice(call, None)
    link = LinkTable(
        choice.interface.name, _group(call, name), call.number("--port", hostfiles.PORT_DEFAULT, 1, 65535)
    )
    membership = Membership(
        cluster=name,
        node=node,
        links=(link,),
        profile=profile(call),
        authkey=files.authkey if call.has("--settings") else None,
    )
    write(files, membership, keys.generate())
    _found_store(own.state, node)
    if call.out.json_wanted:
        call.out.document(document(files, membership))
    else:
        call.out.line(f"Cluster '{name}' is made; {node} is its first node.")
        told_files(call, files, "a new key")
        told_link(call, link, choice)
    start = starting(call, witness=False)
    call.out.note("Then print a token for the next host:  vipcast cluster token")
    call.out.note("and type there:                        vipcast cluster join TOKEN")
    return start


def _found_store(state: Path, node: str) -> None:
    """The right to begin a cluster alone is the store's, not the settings': who has lost his disk has lost it."""
    from daemon.cluster.store.errors import StoreError  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.founding import found  # noqa: PLC0415 - start-up time

    try:
        found(state, node)
    except StoreError as error:
        raise CommandError(
            f"the settings are written, but the cluster has no memory yet: {error}; then type this command again with"
            " --force",
            code="store",
        ) from error


def prepare_store(state: Path, cluster_id: str) -> None:
    """An empty memory for that cluster alone: no other of the same name and key is heard, not even at first."""
    from daemon.cluster.store.errors import StoreError  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.founding import prepare  # noqa: PLC0415 - start-up time

    try:
        prepare(state, cluster_id)
    except StoreError as error:
        raise CommandError(
            f"the settings are written, but there is no memory for the cluster yet: {error}; then type this command"
            " again with --force",
            code="store",
        ) from error


def cluster_of(state: Path) -> str:
    """The id of the cluster whose memory is here; "": there is none, or of a version that knew no ids."""
    from daemon.cluster.store.errors import StoreError  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.founding import cluster_id_of  # noqa: PLC0415 - start-up time

    try:
        return cluster_id_of(state)
    except StoreError as error:
        raise CommandError(str(error), code="store") from error


def _forget_unused(state: Path) -> None:
    """Of a cluster that never ran there is nothing to be kept."""
    from daemon.cluster.store.errors import StoreError  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.founding import is_unused  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.reset import move_aside  # noqa: PLC0415 - start-up time

    try:
        if is_unused(state):
            move_aside(state, time.strftime("%Y%m%d-%H%M%S"))
    except StoreError as error:
        raise CommandError(str(error), code="store") from error


def told_files(call: Call, files: Files, key: str) -> None:
    call.out.line(f"  {files.settings}: its settings")
    call.out.line(f"  {files.authkey}: {key}, mode 0600")


def told_link(call: Call, link: LinkTable, choice: interfaces.Choice) -> None:
    call.out.line(f"  link: {choice.interface}, since {choice.why}; {destinations(link)}")
    if link.group and not choice.interface.multicast:
        call.out.note(f"Warning: {link.interface} does no multicast: its link needs peers (see the guide, Links)")


def destinations(link: LinkTable) -> str:
    where = f"group {link.group}" if link.group else f"peers {', '.join(link.peers)}"
    return f"{where}, UDP port {link.port}"


def starting(call: Call, *, witness: bool) -> int:
    """Start the services with --start, else say how."""
    command = f"systemctl enable --now {' '.join(SERVICES)}"
    if witness:
        command = "vipcastd --witness" if own_places(call, witness=True) is not places.SYSTEM else UNIT_OF_A_WITNESS
    if not call.has("--start") and not call.has("--enable"):
        call.out.note(f"Now start it here:                     {command}")
        return OK
    if not command.startswith("systemctl"):
        raise CommandError(
            f"the files are written, but a user's daemon is started by that user: {command}", code="elsewhere"
        )
    if not SYSTEMD_RUNS.is_dir() or shutil.which("systemctl") is None:
        call.out.note("systemd does not run here, so nothing was started: start vipcast-runner and vipcastd")
        return OK
    done = subprocess.run(command.split(), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise CommandError(
            f"the files are written, but '{command}' failed: {done.stderr.strip()}; see 'journalctl -u vipcastd'"
        )
    call.out.line("vipcastd is started, and will be at each boot.")
    return OK


def write(files: Files, membership: Membership, key: bytes) -> None:
    """Put both files in place.  Raises CommandError."""
    try:
        files.put(membership, key)
    except HostFilesError as error:
        raise CommandError(str(error), code="files") from error


def refuse_existing(call: Call, files: Files, own: places.Places) -> None:
    """Raise CommandError where this host is a member already, or has the memory of a cluster."""
    if not call.has("--force") and (existing := files.existing()):
        raise CommandError(
            f"this host is a member already: {_described(existing[0])}. Nothing was changed; use --force to"
            " replace its files (the former ones stay beside them, with .old)",
            code="member-already",
        )
    for state in (own.state / DATABASE, *_stated(files)):
        if state.exists() and not _is_prepared(state.parent):
            raise CommandError(
                f"{state} is the memory of a cluster that this host was in: as a new member it has to begin with an"
                " empty one. Stop vipcastd, then move it aside with 'vipcast node reset'",
                code="memory",
            )


def _is_prepared(state: Path) -> bool:
    """What an earlier `cluster join` has left, and no daemon has taken part with: no memory."""
    from daemon.cluster.store.errors import StoreError  # noqa: PLC0415 - start-up time
    from daemon.cluster.store.founding import is_prepared  # noqa: PLC0415 - start-up time

    try:
        return is_prepared(state)
    except StoreError:
        return False


def node_name(call: Call) -> str:
    """--name, or the host's name without its domain.  Raises CommandError."""
    name = call.value("--name") or own_name()
    refuse_name(name, "a node")
    return name


def own_name() -> str:
    return socket.gethostname().split(".", 1)[0]


def refuse_name(name: str, what: str) -> None:
    if not settings.is_name(name):
        raise CommandError(
            f"'{name}' is no name for {what}: use letters, digits, '-', '_' and '.', at most 63 characters"
        )


def profile(call: Call) -> str:
    given = call.value("--profile") or "default"
    if given not in PROFILES:
        raise call.misuse(f"--profile takes {' or '.join(PROFILES)}, not '{given}'")
    return given


def link_choice(call: Call, near: IPv4Address | None) -> interfaces.Choice:
    """The interface of --link, or the one that suggests itself.  Raises CommandError."""
    here = interfaces.of_this_host()
    try:
        if named := call.value("--link"):
            return interfaces.Choice(interfaces.find(here, named), "you said so")
        return interfaces.choose(here, interfaces.default_route(), near)
    except interfaces.NoInterfaceError as error:
        raise CommandError(str(error), code="interface") from error


def own_places(call: Call, *, witness: bool) -> places.Places:
    """Raises CommandError where this user may not write what a member needs."""
    own = places.of_this_user(os.environ)
    if own is not places.SYSTEM and not witness:
        raise CommandError(
            f"{places.SYSTEM.settings.parent} is for root alone: run this as root"
            " (only a witness needs no root: 'vipcast cluster join TOKEN --witness')"
        )
    return own


def _group(call: Call, cluster: str) -> str:
    """--group, or one made of the cluster's name; the settings' own check judges it."""
    return call.value("--group") or hostfiles.group_of(cluster)


def _described(path: Path) -> str:
    try:
        read = settings.load(path)
    except settings.SettingsError:
        return f"{path} exists"
    return f"{path} has node {read.node.name} of cluster '{read.cluster.name}'"


def _stated(files: Files) -> list[Path]:
    """The database of the settings that are there now."""
    try:
        read: Settings = settings.load(files.settings)
    except settings.SettingsError:
        return []
    return [read.paths.state / DATABASE]


def document(files: Files, membership: Membership) -> dict[str, object]:
    return {
        "cluster": membership.cluster,
        "node": membership.node,
        "files": [str(files.settings), str(files.authkey)],
        "links": [
            {"interface": link.interface, "group": link.group, "port": link.port} for link in membership.links
        ],
    }
