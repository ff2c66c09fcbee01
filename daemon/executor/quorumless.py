"""What this node does while it has no quorum, as `no-quorum-policy` says.  Pure; the shell carries out the `Turn`.

A node is *alone* from the moment at which it neither holds a granted lease nor hears voters enough for a quorum.  It
hears a quorum and has no lease: then the others serve, and whatever the policy is, it does what `stop` says.

    policy    slots                    ordinary resources                            afterwards
    stop      the kernel ends them     stopped: plain addresses at once, the rest    they are planned anew
                                       after STOP_AFTER_NS
    freeze    the kernel ends them     go on; nothing starts, nothing is monitored   probed where the node was lost
    ignore    by the overlay           by the overlay                                the overlay is closed first
    suicide   the kernel ends them     stopped, then the daemon ends itself          it starts as a new process

**ignore.**  The overlay begins when the node has been alone for as long as a leader takes to declare a node lost: by
then a host that has died serves nothing any more, and two hosts serve the same only where both live and cannot hear
each other.  `wait-for-all` keeps it shut on a host that has not heard all others since it booted.  While it is on,
this node renews a lease of its own, and nothing that it does enters the log.

It ends as soon as a quorum is heard, in this order: the kernel's deadline is withdrawn; the kernel is told what was
committed; it acknowledges, and only then the core tells its epoch again and takes a grant (`Core.unenforced` has
made it refuse every one since the beginning, LEASES.md, rule 19).  What was started under the overlay and belongs
elsewhere is stopped, the rest is told to the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.cluster.core.presence import Presence
from daemon.cluster.timers import Timers
from daemon.executor.executor import NS_PER_MS, STOP_AFTER_NS, Effects, Executor
from daemon.executor.policy import NoQuorum, QuorumProperties
from daemon.model.configuration import Configuration
from daemon.state.commands import Result
from daemon.state.overlay import Overlay
from daemon.state.state import State

SUICIDE_WITHIN_NS = 30_000 * NS_PER_MS
"""what could not be stopped by then ends with everything else"""
COUNTS_PER_HEARTBEAT = 5
ROUNDS_MAX = 64
"""of reports that change the overlay, which asks for more: it comes to rest after a few"""


@dataclass(frozen=True, slots=True)
class Notice:
    """For people."""

    text: str
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What the shell has to do, in this order."""

    unenforced: bool = False
    """call `Core.unenforced`"""
    deadline_ns: int | None = None
    """give it to the kernel; 0: it accepts nothing from now on; None: as it is"""
    notices: tuple[Notice, ...] = ()
    ends_itself: bool = False
    """close the kernel, end every process of the resources and then the daemon (suicide)"""


class Quorumless:
    """`look`, then `take`, each time that something has happened or time has passed."""

    def __init__(self, executor: Executor, timers: Timers, now_ns: int, heard_all: bool) -> None:
        """`heard_all`: a former process of this boot has heard all nodes at the same time."""
        self.executor = executor
        self.timers = timers
        self.heard_all = heard_all
        self.is_leaving = False
        """the daemon is about to end by intention"""
        self.overlay: Overlay | None = None
        self._alone_since_ns: int | None = now_ns
        self._granted_until_ns = 0
        self._renew_ns = 0
        self._count_ns = now_ns
        """when to count again whether all are heard: while one is away for long, not with every message"""
        self._waits = False
        self._is_ending = False
        self._alarm = ""
        self._read: tuple[Configuration, QuorumProperties] = (Configuration(), QuorumProperties())

    # ---- what others ask

    def state_in_force(self, committed: State) -> State:
        return committed if self.overlay is None else self.overlay.state

    @property
    def is_alone(self) -> bool:
        return self._alone_since_ns is not None

    @property
    def waits_for_all(self) -> bool:
        """It would serve without quorum, had it heard all others since the host booted."""
        return self._waits

    def alarms(self) -> tuple[str, ...]:
        """What people have to know now."""
        return (self._alarm,) if self._alarm and (self.overlay is not None or self._waits) else ()

    def properties(self, configuration: Configuration) -> QuorumProperties:
        if self._read[0] is not configuration:
            self._read = (configuration, QuorumProperties.of(configuration))
        return self._read[1]

    def granted(self, until_ns: int) -> None:
        """The core holds a lease until then.  It takes none while an overlay is on."""
        assert self.overlay is None, "a grant was taken before the overlay was closed"
        self._granted_until_ns = until_ns

    def take(self, committed: State, now_ns: int) -> Effects:
        """What there is to do by the state in force; of an overlay nothing enters the log, no epoch is enforced."""
        if self.overlay is None:
            return self.executor.take(committed, now_ns)
        effects = self.executor.take(self.overlay.state, now_ns)
        for _ in range(ROUNDS_MAX):
            if not effects.proposals:
                break
            for command in effects.proposals:
                # what the overlay does not accept is not told again and again
                if self.overlay.report(command).accepted or isinstance(command, Result):
                    self.executor.proposal_ended(command)
            effects = _both(effects, self.executor.take(self.overlay.state, now_ns))
        effects.enforced_epoch = None
        effects.proposals = []
        return effects

    def deadline_ns(self, now_ns: int) -> int | None:
        """When `look` wants to be called although nothing has changed."""
        if self.overlay is not None:
            return self._renew_ns
        if self._alone_since_ns is None:
            return None
        patient_ns = self._alone_since_ns + self.timers.loss_after_ns
        return patient_ns if patient_ns > now_ns else None

    # ---- what happens

    def look(self, committed: State, presence: Presence, now_ns: int) -> Turn:
        turn = self._look(committed, presence, now_ns)
        for notice in turn.notices:
            self._alarm = notice.text if notice.is_alarm else ""
        return turn

    def _look(self, committed: State, presence: Presence, now_ns: int) -> Turn:
        if not self.heard_all and now_ns >= self._count_ns:
            self._count_ns = now_ns + self.timers.heartbeat_ns // COUNTS_PER_HEARTBEAT
            self.heard_all = not presence.missing
        if presence.quorate or now_ns < self._granted_until_ns:
            self._alone_since_ns = None
        elif self._alone_since_ns is None:
            self._alone_since_ns = now_ns
        policy = self._policy(committed)
        may_serve = policy is NoQuorum.IGNORE and self._has_heard_enough(committed)
        self.executor.goes_on = self.is_alone and (policy is NoQuorum.FREEZE or may_serve)
        if self.overlay is not None:
            if self.is_alone and may_serve:
                return self._serve(presence, now_ns)
            return self._end(committed, now_ns)
        alone_ns = now_ns - (now_ns if self._alone_since_ns is None else self._alone_since_ns)
        if alone_ns < self.timers.loss_after_ns:
            self._waits = False
            return Turn()
        if may_serve and not self.executor.is_busy_with_kernel:
            return self._begin(committed, presence, now_ns)
        if policy is NoQuorum.IGNORE and not may_serve:
            return self._wait(presence)
        return Turn(ends_itself=policy is NoQuorum.SUICIDE and self._has_stopped(committed, now_ns))

    def _policy(self, committed: State) -> NoQuorum:
        """A witness and a silenced host serve nothing, and a daemon that is about to end leaves nothing behind."""
        silent = self.is_leaving or self.executor.slots.silenced
        if silent or self.executor.node in committed.witnesses:
            return NoQuorum.STOP
        return self.properties(committed.configuration).policy

    def _has_heard_enough(self, committed: State) -> bool:
        return self.heard_all or not self.properties(committed.configuration).wait_for_all

    def _begin(self, committed: State, presence: Presence, now_ns: int) -> Turn:
        self.overlay = Overlay(self.executor.node, committed.freeze(), presence.nodes)
        self._is_ending = self._waits = False
        self.executor.begin_overlay()
        return self._renewed(now_ns, True, _serves(presence))

    def _serve(self, presence: Presence, now_ns: int) -> Turn:
        assert self.overlay is not None
        self._is_ending = False
        if not self.executor.is_busy_with_kernel and self.overlay.hear(presence.nodes):
            self.executor.change_overlay()
            return self._renewed(now_ns, False, _serves(presence))
        return self._renewed(now_ns, False) if now_ns >= self._renew_ns else Turn()

    def _renewed(self, now_ns: int, unenforced: bool, *notices: Notice) -> Turn:
        """The own lease, as long as any other and no longer: a daemon that hangs falls silent all the same."""
        until_ns = now_ns + self.timers.lease_ns
        self._renew_ns = now_ns + self.timers.heartbeat_ns
        self.executor.lease(until_ns)
        return Turn(unenforced, until_ns, notices)

    def _end(self, committed: State, now_ns: int) -> Turn:
        """The deadline goes at once; the rest when the kernel has answered what it was told last."""
        assert self.overlay is not None
        withdrawn = Turn() if self._is_ending else Turn(deadline_ns=0)
        self._is_ending = True
        self.executor.lease(now_ns)
        self._renew_ns = now_ns + self.timers.heartbeat_ns
        if self.executor.is_busy_with_kernel:
            return withdrawn
        mine = {i for i, nodes in committed.plan.placement.items() if self.executor.node in nodes}
        elsewhere = [instance for instance in self.overlay.started_here() if instance not in mine]
        self.executor.end_overlay(self.overlay.results, elsewhere, now_ns)
        self.overlay = None
        notice = Notice("serving without quorum has ended: the kernel goes back to what was committed", False)
        return Turn(deadline_ns=0, notices=(notice,))

    def _wait(self, presence: Presence) -> Turn:
        if self._waits:
            return Turn()
        self._waits = True
        names = ", ".join(presence.missing)
        text = (
            "no quorum, and no-quorum-policy=ignore does not apply yet: since this host booted it has not heard all"
            f" nodes (wait-for-all); not heard now: {names}"
        )
        return Turn(notices=(Notice(text, True),))

    def _has_stopped(self, committed: State, now_ns: int) -> bool:
        """Only who had a lease has lost quorum; a node that never took part has nothing to end."""
        since_ns = self._alone_since_ns
        if since_ns is None or self._granted_until_ns == 0 or now_ns - since_ns < STOP_AFTER_NS:
            return False
        return now_ns - since_ns >= SUICIDE_WITHIN_NS or self.executor.has_stopped(committed, now_ns)


def _both(first: Effects, then: Effects) -> Effects:
    return Effects(
        kernel=first.kernel if then.kernel is None else then.kernel,
        count_flows=[*first.count_flows, *then.count_flows],
        end_flows=[*first.end_flows, *then.end_flows],
        operations=[*first.operations, *then.operations],
        proposals=then.proposals,
        draining=first.draining or then.draining,
    )


def _serves(presence: Presence) -> Notice:
    names = ", ".join(present.name for present in presence.nodes)
    text = (
        f"SERVING WITHOUT QUORUM (no-quorum-policy=ignore) with {names}; not heard: {', '.join(presence.missing)}."
        " Hosts that are not heard may serve the same clients; nothing can be changed until they are heard again"
    )
    return Notice(text, True)
