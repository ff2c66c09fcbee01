"""What this node has proposed, and who waits for what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from daemon.cluster.clock import boot_ns
from daemon.cluster.core.core import Core
from daemon.cluster.records import Request
from daemon.executor import Executor
from daemon.measures import Histogram
from daemon.state.commands import StateCommand
from daemon.state.outcome import Outcome


@dataclass(slots=True)
class _Proposal:
    command: StateCommand
    done: Callable[[int, Outcome], None] | None
    proposed_ns: int


class Outstanding:
    """Proposals by ticket, until they were applied here or given up."""

    def __init__(self, core: Core, executor: Executor, commits: Histogram) -> None:
        self._core = core
        self._executor = executor
        self._commits = commits
        self._proposals: dict[int, _Proposal] = {}

    def __contains__(self, ticket: object) -> bool:
        return ticket in self._proposals

    def propose(self, command: StateCommand, done: Callable[[int, Outcome], None] | None) -> int:
        """Ask the core for an entry; returns its ticket.  Raises TooMuchProposedError."""
        now_ns = boot_ns()
        ticket = self._core.propose(msgspec.msgpack.encode(command), now_ns)
        self._proposals[ticket] = _Proposal(command, done, now_ns)
        return ticket

    def give_up(self, ticket: int) -> bool:
        """Stop repeating it; False where nobody waits for it any more."""
        proposal = self._proposals.pop(ticket, None)
        if proposal is None:
            return False
        self._core.abandon(ticket)
        self._executor.proposal_ended(proposal.command)
        return True

    def applied(self, index: int, request: Request, outcome: Outcome) -> None:
        """A request of anybody's was applied; where it is of this process, whoever waits for it is told."""
        if (request.origin, request.incarnation) != (self._executor.node, self._executor.incarnation):
            return
        proposal = self._proposals.pop(request.ticket, None)
        if proposal is not None:
            self._commits.note(boot_ns() - proposal.proposed_ns)
            self._executor.proposal_ended(proposal.command)
            if proposal.done is not None:
                proposal.done(index, outcome)

    def outcome_is_unknown(self, ticket: int) -> None:
        """It is in the log, and what became of it is in the state; whoever waits for its outcome is told so in time."""
        proposal = self._proposals.get(ticket)
        if proposal is not None:
            self._executor.proposal_ended(proposal.command)
            if proposal.done is None:
                del self._proposals[ticket]
