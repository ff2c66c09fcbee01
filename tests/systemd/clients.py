"""Clients of a lab's address from before something is done to after it, and what became of their connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from tests.lab import Lab, Stream, Traffic, wait_until
from tests.lab.clients import Attempt
from tests.lab.lasting import Lasted, LastingConnections
from tests.lab.service import ADDRESS, shared

INTERVAL_MS = 20
PATIENCE_MS = 10_000
"""a client that waits for a SYN's repetition is late; it is not broken"""
SYN_REPEATED_NS = 1_000_000_000
"""TCP_TIMEOUT_INIT"""
CLIENTS_A_SLOT = 40
LASTING_A_SLOT = 3
_used = count()
"""a port of a lasting connection that has ended is not free at once: each one takes others"""


@dataclass
class Clients:
    """A context manager: new connections to every slot all the while, and some that last where `lasting` says so."""

    lab: Lab
    lasting: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    lasted: list[Lasted] = field(default_factory=list)

    def __enter__(self) -> Clients:
        mine = next(_used) if self.lasting else 0
        slots = shared(self.lab).clients_by_slot(CLIENTS_A_SLOT + LASTING_A_SLOT * (mine + 1))
        self._traffic = Traffic(self.lab.gw, ADDRESS)
        self._traffic.__enter__()
        kept = [client for clients in slots.values() for client in clients[-LASTING_A_SLOT:]]
        self._lasting = LastingConnections(self.lab.gw, ADDRESS, kept, interval_ms=20) if self.lasting else None
        self._traffic.start(
            *(
                Stream(str(slot), clients[:CLIENTS_A_SLOT], INTERVAL_MS, PATIENCE_MS)
                for slot, clients in slots.items()
            )
        )
        wait_until(lambda: sum(attempt.ok for attempt in self._traffic.attempts) > 50, 20, "traffic")
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self.attempts = self._traffic.halt()
                self.lasted = self._lasting.end() if self._lasting is not None else []
        finally:
            self._traffic.__exit__(None, None, None)

    def broken(self) -> list[Attempt | Lasted]:
        """New ones that did not get their answer, and lasting ones that were reset or went silent."""
        silent = [one for one in self.lasted if one.error or one.answers < 10]
        return [*(attempt for attempt in self.attempts if not attempt.ok), *silent]

    def repeated(self) -> list[Attempt]:
        """Those whose first SYN nobody took: the kernel repeats it after a second."""
        return [one for one in self.attempts if one.ended_ns - one.started_ns >= SYN_REPEATED_NS]

    def figures(self) -> str:
        waits = [(attempt.ended_ns - attempt.started_ns) / 1e6 for attempt in self.attempts]
        asked = sum(one.answers for one in self.lasted)
        lasting = f"; {asked} answers on {len(self.lasted)} that last" if self.lasted else ""
        longest = f"longest {max(waits, default=0):.0f} ms, SYNs repeated {len(self.repeated())}"
        return f"{len(self.attempts)} connections, {longest}{lasting}; broken {len(self.broken())}"
