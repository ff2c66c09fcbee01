"""vipcast-runner: the process that starts agents, so that the real-time core never forks.

It runs as root and listens on two unix sockets, for root and the core's user alone: one for agents (`agents.running`),
one for what the core may not do itself (`agents.privileges`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import journald, notify, ocf
from agents.privileges import Privileges, open_to_the_core
from agents.running import Runner
from datapath.host.privileged import sockets_beside

log = logging.getLogger("vipcast.runner")

DEFAULT_CONFIG = Path("/etc/vipcast/vipcast.toml")
DEFAULT_RUN = Path("/run/vipcast")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the runner listens and looks for agents."""

    socket: Path
    roots: tuple[Path, ...]


class ConfigError(Exception):
    """The settings file cannot be used by the runner; `vipcastd --check` says more."""


def places(config: Path) -> Places:
    """The two settings that concern the runner; it is the daemon that checks the whole file."""
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{config}: {error}; 'vipcastd --check' says more") from None
    table = document.get("paths", {})
    run = table.get("run", str(DEFAULT_RUN)) if isinstance(table, dict) else None
    roots = table.get("agents", [str(root) for root in ocf.DEFAULT_ROOTS]) if isinstance(table, dict) else None
    if not isinstance(run, str) or not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise ConfigError(f"{config}: [paths] is not as it should be; 'vipcastd --check' says more")
    return Places(sockets_beside(Path(run)) / "runner.sock", tuple(Path(root) for root in roots))


async def serve(where: Places, config: Path | None = None) -> None:
    """Listen until SIGTERM or SIGINT; SIGHUP has `config` read again.

    Raises OSError, and ConfigError where another runner listens.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    where.socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = _lock(where.socket.with_suffix(".lock"))
    _prepare_scratch()
    runner = Runner(where.roots)
    loop.add_signal_handler(signal.SIGHUP, _reload, runner, config)
    privileges = Privileges(where.socket.with_name("host.sock"))
    try:
        privileges.start()
        where.socket.unlink(missing_ok=True)  # of a runner that is gone: the lock is ours
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(runner.converse, where.socket)
        finally:
            os.umask(before)
        open_to_the_core(where.socket)
        log.info("listening on %s", where.socket)
        notify.ready()
        await stop.wait()
        notify.stopping()
        server.close()
    finally:
        privileges.close()
        await runner.close()
        where.socket.unlink(missing_ok=True)
        os.close(lock)


def _reload(runner: Runner, config: Path | None) -> None:
    """Agents are looked for where the file says now.  One that is wrong changes nothing."""
    if config is None:
        return
    try:
        found = places(config)
    except ConfigError as error:
        log.error("%s; going on with what was read before", error)
        return
    if found.roots != runner.roots:
        log.info("agents are looked for in %s", ", ".join(map(str, found.roots)))
    runner.roots = found.roots


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"another vipcast-runner holds {path}; stop it, or set another paths.run") from None
    return descriptor


def _prepare_scratch() -> None:
    """Agents expect their folder for pid files; after a boot nobody else has made it."""
    try:
        ocf.SCRATCH.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s cannot be made: %s; agents that keep files there will fail", ocf.SCRATCH, error.strerror)


def _be_ordinary() -> None:
    """Undo what a real-time parent may have left: agents are ordinary processes with ordinary manners."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {
        signal.SIGPIPE,
        signal.SIGXFSZ,
    }:  # these two are Python's, it restores them
        if signal.getsignal(number) is signal.SIG_IGN:
            # A handler that does nothing: the runner goes on ignoring it, and exec gives agents the default back.
            signal.signal(number, lambda *_: None)
    os.umask(0o022)
    os.chdir("/")


def options_parser() -> argparse.ArgumentParser:
    """What the program takes; the manual page is made from it."""
    parser = argparse.ArgumentParser(prog="vipcast-runner", description="Runs resource agents for vipcastd.")
    parser.add_argument("--config", type=Path, help=f"settings file (default: {DEFAULT_CONFIG})")
    parser.add_argument("--socket", type=Path, help="listen here instead of runner.sock in the settings' paths.run")
    parser.add_argument("--debug", action="store_true", help="log every operation and all output of agents")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The program.  Exit status: 0 after a signal, 1 where it cannot listen, 2 for wrong arguments."""
    arguments = options_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.debug else logging.INFO,
        format="%(name)s: %(levelname)s: %(message)s",
        handlers=journald.handlers(os.environ, "vipcast-runner"),
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    config = (arguments.config or DEFAULT_CONFIG).absolute()
    file: Path | None = config
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    try:
        if arguments.config is None and arguments.socket is not None and not config.exists():
            where, file = Places(arguments.socket.absolute(), ocf.DEFAULT_ROOTS), None
        else:
            where = places(config)
            if arguments.socket is not None:
                where = Places(arguments.socket.absolute(), where.roots)
        _be_ordinary()
        asyncio.run(serve(where, file))
    except ConfigError as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("%s: %s", error.filename or "cannot listen", (error.strerror or str(error)).lower())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
