"""What may follow on a command line, for the shells: the table of commands, and what the living cluster has.

The shell's script calls `vipcast __complete WORD...` with the words after `vipcast` up to the cursor, the last one as
far as it is typed; the answer has a candidate a line.  A line `:files` asks the shell for names of files.  Nothing is
ever said about errors: a cursor is no place for them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from daemon.cli.commands import grammar
from daemon.cli.grammar import Command, Grammar, Option

COMMAND = "__complete"
FILES = ":files"
PATIENCE_S = 1.0

Names = Callable[[str], Iterable[str]]
"""kind (`node`, `resource`, `address`, `constraint`) → what the cluster has of it"""

_PLACE = re.compile(r"<(?P<name>[^>]+)>|\b(?P<choice>[a-z]+(?:\|[a-z]+)+)\b|(?<=\s)(?P<word>with|then)(?=\s)")
_OPTIONAL = re.compile(r"\[[^\[\]]*\](?:\.\.\.)?")
_KINDS: Mapping[str, str] = {
    "node": "node",
    "resource": "resource",
    "with resource": "resource",
    "group": "resource",
    "address": "address",
    "file": "file",
}
_VALUES: Mapping[str, str] = {"NODE": "node", "FILE": "file", "RESOURCE": "resource", "GROUP": "resource"}
"""values of options, by what the usage calls them"""


def main(words: Sequence[str]) -> int:
    """`vipcast __complete WORD...`"""
    try:
        for candidate in candidates(grammar(), words, _of_the_cluster):
            sys.stdout.write(f"{candidate}\n")
    except (OSError, ValueError):
        return 1
    return 0


def candidates(table: Grammar, words: Sequence[str], names: Names) -> list[str]:
    """What the last word may become, sorted; it is "" where a new one begins."""
    *before, typed = words or ("",)
    everywhere = [*table.options, *(option for row in table.commands for option in row.options)]
    known = {name: option for option in reversed(everywhere) for name in (option.name, option.short) if name}
    positional, waiting = _read(before, known)
    command = _command(table, positional)
    if waiting is not None:
        found: Iterable[str] = _values(waiting.argument, names)
    elif typed.startswith("-"):
        own = (*command.options, *table.options) if command is not None else table.options
        found = (option.name for option in own)
    else:
        found = _words(table, command, positional, names)
    return sorted({candidate for candidate in found if candidate.startswith(typed) or candidate == FILES})


def _read(before: Iterable[str], known: Mapping[str, Option]) -> tuple[tuple[str, ...], Option | None]:
    """The words that are no options, and the option whose value is to come."""
    positional: list[str] = []
    waiting: Option | None = None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and word != "-":
            option = known.get(word)
            if option is not None and option.argument and not option.argument.startswith("["):
                waiting = option
        else:
            positional.append(word)
    return tuple(positional), waiting


def _command(table: Grammar, words: tuple[str, ...]) -> Command | None:
    by_words = {command.words: command for command in table.commands}
    return next((by_words[words[:n]] for n in range(len(words), 0, -1) if words[:n] in by_words), None)


def _words(table: Grammar, command: Command | None, positional: tuple[str, ...], names: Names) -> Iterator[str]:
    """Words of commands that go on, and arguments of the one that is whole."""
    depth = len(positional)
    for row in table.commands:
        if row.words[:depth] == positional and len(row.words) > depth:
            yield row.words[depth]
    if command is not None and depth - len(command.words) < command.takes:
        yield from _argument(command, depth - len(command.words), names)


def _argument(command: Command, place: int, names: Names) -> Iterator[str]:
    """What the usage has at this place, with and without its optional parts."""
    usage = command.usage.split(" | ")[0]
    for text in {usage, _without_options(usage)}:
        found = list(_PLACE.finditer(f" {text} "))
        if place < len(found) or (found and text.rstrip("]").endswith("...")):
            yield from _at(found[min(place, len(found) - 1)], command, names)


def _without_options(usage: str) -> str:
    while (shorter := _OPTIONAL.sub("", usage)) != usage:
        usage = shorter
    return usage


def _at(place: re.Match[str], command: Command, names: Names) -> Iterator[str]:
    if place["choice"]:
        yield from place["choice"].split("|")
    elif place["word"]:
        yield place["word"]
    else:
        kind = _id_of(command) if place["name"] == "id" else _KINDS.get(place["name"], "")
        yield from _of_kind(kind, names)


def _id_of(command: Command) -> str:
    return {"constraint": "constraint", "resource": "resource", "stonith": "resource"}.get(command.words[0], "")


def _values(argument: str, names: Names) -> Iterator[str]:
    """Of an option, by what its usage calls the value."""
    yield from _of_kind(_VALUES.get(argument, ""), names)


def _of_kind(kind: str, names: Names) -> Iterator[str]:
    if kind == "file":
        yield FILES
    elif kind:
        yield from names(kind)


def _of_the_cluster(kind: str) -> Iterable[str]:
    """Asked of this host's daemon, which has a second to answer; nothing where it does not."""
    from daemon.control.client import ControlClient, ControlError  # noqa: PLC0415 - start-up time

    client = ControlClient(timeout_s=PATIENCE_S)
    try:
        if kind == "constraint":
            return _ids_of_constraints(bytes(client.configuration().configuration))
        status = client.status()
    except ControlError:
        return ()
    if kind == "node":
        return [node.name for node in status.nodes]
    if kind == "address":
        return [address.id for address in status.addresses]
    found = list(status.resources)
    for resource in found:
        found += resource.members
    return [resource.id for resource in found]


def _ids_of_constraints(document: bytes) -> list[str]:
    """Read without the model, whose import takes longer than a person at a prompt is patient."""
    import msgspec  # noqa: PLC0415 - start-up time

    read = msgspec.json.decode(document)
    return [constraint["id"] for constraint in read.get("constraints", ()) if "id" in constraint]
