"""How a row of the table of commands is written."""

from __future__ import annotations

from daemon.cli.grammar import Command, Option


def row(
    words: str,
    usage: str,
    summary: str,
    handler: str,
    count: tuple[int, int] = (0, 0),
    options: tuple[Option, ...] = (),
) -> Command:
    """`count`: arguments at least and at most; `handler`: `module:function` of daemon.cli."""
    return Command(tuple(words.split()), usage, summary, f"daemon.cli.{handler}", *count, options)
