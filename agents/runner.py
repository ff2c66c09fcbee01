"""vipcast-runner: the process that starts agents, so that the real-time core never forks.

It listens on a unix socket (mode 0600) for the core.  Operations of one resource run one after the other, those of
different resources side by side up to RUNNING_MAX.  A core that goes away does not stop what runs: its results are
dropped, what had not begun is forgotten, and the next core's operations on the same resource wait their turn; it
probes what it does not know.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import struct
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import ocf, process, systemd
from agents.frames import FrameError, encode_frame, frames_to_runner
from agents.ocf import Agent, AgentName, AgentNameError, ExitCode
from agents.protocol import Cancel, Finished, FromRunner, Run, Serve, Served, ToRunner, Unserve
from agents.serving import SERVED_MAX, ServedProcess

log = logging.getLogger("vipcast.runner")

RUNNING_MAX = 16
WAITING_MAX = 4096
CONNECTIONS_MAX = 8
TIMEOUT_MS_MAX = 24 * 3600 * 1000
DEFAULT_CONFIG = Path("/etc/vipcast/vipcast.toml")
DEFAULT_RUN = Path("/run/vipcast")


class Connection:
    """One core.  Its unfinished operations are its own: nobody else hears of them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.waiting: dict[int, asyncio.Task[None]] = {}
        self.begun: set[int] = set()
        self.lost = False

    def send(self, message: FromRunner) -> None:
        if self.lost:
            return
        # Bounded by what was asked for: one answer an operation, and few operations at a time.
        self._writer.write(encode_frame(message))

    def close(self) -> None:
        self.lost = True
        self._writer.close()


class _Turn:
    """Operations of one resource, one after the other; forgotten when nobody waits any more."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Runner:
    """Everything that runs."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._slots = asyncio.Semaphore(RUNNING_MAX)
        self._turns: dict[str, _Turn] = {}
        self._connections: set[Connection] = set()
        self._served: dict[str, ServedProcess] = {}
        self._unfinished: set[asyncio.Task[None]] = set()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first to its last frame."""
        if (refusal := self._refusal(writer)) is not None:
            log.warning("refused a connection: %s", refusal)
            writer.close()
            return
        connection = Connection(writer)
        self._connections.add(connection)
        frames = frames_to_runner(reader)
        try:
            while (message := await frames.read()) is not None:
                await self._take(connection, message)
        except (FrameError, OSError) as error:
            log.warning("the core's connection ended: %s", error)
        finally:
            self._connections.discard(connection)
            connection.close()
            for identifier, task in list(connection.waiting.items()):
                if identifier not in connection.begun:
                    task.cancel()

    async def close(self) -> None:
        """End the helpers and whatever still runs."""
        for task in list(self._unfinished):
            task.cancel()
        if self._unfinished:
            await asyncio.wait(set(self._unfinished))
        for served in list(self._served.values()):
            await served.stop()
        for connection in list(self._connections):
            connection.close()

    def _refusal(self, writer: asyncio.StreamWriter) -> str | None:
        """The socket's mode keeps others out already; this holds if someone changed it."""
        if len(self._connections) >= CONNECTIONS_MAX:
            return f"{CONNECTIONS_MAX} are open already"
        peer: socket.socket = writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
        if uid not in (0, os.geteuid()):
            return f"user {uid} is neither root nor this process's user"
        return None

    async def _take(self, connection: Connection, message: ToRunner) -> None:
        match message:
            case Run():
                self._begin(connection, message)
            case Cancel(id=identifier):
                if (task := connection.waiting.get(identifier)) is not None:
                    task.cancel()
            case Serve(name=name, argv=argv):
                await self._serve(connection, name, argv)
            case Unserve(name=name):
                if (served := self._served.pop(name, None)) is not None:
                    await served.stop()
                self._report(Served(name=name, pid=0, running=False, reason="no longer wanted"))

    def _begin(self, connection: Connection, run: Run) -> None:
        if run.id in connection.waiting:
            log.warning("operation %d was asked for twice; the second one is ignored", run.id)
            return
        if len(self._unfinished) >= WAITING_MAX:
            connection.send(_refused(run, ExitCode.ERROR, "error", f"{WAITING_MAX} operations wait already"))
            return
        task = asyncio.get_running_loop().create_task(self._operation(connection, run), name=f"run {run.id}")
        connection.waiting[run.id] = task
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    async def _operation(self, connection: Connection, run: Run) -> None:
        turn = self._turns.setdefault(run.resource, _Turn())
        turn.users += 1
        try:
            async with turn.lock, self._slots:
                connection.begun.add(run.id)
                finished = await self._run(run)
        except asyncio.CancelledError:
            finished = _refused(run, ExitCode.ERROR, "cancelled", f"{run.operation} was cancelled")
        finally:
            connection.waiting.pop(run.id, None)
            connection.begun.discard(run.id)
            turn.users -= 1
            if not turn.users:
                del self._turns[run.resource]
        connection.send(finished)

    async def _run(self, run: Run) -> Finished:
        if not 0 < run.timeout_ms <= TIMEOUT_MS_MAX:
            return _refused(run, ExitCode.NOT_CONFIGURED, "error", f"a timeout of {run.timeout_ms} ms is none")
        if run.agent.startswith(f"{systemd.STANDARD}:"):
            return await _run_unit(run)
        try:
            name = AgentName.parse(run.agent)
        except AgentNameError as error:
            return _refused(run, ExitCode.NOT_INSTALLED, "not-installed", str(error))
        agent = ocf.find(name, self._roots)
        if agent is None:
            return _refused(run, ExitCode.NOT_INSTALLED, "not-installed", ocf.not_found(name, self._roots))
        if (objection := ocf.bad_parameters(run.parameters, run.environment)) is not None:
            return _refused(run, ExitCode.NOT_CONFIGURED, "error", objection)
        return await self._run_agent(run, agent)

    async def _run_agent(self, run: Run, agent: Agent) -> Finished:
        environment = ocf.environment(agent, run.resource, run.parameters, run.environment)
        log.debug("%s of %s begins", run.operation, run.resource)
        try:
            ended = await process.run([str(agent.path), run.operation], environment, run.timeout_ms / 1000)
        except PermissionError:
            reason = f"{agent.path} may not be run; make it executable: chmod 755 {agent.path}"
            return _refused(run, ExitCode.PERMISSION, "error", reason)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            return _refused(run, ExitCode.NOT_INSTALLED, "not-installed", f"{agent.path} cannot be run: {said}")
        finished = _finished(run, ended)
        _log_output(run, ended, finished)
        return finished

    async def _serve(self, connection: Connection, name: str, argv: list[str]) -> None:
        served = self._served.get(name)
        if served is not None and served.argv == argv:
            connection.send(served.state)
            return
        if served is not None:
            await self._served.pop(name).stop()
        if not argv or len(self._served) >= SERVED_MAX:
            reason = "no program was named" if not argv else f"{SERVED_MAX} helpers run already"
            connection.send(Served(name=name, pid=0, running=False, reason=reason))
            return
        self._served[name] = ServedProcess(name, argv, self._report)

    def _report(self, served: Served) -> None:
        for connection in self._connections:
            connection.send(served)


async def _run_unit(run: Run) -> Finished:
    began = time.monotonic()
    outcome = await systemd.run(run.agent, run.operation, run.timeout_ms / 1000)
    if outcome.reason:
        log.log(logging.WARNING if outcome.exit_code else logging.INFO, "%s: %s", run.resource, outcome.reason)
    return Finished(
        id=run.id,
        exit_code=int(outcome.exit_code),
        status=outcome.status,
        reason=outcome.reason,
        output=outcome.output,
        duration_ms=int((time.monotonic() - began) * 1000),
    )


def _finished(run: Run, ended: process.Ended) -> Finished:
    """What a process's end means for the cluster."""
    output = ended.output if run.operation == "meta-data" else ended.output + ended.error_output
    reason = ocf.exit_reason(ended.error_output)
    status = "done"
    exit_code = ended.exit_code if ended.exit_code is not None else ExitCode.ERROR
    if ended.timed_out:
        status, exit_code = "timeout", ExitCode.ERROR
        said = f" ({reason})" if reason else ""
        reason = f"{run.operation} did not end within {run.timeout_ms / 1000:g} s{said}"
    elif ended.signal is not None:
        status = "error"
        reason = f"{run.operation} was ended by signal {ended.signal} ({signal.Signals(ended.signal).name})"
    elif exit_code not in (ExitCode.OK, ExitCode.NOT_RUNNING, ExitCode.RUNNING_PROMOTED) and not reason:
        reason = ocf.last_words(ended.error_output)
    return Finished(
        id=run.id,
        exit_code=int(exit_code),
        status=status,
        reason=reason,
        output=output,
        duration_ms=ended.duration_ms,
    )


def _refused(run: Run, exit_code: ExitCode, status: str, reason: str) -> Finished:
    return Finished(id=run.id, exit_code=int(exit_code), status=status, reason=reason, output="", duration_ms=0)


def _log_output(run: Run, ended: process.Ended, finished: Finished) -> None:
    """An agent's own words, a line each, under the resource's name."""
    if run.operation == "meta-data":
        return
    level = logging.DEBUG if finished.status == "done" and finished.exit_code in (0, 7) else logging.WARNING
    for line in (ended.output + ended.error_output).splitlines()[-100:]:
        log.log(level, "%s %s: %s", run.resource, run.operation, line)


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
    return Places(Path(run) / "runner.sock", tuple(Path(root) for root in roots))


async def serve(where: Places) -> None:
    """Listen until SIGTERM or SIGINT.  Raises OSError, and ConfigError where another runner listens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    where.socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = _lock(where.socket.with_suffix(".lock"))
    _prepare_scratch()
    runner = Runner(where.roots)
    try:
        where.socket.unlink(missing_ok=True)  # of a runner that is gone: the lock is ours
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(runner.converse, where.socket)
        finally:
            os.umask(before)
        log.info("listening on %s", where.socket)
        await stop.wait()
        server.close()
    finally:
        await runner.close()
        where.socket.unlink(missing_ok=True)
        os.close(lock)


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


def main(argv: Sequence[str] | None = None) -> int:
    """The program.  Exit status: 0 after a signal, 1 where it cannot listen, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="vipcast-runner", description="Runs resource agents for vipcastd.")
    parser.add_argument("--config", type=Path, help=f"settings file (default: {DEFAULT_CONFIG})")
    parser.add_argument("--socket", type=Path, help="listen here instead of runner.sock in the settings' paths.run")
    parser.add_argument("--debug", action="store_true", help="log every operation and all output of agents")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.debug else logging.INFO,
        format="%(name)s: %(levelname)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    config = (arguments.config or DEFAULT_CONFIG).absolute()
    try:
        if arguments.config is None and arguments.socket is not None and not config.exists():
            where = Places(arguments.socket.absolute(), ocf.DEFAULT_ROOTS)
        else:
            where = places(config)
            if arguments.socket is not None:
                where = Places(arguments.socket.absolute(), where.roots)
        _be_ordinary()
        asyncio.run(serve(where))
    except ConfigError as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("%s: %s", error.filename or "cannot listen", (error.strerror or str(error)).lower())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
