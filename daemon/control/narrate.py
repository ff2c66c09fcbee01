"""Entries of the replicated log as sentences."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from daemon.cluster.records import Admit, LogEntry, Lost, Noop, Request, Restart, Roster
from daemon.control.exitcodes import meaning_of
from daemon.control.schema import LogLine
from daemon.scheduler.drained import Drained
from daemon.state.commands import (
    Cleanup,
    Drain,
    Edit,
    Fenced,
    Leave,
    Refresh,
    RemoveNode,
    Result,
    Return,
    Slots,
    StateCommand,
    Tick,
)
from daemon.state.outcome import Change
from daemon.state.slots import Phase, Slot

_decoder: msgspec.msgpack.Decoder[StateCommand] = msgspec.msgpack.Decoder(StateCommand)


def narrate(entry: LogEntry) -> LogLine:
    """One entry as a person reads it; a request of a newer version that we cannot read is said to be one."""
    kind, node, text = _tell(entry)
    return LogLine(entry.index, entry.term, entry.stamp_ms, kind, node, text)


def resources_of(entry: LogEntry) -> tuple[str, ...]:
    """What an entry names: a resource, an instance of one, an address; empty where it names none, or all."""
    if not isinstance(entry.command, Request):
        return ()
    try:
        command = _decoder.decode(entry.command.body)
    except (ValueError, RecursionError):
        return ()
    parts = (getattr(command, part, None) for part in ("resource", "instance", "address"))
    return tuple(part for part in parts if isinstance(part, str) and part)


def held_down(for_ms: int, times: int, within_ms: int) -> str:
    """Why a node that is heard does not take part yet."""
    seconds, within = max(1, round(for_ms / 1000)), max(1, round(within_ms / 1000))
    return f"held down for {seconds} s: lost {times} times in {within} s"


def _tell(entry: LogEntry) -> tuple[str, str | None, str]:
    match entry.command:
        case Noop():
            return "noop", None, f"a leader took office in term {entry.term}"
        case Admit(node=node, incarnation=incarnation, slack_ms=slack_ms):
            longer = f"; its lease is {slack_ms} ms longer, for it is not scheduled in time" if slack_ms else ""
            return "admit", node, f"{node} takes part (incarnation {incarnation}){longer}"
        case Lost(node=node):
            return "lost", node, f"{node} is lost: what it held is free"
        case Restart(node=node, duration_ms=duration_ms):
            text = f"the daemon of {node} starts again: its slots stay with it for {duration_ms / 1000:g} s at most"
            return "restart", node, text
        case Roster():
            names = ", ".join(member.name for member in entry.command.members)
            return "roster", None, f"{entry.command.why or 'another roster'}; the cluster is {names or 'empty'}"
        case Request(origin=origin, body=body):
            try:
                return _tell_request(_decoder.decode(body), origin)
            except (ValueError, RecursionError):
                return "request", origin, f"a request from {origin} that this version cannot read"


def _tell_request(command: StateCommand, origin: str) -> tuple[str, str | None, str]:
    match command:
        case Edit(author=author, comment=comment):
            return (
                "edit",
                origin,
                f"{author or 'somebody'} on {origin} changed the configuration: {comment or '(no comment)'}",
            )
        case Result():
            return "result", command.node, _tell_result(command)
        case Slots():
            return "slots", command.node, _tell_slots(command)
        case Cleanup(resource=resource, node=node, author=author):
            return "cleanup", node, f"{author or 'somebody'} forgave failures of {_scope(resource, node)}"
        case Refresh(resource=resource, node=node, author=author):
            return "refresh", node, f"{author or 'somebody'} asked to probe {_scope(resource, node)} again"
        case Leave(node=node):
            return "leave", node, f"{node} is about to stop, or silenced: its resources and slots go elsewhere"
        case Return(node=node):
            return "return", node, f"{node} is to be given its share again"
        case Drain(on=on, author=author):
            verb = "drains" if on else "no longer drains"
            what = Drained(command.node, command.address, command.slot).name
            return "drain", command.node, f"{author or 'somebody'} {verb} {what}"
        case RemoveNode(node=node, author=author):
            return "remove-node", node, f"{author or 'somebody'} removes {node} from the cluster"
        case Fenced(node=node, by=by):
            return "fenced", node, f"{node} is without power, says {by}: {origin} counts its vote until it is back"
        case Tick():
            return "tick", None, "time has passed that something waited for"


def _tell_result(result: Result) -> str:
    every = f" (every {result.interval_ms / 1000:g} s)" if result.interval_ms else ""
    ended = meaning_of(result.exit_code) if result.status == "done" else result.status
    why = f": {result.reason}" if result.reason else ""
    if result.operation == "monitor" and not result.interval_ms:
        return f"probe of {result.instance} on {result.node} found: {ended}{why}"
    return f"{result.operation} of {result.instance} on {result.node}{every} ended: {ended}{why}"


def _tell_slots(slots: Slots) -> str:
    numbers = ", ".join(str(number) for number in sorted(slots.generations))
    why = f": {slots.reason}" if slots.reason else ""
    match slots.what:
        case "ready":
            return f"{slots.address} is up on {slots.node}, its slots still closed{why}"
        case "failed":
            return f"{slots.address} failed on {slots.node}{why}"
        case _:
            noun = "slot" if len(slots.generations) == 1 else "slots"
            return f"{slots.node} {slots.what} {noun} {numbers or '(none)'} of {slots.address}{why}{_broken(slots)}"


def _broken(slots: Slots) -> str:
    """Only a drain whose time was up breaks something."""
    if not slots.broken:
        return ""
    flows = sum(slots.broken.values())
    numbers = ", ".join(map(str, sorted(slots.broken)))
    which = f" of {numbers}" if len(slots.generations) > len(slots.broken) else ""
    what = f"{flows} connection{'s' * (flows != 1)}"
    return f": the drain time-out was over, and {what}{which} {'were' if flows != 1 else 'was'} broken"


def _scope(resource: str | None, node: str | None) -> str:
    return f"{resource or 'every resource'} on {node or 'every node'}"


def sentence(line: LogLine) -> str:
    """An entry and what came of it, in one line."""
    text = "; ".join((line.text, *line.slots))
    return text if line.accepted is not False else f"{text} [refused: {line.reason}]"


def tell_slots(changed: Mapping[tuple[str, int], Change]) -> list[str]:
    """Who has which slots from an entry on; what a report of a node says itself is not repeated."""
    told: dict[tuple[str, str], list[int]] = {}
    for (address, number), (before, after) in changed.items():
        form = _slot_form(before, after)
        if form:
            told.setdefault((form, address), []).append(number)
    return [
        form.format(f"slot{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} of {address}")
        for (form, address), numbers in told.items()
    ]


def _slot_form(before: Slot | None, after: Slot | None) -> str:
    if after is None:
        return "nobody has {} any more" if before is not None else ""
    if before is not None and before.generation == after.generation and after.phase is not Phase.SPLIT:
        return ""
    match after.phase:
        case Phase.OPEN:
            kept = before is not None and before.holder == after.holder and before.phase is not Phase.SPLIT
            return f"{after.holder} {'keeps' if kept else 'takes'} {{}}"
        case Phase.DRAINING:
            if after.successor is None:
                return f"{after.holder} begins to give up {{}}"
            return f"{after.holder} begins to hand {{}} over to {after.successor}"
        case Phase.SPLIT:
            return f"{after.successor} takes what is new of {{}}" if after.successor is not None else ""
        case Phase.CLOSING:
            return f"{after.holder} is to close {{}}"
