"""The core's side of the runner's socket: asks, waits without blocking, connects again when the runner returns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from agents.frames import FrameError, encode_frame, frames_from_runner
from agents.ocf import ExitCode
from agents.protocol import FRAME_BYTES_MAX, Cancel, Finished, Run, Serve, Served, Unserve

log = logging.getLogger("vipcast.operations")

RECONNECT_FIRST_S = 0.05
RECONNECT_MAX_S = 1.0
ANSWER_MARGIN_S = 30.0
"""beyond an operation's own timeout: the runner ends it, and it may have waited for its turn"""
UNASKED = "unasked"
"""how an operation ended that no runner has heard of"""


class RunnerClient:
    """Use `start` on the event loop, `close` at the end.  `on_served` hears of helper processes."""

    def __init__(self, socket: Path, on_served: Callable[[Served], None] | None = None) -> None:
        self._socket = socket
        self._on_served = on_served
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[Finished]] = {}
        self._serves: dict[str, list[str]] = {}
        self._next_id = 1
        self._task: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        """time.monotonic(); None: it is there, or nobody has asked for it"""

    def away_s(self) -> float:
        """For how long there has been no runner; 0 while there is one."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    @property
    def is_connected(self) -> bool:
        return self._writer is not None

    async def start(self) -> None:
        """Begin to connect; it is not waited for, operations wait."""
        if self._task is None:
            self._away_since = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._keep_connected(), name="runner client")

    async def close(self) -> None:
        """Let go of the runner; what it runs goes on, who waits here is told that the result is unknown."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def run(
        self,
        *,
        resource: str,
        agent: str,
        operation: str,
        parameters: Mapping[str, str],
        environment: Mapping[str, str],
        timeout_ms: int,
    ) -> Finished:
        """Run one operation.  Always returns: `unasked` without a runner, `cancelled` where it went away meanwhile."""
        patience_s = timeout_ms / 1000 + ANSWER_MARGIN_S
        identifier = self._next_id
        self._next_id += 1
        answer: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(patience_s):
                await self._connected.wait()
                frame = encode_frame(
                    Run(
                        id=identifier,
                        resource=resource,
                        agent=agent,
                        operation=operation,
                        parameters=dict(parameters),
                        environment=dict(environment),
                        timeout_ms=timeout_ms,
                    )
                )
                self._waiting[identifier] = answer
                self._write(frame)
                return await answer
        except FrameError as error:
            return _unknown(identifier, f"{operation} cannot be asked for: {error}")
        except TimeoutError:
            if identifier not in self._waiting:
                reason = f"vipcast-runner does not listen on {self._socket}; is it running?"
                return msgspec.structs.replace(_unknown(identifier, reason), status=UNASKED)
            self._write(encode_frame(Cancel(id=identifier)))
            return _unknown(identifier, f"vipcast-runner gave no answer to {operation} within {patience_s:g} s")
        except asyncio.CancelledError:
            if identifier in self._waiting:
                self._write(encode_frame(Cancel(id=identifier)))
            raise
        finally:
            self._waiting.pop(identifier, None)

    def serve(self, name: str, argv: list[str]) -> None:
        """Keep a helper process running, also across restarts of the runner."""
        self._serves[name] = list(argv)
        self._write(encode_frame(Serve(name=name, argv=list(argv))))

    def unserve(self, name: str) -> None:
        if self._serves.pop(name, None) is not None:
            self._write(encode_frame(Unserve(name=name)))

    def _write(self, frame: bytes) -> None:
        if self._writer is not None:
            self._writer.write(frame)

    async def _keep_connected(self) -> None:
        pause_s = RECONNECT_FIRST_S
        said = False
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=2 * FRAME_BYTES_MAX)
            except OSError as error:
                if not said:
                    reason = (error.strerror or str(error)).lower()
                    log.warning("cannot reach vipcast-runner on %s: %s; trying again", self._socket, reason)
                    said = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_MAX_S)
                continue
            pause_s, said = RECONNECT_FIRST_S, False
            log.info("connected to vipcast-runner")
            try:
                await self._converse(reader, writer)
            finally:
                self._lose(writer)
            log.warning("vipcast-runner has closed the connection; connecting again")
            await asyncio.sleep(pause_s)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._away_since = None
        for name, argv in self._serves.items():
            self._write(encode_frame(Serve(name=name, argv=argv)))
        self._connected.set()
        frames = frames_from_runner(reader)
        try:
            while (message := await frames.read()) is not None:
                match message:
                    case Finished(id=identifier):
                        answer = self._waiting.get(identifier)
                        if answer is not None and not answer.done():
                            answer.set_result(message)
                    case Served():
                        if self._on_served is not None:
                            self._on_served(message)
        except (FrameError, OSError) as error:
            log.warning("the connection to vipcast-runner broke: %s", error)

    def _lose(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        self._writer = None
        self._away_since = time.monotonic()
        self._connected.clear()
        for identifier, answer in self._waiting.items():
            if not answer.done():
                reason = "vipcast-runner went away while the operation ran; its result is unknown"
                answer.set_result(msgspec.structs.replace(_unknown(identifier, reason), status="cancelled"))


def _unknown(identifier: int, reason: str) -> Finished:
    return Finished(
        id=identifier, exit_code=int(ExitCode.ERROR), status="error", reason=reason, output="", duration_ms=0
    )
