"""The manual pages, made from what the programs themselves go by: `python -m daemon.manpages DIRECTORY`.

vipcast(8) from the table of commands, vipcastd(8) and vipcast-runner(8) from their options, vipcast.toml(5) from the
settings' own types.  The language is man(7)'s.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from daemon import linksettings, settings
from daemon.cli.commands import grammar
from daemon.cli.grammar import Command, Option
from daemon.cluster.timers import PROFILES
from daemon.fieldtexts import field_texts

_FILES = (
    ("/etc/vipcast/vipcast.toml", "settings of this host, see vipcast.toml(5)"),
    ("/etc/vipcast/authkey", "the cluster's key; nobody else may read it"),
    ("/run/vipcast/control.sock", "the control socket, for root and the groups vipcast and vipcast-ro"),
    ("/var/lib/vipcast", "log and snapshots"),
)
_TABLES: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("[cluster]", settings.Cluster, ""),
    ("[node]", settings.Node, ""),
    ("[[link]]", linksettings.Link, "One or more networks for heartbeats."),
    ("[timers]", settings.TimerTable, "The same on all nodes; change them with all daemons stopped."),
    ("[datapath]", settings.Datapath, ""),
    ("[paths]", settings.Paths, ""),
    ("[realtime]", settings.Realtime, ""),
)
_EXAMPLE = """\
[cluster]
name = "demo"

[[link]]
interface = "eth0"
group = "239.255.42.1"
"""


def pages(released: str) -> dict[str, str]:
    """Name of the file → the page; `released` is the date in the footer, YYYY-MM-DD."""
    made = {
        "vipcast.8": _vipcast(),
        "vipcastd.8": _vipcastd(),
        "vipcast-runner.8": _runner(),
        "vipcast.toml.5": _settings(),
    }
    return {name: _page(name, lines, released) for name, lines in made.items()}


def _page(name: str, lines: Iterable[str], released: str) -> str:
    title, _, section = name.rpartition(".")
    head = f'.TH "{title.upper()}" "{section}" "{released}" "vipcast {version("vipcast")}" "vipcast"'
    return "\n".join((head, *lines)) + "\n"


def _vipcast() -> Iterator[str]:
    table = grammar()
    yield from _name("vipcast", "look at a vipcast cluster and change it, in the grammar of pcs")
    yield ".SH SYNOPSIS"
    yield ".B vipcast\n[\\-f \\fIFILE\\fR] [\\fIoptions\\fR] \\fIcommand\\fR ..."
    yield ".SH DESCRIPTION"
    yield _text(
        "One virtual IP address served by many hosts at the same time. The command asks the daemon of this host,"
        " vipcastd(8), over its control socket; options may stand anywhere."
    )
    yield ".SH OPTIONS"
    yield from _options(table.options)
    yield ".SH COMMANDS"
    seconds: dict[tuple[str, ...], list[str]] = {}
    for command in table.commands:
        if command.like:
            seconds.setdefault(command.like, []).append(command.name)
    for command in table.commands:
        if not command.like:
            yield from _command(command, seconds.get(command.words, []))
    yield ".SH EXIT STATUS"
    yield from _definitions(
        (
            ("0", "done"),
            ("1", "it could not be done; standard error says why, and nothing has changed"),
            ("2", "the command line is wrong"),
            ("3", "of status: the cluster answers, and something is wrong that somebody has to know at once"),
            ("130", "interrupted"),
        )
    )
    yield ".SH ENVIRONMENT"
    yield from _definitions(
        (
            ("VIPCAST_SOCKET", "the control socket, where --socket is not given"),
            ("VIPCAST_DEBUG", "like --debug"),
            ("NO_COLOR", "no colours on a terminal"),
        )
    )
    yield from _files()
    yield from _see("vipcastd(8)", "vipcast.toml(5)", "pcs(8)")


def _command(command: Command, second_names: list[str]) -> Iterator[str]:
    yield f".SS {_text(command.synopsis)}"
    yield _text(f"{command.summary}.")
    if command.options:
        yield from _options(command.options)
    if second_names:
        yield ".PP"
        yield _text(f"Also: {', '.join(second_names)}.")


def _vipcastd() -> Iterator[str]:
    from daemon.main import options_parser  # noqa: PLC0415 - the daemon with all of it

    yield from _name("vipcastd", "serve shared IP addresses on this host")
    yield from _program(options_parser())
    yield ".SH DESCRIPTION"
    yield _text(
        "The daemon of a vipcast node: membership over UDP multicast, the replicated configuration, the scheduler, and"
        " the leases under which the kernel accepts packets of shared addresses. It is started by systemd as"
        " vipcastd.service, beside vipcast-runner.service, which runs the resource agents."
    )
    yield ".SH SIGNALS"
    yield from _definitions(
        (
            ("SIGTERM", "give slots and resources away, then end"),
            ("SIGUSR1", "end at once and leave the kernel serving under a restart lease: the daemon comes back"),
        )
    )
    yield ".SH EXIT STATUS"
    yield from _definitions(
        (
            ("0", "after a signal"),
            ("1", "a fault"),
            ("78", "settings that only a person can mend, or the cluster has gone on without this node"),
            ("79", "no-quorum-policy=suicide"),
        )
    )
    yield from _files()
    yield from _see("vipcast(8)", "vipcast.toml(5)", "vipcast-runner(8)")


def _runner() -> Iterator[str]:
    from agents.runner import options_parser  # noqa: PLC0415

    yield from _name("vipcast-runner", "run resource agents for vipcastd")
    yield from _program(options_parser())
    yield ".SH DESCRIPTION"
    yield _text(
        "Runs OCF, systemd and fence agents, one process each, so that the daemon that keeps the leases never forks."
        " It is started by systemd as vipcast-runner.service and outlives a restart of vipcastd(8)."
    )
    yield from _see("vipcastd(8)")


def _settings() -> Iterator[str]:
    yield from _name("vipcast.toml", "settings of one vipcast host")
    yield ".SH DESCRIPTION"
    yield _text(
        "What differs between hosts, or is needed to find the others, as TOML; everything else is in the replicated"
        " configuration, see vipcast(8). 'vipcast cluster init' and 'vipcast cluster join' write the file;"
        " 'vipcastd --check' says what is wrong with it, with line and remedy."
    )
    for title, table, words in _TABLES:
        yield f".SS {_text(title)}"
        if words:
            yield _text(words)
        yield from _definitions(_keys(table))
    yield ".SH PROFILES"
    for name, timers in PROFILES.items():
        told = ", ".join(f"{key} {getattr(timers, key)}" for key in ("heartbeat_ms", "lease_ms"))
        yield from _definitions(((name, told),))
    yield ".SH EXAMPLE"
    assert tomllib.loads(_EXAMPLE)
    yield f".nf\n{_text(_EXAMPLE).rstrip()}\n.fi"
    yield from _see("vipcastd(8)", "vipcast(8)")


def _keys(table: type[BaseModel]) -> Iterator[tuple[str, str]]:
    told = field_texts(table)
    for key, field in table.model_fields.items():
        default = "needed" if field.default is PydanticUndefined else f"default: {_toml(field.default)}"
        yield key, f"{told.get(key, '')} ({default})".lstrip()


def _toml(value: object) -> str:
    """As somebody would write it in the file."""
    if value is None:
        return "as the profile has it"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str | Path):
        return f'"{value}"'
    return str(value)


# ---- the language


def _name(title: str, what: str) -> Iterator[str]:
    yield ".SH NAME"
    yield f"{_text(title)} \\- {_text(what)}"


def _program(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield ".SH SYNOPSIS"
    yield f".B {_text(parser.prog)}\n[\\fIoptions\\fR]"
    yield ".SH OPTIONS"
    for action in parser._actions:
        names = ", ".join(action.option_strings)
        metavar = action.metavar or (
            action.dest.upper() if action.nargs is None and action.type is not None else ""
        )
        yield from _definitions(((f"{names} {metavar}".strip(), action.help or ""),))


def _options(options: Iterable[Option]) -> Iterator[str]:
    yield from _definitions((option.spelling, option.summary) for option in options)


def _files() -> Iterator[str]:
    yield ".SH FILES"
    yield from _definitions(_FILES)


def _see(*others: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    for page in others:
        name, _, section = page.partition("(")
        yield f".BR {_text(name)} ({section}" + ("," if page is not others[-1] else "")
    yield ".PP"
    yield _text("The guide is in /usr/share/doc/vipcast/guide.")


def _definitions(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in pairs:
        yield ".TP"
        yield f"\\fB{_text(term)}\\fR"
        yield _text(text) or "\\&"


def _text(words: str) -> str:
    """Plain text: a backslash, a minus that is typed, and a point or quote that would begin a request."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-")
    escaped = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in escaped)
    return "\n".join(f"\\&{line}" if line[:1] in {".", "'"} else line for line in escaped.splitlines())


def main() -> int:
    directory, released = Path(sys.argv[1]), sys.argv[2]
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in pages(released).items():
        (directory / name).write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
