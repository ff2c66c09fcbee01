"""What a node does while its host is silenced (`vipcast panic`): it stays a voter, and holds nothing.

The kernel first: all slots of this host are wanted closed, whatever the state says, so the engine takes the addresses
away in one transaction.  Then the log is told, and everything goes elsewhere.  When the file is gone the log is
told that as well, and the node is given its share again.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from daemon.cluster.core.proposals import TooMuchProposedError
from daemon.executor import Executor
from daemon.executor.quorumless import Quorumless
from daemon.outstanding import Outstanding
from daemon.panic import PanicFile
from daemon.state.commands import Leave, Return, StateCommand
from daemon.state.state import State

log = logging.getLogger("vipcast.node")


class Silence:
    def __init__(
        self,
        file: PanicFile,
        executor: Executor,
        quorumless: Quorumless,
        outstanding: Outstanding,
        propose: Callable[[StateCommand], int],
    ) -> None:
        self._file = file
        self._executor = executor
        self._quorumless = quorumless
        self._outstanding = outstanding
        self._propose = propose
        self._asked: int | None = None
        self._returns = False
        """the log is to hear that this node goes on"""

    @property
    def is_on(self) -> bool:
        return self._executor.slots.silenced

    def alarms(self) -> tuple[str, ...]:
        """What everybody who looks at the status has to know at once."""
        return ("this host is SILENCED and serves nothing; undo it with: vipcast panic off",) if self.is_on else ()

    def look(self) -> None:
        """Before anything is done to the kernel."""
        silenced = self._file.is_on()
        if silenced == self.is_on:
            return
        self._executor.slots.silenced = silenced
        self._returns = not silenced
        if silenced:
            panic = self._file.read()
            who = f" by {panic.author}" if panic is not None else ""
            log.critical("this host is SILENCED%s: it answers for no address until 'vipcast panic off'", who)
        else:
            log.warning("this host is no longer silenced, and is given its share again")

    def tell(self, state: State) -> None:
        """Have the log know; again where that was given up, or where this node was admitted anew."""
        if self._asked in self._outstanding:
            return
        me = self._executor.node
        command: StateCommand
        if self.is_on and self._executor.may_ask_to_leave(state):
            command = Leave(me, self._executor.incarnation)
        elif self._may_return(state):
            command = Return(me, self._executor.incarnation)
        else:
            return
        with contextlib.suppress(TooMuchProposedError):
            self._asked = self._propose(command)

    def _may_return(self, state: State) -> bool:
        """Not where the daemon is about to end: then its own `Leave` stands."""
        executor = self._executor
        if not self._returns or self._quorumless.is_leaving or not executor.admitted(state):
            return False
        return state.nodes[executor.node].leaving
