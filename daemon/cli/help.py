"""Usage texts, made from the table of commands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from daemon.cli.call import OK, Call
from daemon.cli.commands import grammar
from daemon.cli.grammar import Command, Grammar, Option, UsageError

WIDTH = 100


def show(call: Call) -> int:
    """`vipcast help [<command>]...`"""
    table = grammar()
    words = call.arguments
    if words and not any(command.words[: len(words)] == words for command in table.commands):
        raise UsageError(f"there is no command '{' '.join(words)}'", call.command)
    call.out.lines(usage(table, words))
    return OK


def usage(table: Grammar, words: Sequence[str]) -> Iterator[str]:
    """Of one command and those that begin with it; of everything, a line each, for no words."""
    if not words:
        yield from _overview(table)
        return
    second = next((command for command in table.commands if command.words == tuple(words) and command.like), None)
    chosen = (table.resolve(second),) if second else table.under(words)
    for command in chosen:
        yield f"Usage: {command.synopsis}"
        yield from _indented(f"{command.summary}.", 4)
        yield from _options(command.options)
        yield ""
    yield "Options that go with every command: 'vipcast help'."


def _overview(table: Grammar) -> Iterator[str]:
    yield "Usage: vipcast [-f FILE] [options] <command> ..."
    yield "One virtual IP address served by many hosts at the same time; the grammar is that of pcs."
    yield ""
    yield "Commands:"
    for command in table.commands:
        if not command.like:
            yield f"  {command.name:<30} {command.summary}"
    yield ""
    yield "Options:"
    yield from _options(table.options)
    yield ""
    yield "Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong."
    yield "'vipcast help <command>' tells more."


def _options(options: Sequence[Option]) -> Iterator[str]:
    for option in options:
        yield f"    {option.spelling:<22} {option.summary}"


def _indented(text: str, by: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * by, subsequent_indent=" " * by)


def synopsis_of(command: Command) -> str:
    return command.synopsis
