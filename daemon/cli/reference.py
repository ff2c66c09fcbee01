"""docs/reference/cli.md, made from the grammar's own table: `python -m daemon.cli.reference > docs/…`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from daemon.cli.commands import grammar
from daemon.cli.grammar import Command, Option

_HEAD = """\
# The command line

Generated from the tables in `daemon/cli/` by `python -m daemon.cli.reference`; a test compares the two.

`vipcast` takes the grammar of `pcs`, so that `alias pcs=vipcast` runs an old runbook. Options may stand anywhere.

    vipcast [-f FILE] [options] <command> ...
"""

_EXIT = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | it could not be done; standard error says why, and nothing has changed |
| 2 | the command line is wrong; standard error shows what is right |
| 130 | interrupted by Ctrl-C |

With `--json`, an error is one JSON document on standard error: `error` (a sentence), `code` and `findings`.

With `--wait`, code 1 may also mean that the change was made and the cluster was not done in time; the text says so.

## Files

`vipcast cluster cib FILE` writes the configuration as Pacemaker's CIB XML; `vipcast -f FILE …` works on it, and so
do the real `pcs -f FILE`, `crm_verify` and an editor; `vipcast cluster cib-push FILE` makes it the cluster's. The
file remembers the epoch that it was made from: where the configuration has moved on since, the push is refused and
changes nothing, unless `--force` is given, which overwrites what others have changed.

## What if

`vipcast simulate` plans with the daemon's own function: for the cluster as it is now, or with `--cib FILE` for a CIB
file with its status section. It changes nothing. Its options suppose events, one after the other as they are typed;
those that take a node also take several, `a1,a2`. Quorum stays what it was.

| option | supposes |
|---|---|
| `--node-fail a2` | a2 is gone without a word |
| `--node-up a2` | a2 is back, freshly booted: it is probed, then gets what it is due |
| `--op-fail web:monitor:a2:7` | that operation has just ended with exit code 7 (1 when left out), a failure |
| `--set stop-all-resources=true` | a cluster property; an empty value removes it |
| `--set web:target-role=Stopped` | a meta attribute of a resource, group or clone |
| `--set a2:standby=on` | an attribute of a node |

In a CIB with fencing a node that fails is unclean and is fenced first; on a vipcast cluster its lease ends, and its
slots are free. A failed `monitor` is the first recurring one that is configured. A failed `start` of a shared address
means that its host could not take it up. `resource/ID:NAME=VALUE` and `node/ID:NAME=VALUE` tell a resource and a node
of one name apart.

People get the placement before and after, the transition in an order in which it can be carried out, each step with
the steps that it waits for, and why. `--json` prints `placement` and `promoted` (name → nodes); with a what-if also
`supposed`, `current`, `transition`, `reasons` and `findings`. `--dot` prints the transition for Graphviz:
`vipcast simulate --node-fail a2 --dot | dot -Tsvg`.

## Environment

| variable | meaning |
|---|---|
| `VIPCAST_SOCKET` | the control socket, where `--socket` is not given (default `/run/vipcast/control.sock`) |
| `VIPCAST_DEBUG` | like `--debug` |
| `NO_COLOR` | no colours on a terminal |
"""


def reference() -> str:
    """The whole page."""
    return "\n".join(_page()).rstrip("\n") + "\n"


def _page() -> Iterator[str]:
    table = grammar()
    yield _HEAD
    yield "## Options of every command\n"
    yield from _options(table.options)
    yield ""
    second: dict[tuple[str, ...], list[str]] = {}
    for command in table.commands:
        if command.like:
            second.setdefault(command.like, []).append(command.name)
    listed = sorted((c for c in table.commands if not c.like), key=lambda c: _NOUNS.index(c.words[0]))
    for noun, commands in groupby(listed, key=lambda command: command.words[0]):
        yield f"## {noun}\n"
        for command in commands:
            yield from _command(command, second.get(command.words, []))
    yield _EXIT


_NOUNS = tuple(dict.fromkeys(command.words[0] for command in grammar().commands if not command.like))
"""in the order of the table"""


def _command(command: Command, second_names: list[str]) -> Iterator[str]:
    yield f"### vipcast {command.name}\n"
    yield f"    {command.synopsis}\n"
    yield f"{command.summary}.\n"
    if command.options:
        yield from _options(command.options)
        yield ""
    if second_names:
        yield f"Also: {', '.join(f'`{name}`' for name in second_names)}.\n"


def _options(options: tuple[Option, ...]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for option in options:
        yield f"| `{option.spelling}` | {option.summary} |"


if __name__ == "__main__":
    sys.stdout.write(reference())
