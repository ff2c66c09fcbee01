"""What vipcast-runner does for its cores: agents' operations, and the helpers that it keeps alive.

Operations of one resource run one after the other, those of different resources side by side up to RUNNING_MAX.  A
core that goes away does not stop what runs: its results are dropped, what had not begun is forgotten, and the next
core's operations on the same resource wait their turn; it probes what it does not know.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agents import fence, ocf, privileges, process, systemd
from agents.frames import FrameError, encode_frame, frames_to_runner
from agents.journald import about, named
from agents.ocf import Agent, AgentName, AgentNameError, ExitCode
from agents.protocol import Cancel, Finished, FromRunner, Run, Serve, Served, ToRunner, Unserve
from agents.serving import SERVED_MAX, ServedProcess, is_helper_of_ours
from datapath.host.privileged import USER

log = logging.getLogger("vipcast.runner")

RUNNING_MAX = 16
WAITING_MAX = 4096
CONNECTIONS_MAX = 8
FINISH_S = 3.0
"""for agents at work when the runner is told to end (TimeoutStopSec= of the unit leaves room beyond it)"""
TIMEOUT_MS_MAX = 24 * 3600 * 1000


class Connection:
    """One core.  Its unfinished operations are its own: nobody else hears of them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.user = privileges.may_ask(writer.get_extra_info("socket"))
        self.waiting: dict[int, asyncio.Task[None]] = {}
        self.begun: set[int] = set()
        self.lost = False

    def send(self, message: FromRunner) -> None:
        if self.lost:
            return
        # Bounded by what was asked for: one answer an operation, and few operations at a time.
        self._writer.write(encode_frame(message))

    def cancel_what_waits(self) -> None:
        """What has not begun does not begin."""
        for identifier, task in list(self.waiting.items()):
            if identifier not in self.begun:
                task.cancel()

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
        self.roots = tuple(roots)
        """where agents are, from the next operation on"""
        self._slots = asyncio.Semaphore(RUNNING_MAX)
        self._turns: dict[str, _Turn] = {}
        self._connections: set[Connection] = set()
        self._served: dict[str, ServedProcess] = {}
        self._unfinished: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._devices: set[str] = set()
        """stonith resources that were started: they work, as far as is known"""

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
            connection.cancel_what_waits()

    async def close(self) -> None:
        """Let agents end what they have begun, for FINISH_S; then end whatever still runs, and the helpers."""
        self._is_closing = True
        for connection in self._connections:
            connection.cancel_what_waits()
        if self._unfinished:
            await asyncio.wait(set(self._unfinished), timeout=FINISH_S)
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
        if privileges.may_ask(peer) is None:
            return f"its user is neither root nor {USER}, nor this process's"
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
        if self._is_closing:
            return  # the core asks the next runner, once it has lost this one
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
        if run.agent.startswith(f"{fence.STANDARD}:"):
            return await self._run_fence_agent(run)
        try:
            name = AgentName.parse(run.agent)
        except AgentNameError as error:
            return _refused(run, ExitCode.NOT_INSTALLED, "not-installed", str(error))
        agent = ocf.find(name, self.roots)
        if agent is None:
            return _refused(run, ExitCode.NOT_INSTALLED, "not-installed", ocf.not_found(name, self.roots))
        if (objection := ocf.bad_parameters(run.parameters, run.environment)) is not None:
            return _refused(run, ExitCode.NOT_CONFIGURED, "error", objection)
        return await self._run_agent(run, agent)

    async def _run_fence_agent(self, run: Run) -> Finished:
        name = fence.type_of(run.agent)
        path = None if name is None else fence.find(name, self.roots)
        if name is None or path is None:
            places = ", ".join(map(str, fence.candidates(name or "fence_…", self.roots)))
            return _refused(run, ExitCode.NOT_INSTALLED, "not-installed", f"{run.agent} is not in {places}")
        if run.operation == "stop" or (run.operation == "monitor" and run.resource not in self._devices):
            self._devices.discard(run.resource)
            code = ExitCode.OK if run.operation == "stop" else ExitCode.NOT_RUNNING
            return _refused(run, code, "done", "")
        try:
            told = fence.told(run.parameters, fence.action_of(run.operation, run.parameters))
            ended = await process.run([str(path)], {"PATH": ocf.PATH, "LC_ALL": "C"}, run.timeout_ms / 1000, told)
        except (OSError, ValueError) as error:
            return _refused(run, ExitCode.ERROR, "error", f"{path} cannot be run: {error}")
        finished = _finished(run, ended)
        if finished.exit_code:
            # the codes of fence agents are others than OCF's: all that counts is whether it was done
            reason = finished.reason or ocf.last_words(ended.error_output) or f"it ended with {finished.exit_code}"
            finished = msgspec.structs.replace(finished, exit_code=int(ExitCode.ERROR), reason=reason)
        if run.operation == "start" and finished.exit_code == 0:
            self._devices.add(run.resource)
        _log_output(run, ended, finished)
        return finished

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
        if (reason := self._no_helper(connection, argv)) is not None:
            connection.send(Served(name=name, pid=0, running=False, reason=reason))
            return
        self._served[name] = ServedProcess(name, argv, self._report)

    def _no_helper(self, connection: Connection, argv: list[str]) -> str | None:
        """Why this is not kept running: a core without root names a program of ours, and no other."""
        if not argv:
            return "no program was named"
        if len(self._served) >= SERVED_MAX:
            return f"{SERVED_MAX} helpers run already"
        if connection.user != 0 and not is_helper_of_ours(argv):
            return f"{argv[0]} is no helper of vipcast's; only root may have it run"
        return None

    def _report(self, served: Served) -> None:
        for connection in self._connections:
            connection.send(served)


async def _run_unit(run: Run) -> Finished:
    began = time.monotonic()
    outcome = await systemd.run(run.agent, run.operation, run.timeout_ms / 1000)
    if outcome.reason:
        level = logging.WARNING if outcome.exit_code else logging.INFO
        fields = about(resource=named(run.resource), operation=run.operation)
        log.log(level, "%s: %s", run.resource, outcome.reason, extra=fields)
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
        fields = about(resource=named(run.resource), operation=run.operation)
        log.log(level, "%s %s: %s", run.resource, run.operation, line, extra=fields)
