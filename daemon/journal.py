"""What happens on this node, told once: to the log (journald) for people, to the event stream for programs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from agents.journald import about, named
from daemon.cluster.core.effects import (
    Admitted,
    BecameLeader,
    DeclaredLost,
    DiskRefused,
    FencingWasWrong,
    FollowsLeader,
    HeldDown,
    LostLeadership,
    PeerDisagrees,
    PeerFenced,
    PeerHeard,
    PeerSilent,
    Refused,
    SnapshotComes,
    SnapshotRestored,
    SnapshotTaken,
    StoreLost,
    TimersChanged,
    TwoHistories,
    WaitsForFounders,
    WasDismissed,
    WasLate,
)
from daemon.cluster.core.effects import Event as CoreEvent
from daemon.cluster.records import LogEntry
from daemon.control.chronicle import Chronicle
from daemon.control.events import EventHub
from daemon.control.narrate import held_down, resources_of, sentence
from daemon.control.schema import Event
from daemon.executor.quorumless import Notice
from daemon.state.outcome import Outcome
from datapath.engine import Change
from datapath.host.events import AddressRemoved, HostEvent

log = logging.getLogger("vipcast")

NS_PER_MS = 1_000_000
DISK_TOLD_EVERY_S = 60.0
LATE_WORTH_TELLING_NS = 50 * NS_PER_MS
_TERMS = (("leadership_lease_ms", 1), ("lease_ms", 1), ("drift", 1000), ("margin_ms", 1))


class Journal:
    """Turns what the parts report into sentences; `applied_index` tells where the state stands."""

    def __init__(self, hub: EventHub, applied_index: Callable[[], int]) -> None:
        self.chronicle = Chronicle()
        self._hub = hub
        self._applied_index = applied_index
        self._disk_told_again_at = 0.0

    def event(self, event: CoreEvent) -> None:
        """Something that the cluster core has noticed."""
        match event:
            case BecameLeader(term=term):
                self._tell("leader", f"this node leads the cluster in term {term}", term=term)
            case FollowsLeader(leader=leader, term=term):
                self._tell("leader", f"{leader} leads the cluster in term {term}", leader=leader, term=term)
            case LostLeadership(term=term, reason=reason):
                self._tell("leader", f"this node leads no longer (term {term}): {reason}", term=term)
            case PeerHeard(peer=peer, incarnation=incarnation):
                self._tell("membership", f"{peer} is heard (incarnation {incarnation})", peer=peer)
            case PeerSilent(peer=peer, silent_ns=silent_ns):
                self._tell("membership", f"{peer} is silent for {silent_ns // NS_PER_MS} ms", peer=peer)
            case Admitted() | DeclaredLost():
                self._standing(event)
            case PeerDisagrees() | TimersChanged() | StoreLost() | WaitsForFounders() | HeldDown() | WasDismissed():
                self._who_takes_part(event)
            case PeerFenced() | FencingWasWrong() | TwoHistories():
                self._fencing(event)
            case SnapshotTaken() | SnapshotComes() | SnapshotRestored() | DiskRefused():
                self._memory(event)
            case WasLate(late_ns=late_ns):
                if late_ns >= LATE_WORTH_TELLING_NS:
                    log.warning("this process was not scheduled for %d ms", late_ns // NS_PER_MS)
            case Refused():
                _refused(event)

    def _standing(self, event: Admitted | DeclaredLost) -> None:
        what = "this node is admitted" if isinstance(event, Admitted) else "the cluster has declared this node lost"
        self._tell("membership", f"{what} (entry {event.epoch})", epoch=event.epoch)

    def without_quorum(self, notice: Notice) -> None:
        """What this node does, or does not do, for want of a quorum."""
        log.log(logging.CRITICAL if notice.is_alarm else logging.WARNING, "%s", notice.text)
        self._hub.publish(Event("quorum", self._applied_index(), {"text": notice.text, "alarm": notice.is_alarm}))

    def _fencing(self, event: PeerFenced | FencingWasWrong | TwoHistories) -> None:
        if isinstance(event, PeerFenced):
            text = f"{event.peer} is without power, says {event.by}: its vote counts as this node's own"
            self._tell("membership", text, peer=event.peer, by=event.by)
            return
        if isinstance(event, TwoHistories):
            log.critical(
                "TWO HISTORIES: entry %d of %s is another one than this node has committed; a host was confirmed to be"
                " without power that was not.  Pick the one whose changes are to go, stop its daemon, and say there:"
                " vipcast node reset",
                event.index,
                event.leader,
            )
            return
        text = (
            f"{event.peer} IS HEARD AND NEVER WAS WITHOUT POWER, although {event.by} said so: its vote counts no more,"
            " and this node serves nothing until the two agree.  What was changed here meanwhile may be lost;"
            " look for resources that run on both hosts"
        )
        self.without_quorum(Notice(text, True))

    def _who_takes_part(
        self, event: PeerDisagrees | TimersChanged | StoreLost | WaitsForFounders | HeldDown | WasDismissed
    ) -> None:
        if isinstance(event, PeerDisagrees):
            log.error(
                "%s is not counted on, and nothing of it is believed: its timers are others (%s; here %s).  Make"
                " [timers] in vipcast.toml the same on all hosts, with all daemons stopped",
                *(event.peer, _terms(event.theirs), _terms(event.ours)),
            )
        elif isinstance(event, TimersChanged):
            log.warning(
                "[timers] are others than those of the process before: for %d ms, while a promise or a lease by the"
                " old ones may run, this node votes for nobody and does not lead",
                event.waits_ns // NS_PER_MS,
            )
        elif isinstance(event, HeldDown):
            text = f"{event.node} is {held_down(event.for_ms, event.times, event.within_ms)}"
            self._tell("membership", text, node=event.node)
        elif isinstance(event, StoreLost):
            text = (
                f"{event.node} has another store than the one that votes under its name: it learns, and votes again"
                " once it has caught up"
            )
            self._tell("membership", text, node=event.node)
        elif isinstance(event, WasDismissed):
            log.critical(
                "%s says that this node was removed from the cluster: it ends.  To come back: vipcast node reset, then"
                " vipcast cluster join",
                event.by,
            )
        else:
            text = (
                "this node's store is empty: a new cluster is founded once all its nodes hear each other;"
                f" not heard yet: {', '.join(event.nodes)}"
            )
            self._tell("membership", text, nodes=list(event.nodes))

    def _memory(self, event: SnapshotTaken | SnapshotComes | SnapshotRestored | DiskRefused) -> None:
        """What this node has on its disk, or is about to have."""
        match event:
            case DiskRefused(reason=reason, retry_ns=retry_ns):
                self._disk_refused(reason, retry_ns)
            case SnapshotTaken(index=index, size_bytes=size):
                log.debug("a snapshot of entry %d is taken: %d bytes", index, size)
            case SnapshotComes(sender=sender, index=index, size_bytes=size, held_bytes=held):
                text = f"{sender} sends a snapshot of entry {index}, {_megabytes(size)}: this node lacks entries"
                text += f" that are gone; {_megabytes(held)} of it are here already" if held else " that are gone"
                self._tell("membership", text, index=index)
            case SnapshotRestored(sender=sender, index=index):
                self._tell("membership", f"the snapshot of entry {index} from {sender} is here", index=index)

    def _disk_refused(self, reason: str, retry_ns: int) -> None:
        """Once a minute: it is tried again twice a second."""
        now = time.monotonic()
        if now >= self._disk_told_again_at:
            self._disk_told_again_at = now + DISK_TOLD_EVERY_S
            log.error("the log cannot be written: %s; tried again every %d ms", reason, retry_ns // NS_PER_MS)

    def applied(self, entry: LogEntry, outcome: Outcome, epoch: int) -> None:
        """An entry of the replicated log has been applied here; `epoch` is the configuration's after it."""
        line = self.chronicle.add(entry, outcome, epoch)
        resources = {*resources_of(entry), *(address for address, _ in outcome.slots_changed)}
        fields = about(index=entry.index, kind=line.kind, node=line.node, resource=named(*resources))
        log.info("%d: %s", entry.index, sentence(line), extra=fields)
        self._hub.publish(Event("state", entry.index, {"kind": line.kind, "text": line.text}))

    def changed(self, change: Change) -> None:
        """The kernel was told something."""
        slots = f" slots {','.join(map(str, change.slots))}" if change.slots else ""
        fields = about(resource=named(change.address), slots=",".join(map(str, change.slots)))
        log.info("%s: %s%s %s", change.address, change.what, slots, change.detail, extra=fields)

    def disturbed(self, events: Sequence[HostEvent], mended: Sequence[Change]) -> None:
        """This host's links or addresses were changed; what had to be mended after it is told by `repaired`."""
        for event in events:
            if isinstance(event, AddressRemoved) and not mended:
                log.debug("%s: by ourselves, or it was not needed any more", event)
            else:
                self._tell("datapath", str(event))

    def repaired(self, change: Change) -> None:
        """Somebody had changed what is ours in the kernel, and it was mended; or an interface came that lacked it."""
        fields = about(resource=named(change.address))
        if change.what == "repaired":
            text = "mended what others had changed: %s: %s %s"
            log.warning(text, change.address, change.what, change.detail, extra=fields)
        else:
            log.info("an interface has come: %s: %s %s", change.address, change.what, change.detail, extra=fields)
        self._hub.publish(
            Event("datapath", self._applied_index(), {"address": change.address, "what": change.what})
        )

    def claimed(self, text: str) -> None:
        """Somebody else claims an address of this host."""
        log.error("%s", text)
        self._hub.publish(Event("datapath", self._applied_index(), {"text": text, "alarm": True}))

    def _tell(self, kind: str, text: str, **data: object) -> None:
        log.info("%s", text)
        self._hub.publish(Event(kind, self._applied_index(), {"text": text, **data}))


def _refused(event: Refused) -> None:
    """Admissions and snapshots are refused once each, and a person has to mend the reason."""
    level = logging.WARNING if event.what in ("admission", "snapshot") else logging.DEBUG
    log.log(level, "%s from %s is not taken: %s", event.what, event.sender, event.reason)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _terms(terms: tuple[int, ...]) -> str:
    """`Timers.terms` in the words of vipcast.toml."""
    if len(terms) != len(_TERMS):
        return "of another version"
    return ", ".join(f"{name} {value / scale:g}" for (name, scale), value in zip(_TERMS, terms, strict=True))
