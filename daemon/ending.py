"""How this process comes to its end: stopped, started again, or by a bug.

SIGTERM and SIGINT: an administrator stops it.  Everything is given away first.
SIGUSR1: it is started again in a moment (`RestartKillSignal=` of vipcastd.service).  The kernel goes on serving
under a restart lease, and the next process takes over.  systemd sends it for `systemctl restart`, which a package
upgrade does, too, so nobody has to tell the two apart by guessing.
A second signal: at once, as in a crash.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import signal

from daemon import departure, suicide
from daemon.node import Node
from daemon.state.frozen import ThawError

log = logging.getLogger("vipcast")


class Cause(enum.Enum):
    STOP = enum.auto()
    RESTART = enum.auto()
    DISMISSED = enum.auto()
    """the cluster goes on without this node"""
    FAULT = enum.auto()
    SUICIDE = enum.auto()
    """no-quorum-policy=suicide"""


SIGNALS = {signal.SIGTERM: Cause.STOP, signal.SIGINT: Cause.STOP, signal.SIGUSR1: Cause.RESTART}


class Ending:
    """Watches signals and bugs from its construction on, on the running loop."""

    def __init__(self, restart_ms: int) -> None:
        """`restart_ms`: how long a kernel may go on without its daemon; 0: a restart ends like a crash."""
        loop = asyncio.get_running_loop()
        self._restart_ms = restart_ms
        self.cause: asyncio.Future[Cause] = loop.create_future()
        self._again: asyncio.Future[None] = loop.create_future()
        for number, cause in SIGNALS.items():
            loop.add_signal_handler(number, self._told, cause)
        loop.set_exception_handler(lambda _, context: self._broken(context))

    def _told(self, cause: Cause) -> None:
        if not self.cause.done():
            self.cause.set_result(cause)
        elif not self._again.done():
            self._again.set_result(None)

    def dismissed(self) -> None:
        """Whatever this node had it has given away, and nobody grants it anything any more."""
        if not self.cause.done():  # else it is about to end anyway
            self._told(Cause.DISMISSED)

    def end_itself(self) -> None:
        """This node has lost quorum, and nothing of it may remain."""
        self._told(Cause.SUICIDE)

    def _broken(self, context: dict[str, object]) -> None:
        """A bug: end at once, and let the lease silence what the kernel still holds.  A restart begins clean."""
        error = context.get("exception")
        if isinstance(error, ThawError):
            log.critical("%s", error)  # no bug: the others run another version
        else:
            log.critical(
                "internal error: %s",
                context.get("message"),
                exc_info=error if isinstance(error, Exception) else None,
            )
        self._told(Cause.FAULT)

    async def prepare(self, node: Node, cause: Cause) -> None:
        """What is due before `Node.stop`, unless a second signal says that there is no time for it."""
        if cause in (Cause.FAULT, Cause.DISMISSED):
            return
        if cause is Cause.SUICIDE:
            suicide.end_everything(node)
            return
        preparing = asyncio.get_running_loop().create_task(
            departure.leave(node) if cause is Cause.STOP else self._restart(node)
        )
        await asyncio.wait((preparing, self._again), return_when=asyncio.FIRST_COMPLETED)
        if not preparing.done():
            log.warning("a second signal: it ends now, and what it held is taken over when its lease has ended")
        preparing.cancel()

    async def _restart(self, node: Node) -> None:
        if self._restart_ms and await departure.restart(node, self._restart_ms):
            log.info("restart: what is open here goes on in the kernel for %.1f s at most", self._restart_ms / 1000)
        else:
            log.warning("restart without a lease: what this node serves is dark until it is back or others take it")
