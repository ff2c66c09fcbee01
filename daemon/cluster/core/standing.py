"""What the log says of one node: whether it takes part, as which process, and how it has come and gone.

Immutable, for it stands in snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.core.holddown import NEVER, Flaps


@dataclass(frozen=True, slots=True)
class RestartLease:
    """Under which a kernel may accept while there is no process that could renew anything (`restarts`)."""

    incarnation: int
    """of the process that asked for it, and ended"""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one node, after its newest Admit, Restart or Lost."""

    admitted: bool
    incarnation: int
    kernel_boot_id: str
    epoch: int
    """index of its newest Admit or Lost (rule 19)"""
    restart: RestartLease | None = None
    """one that may still be running; an Admit does not end it, for the kernel's deadline stands until the new
    process has changed it"""
    flaps: Flaps = NEVER
    """its losses that it did not ask for, by the log's stamps in milliseconds"""
    slack_ms: int = 0
    """how much longer its lease may be; with an admission that inherits, the former process's counts as well"""

    @property
    def restarts(self) -> bool:
        """Whether its process ended by intention, and the next one was not admitted yet."""
        return self.admitted and self.restart is not None and self.restart.incarnation == self.incarnation
