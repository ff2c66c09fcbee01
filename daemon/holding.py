"""Carries out what a node's part in a move asks of the engine, and of the transport (daemon/executor/holds.py)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from daemon.cluster.messages import Draining, Hold, HoldTaken, UdpKept
from daemon.cluster.transport import Transport
from daemon.executor.executor import Effects, Executor
from daemon.executor.holds import Answer, Deed, Task
from daemon.slices import Job, Slices
from datapath.engine import CONVERSATIONS_MAX, DatapathError, Engine, KeepsFlows, Reconciles
from datapath.hearers import could_hear

log = logging.getLogger("vipcast.datapath")

MESSAGES = (Hold, HoldTaken, UdpKept, Draining)


_COSTS = {
    Deed.CONVERSATIONS: "knowing for now who speaks UDP",
    Deed.LEAVE: "new conversations of UDP for now",
}


class Holding:
    def __init__(self, engine: Engine, executor: Executor, slices: Slices, changed: Callable[[], None]) -> None:
        """`changed()`: what took a while has led to something."""
        self._engine = engine
        self._executor = executor
        self._slices = slices
        self._changed = changed
        self._is_tidying = False

    def act(self, effects: Effects, transport: Transport | None) -> bool:
        """Do what is asked for; True where that may have led to more."""
        for task in effects.holding:
            if task.deed is Deed.PREPARE and isinstance(self._engine, KeepsFlows):
                self._slices.begin_before_others(self._prepare(self._engine, task))
            else:
                self._executor.held(task, _carry_out(self._engine, task))
        for word in effects.words:
            if transport is not None:
                transport.send(word.to, word.message)
        if effects.draining is not None and transport is not None:
            transport.send(None, effects.draining)
        return bool(effects.holding)

    def tidy(self) -> None:
        """Twice a second, unless the last time still goes on."""
        if isinstance(self._engine, KeepsFlows) and not self._is_tidying:
            self._is_tidying = True
            self._slices.begin(self._tidy(self._engine))

    def _prepare(self, engine: KeepsFlows, task: Task) -> Job:
        try:
            yield from engine.prepare(task.move.address)
        except DatapathError as error:
            log.info("%s: its connections are listed when it moves: %s", task.move.address, error)
        self._executor.held(task, answer=True)
        self._changed()

    def _tidy(self, engine: KeepsFlows) -> Job:
        try:
            yield from engine.tidy()
        finally:
            self._is_tidying = False


def _carry_out(engine: Engine, task: Task) -> Answer | None:
    """None where the engine could not.

    Then slots move without: a client may have to repeat its SYN, or its datagrams wait for a move's end.
    """
    if task.deed is Deed.PREPARE:
        return True
    if not isinstance(engine, Reconciles):
        return None
    try:
        if task.deed is Deed.TELL:
            return engine.taken(task.move.address, task.slots)
        if task.deed is Deed.SERVES_UDP:
            return any(
                could_hear(wish.address.ip) for wish in engine.state() if wish.address.resource == task.move.address
            )
        if task.deed is Deed.CONVERSATIONS:
            found = engine.conversations(task.move.address, task.slots, task.idle_ns)
            if found.too_many:
                log.warning(
                    "%s has more than %d conversations of UDP: they go with the slots",
                    task.move.address,
                    CONVERSATIONS_MAX,
                )
            return found
        if task.deed is Deed.LEAVE:
            engine.leave(task.move.address, task.slots, task.names)
        elif task.deed is Deed.REFUSE:
            engine.refuse(task.move.address, task.slots, task.taken)
        elif task.deed is Deed.RELEASE:
            count = engine.release(task.move.address, task.slots)
            log.debug("%s: %d SYNs were held while slots came from %s", task.move.address, count, task.move.holder)
        else:
            act: Callable[..., None] = engine.listen if task.deed is Deed.LISTEN else engine.forget
            act(task.move.address, task.slots)
    except DatapathError as error:
        log.info("%s moves without %s: %s", task.move.address, _COSTS.get(task.deed, "holding SYNs"), error)
        return None
    return True
