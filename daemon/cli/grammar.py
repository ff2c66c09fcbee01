"""From words to a command: the mechanism.  The words themselves are the table in `daemon.cli.commands`.

As in pcs, options may stand anywhere; a command is the longest row of words that the table knows, what follows are
its arguments.  A word that begins with a minus sign and is a number or an infinity is a score, not an option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_SCORE = re.compile(r"-(\d+|inf|infinity)$", re.IGNORECASE)
ANY = 1 << 30
"""as many arguments as there are"""


class UsageError(Exception):
    """The command line is wrong; `command` is the one whose usage may help, None where none was recognised."""

    def __init__(self, sentence: str, command: Command | None = None) -> None:
        super().__init__(sentence)
        self.command = command


@dataclass(frozen=True)
class Option:
    """`argument` is "" for a flag, `NAME` for one that needs a value, `[NAME]` for one that may have one."""

    name: str
    argument: str
    summary: str
    short: str = ""
    repeats: bool = False
    """may be given several times; `Invocation.given` has them all, in their order"""

    @property
    def spelling(self) -> str:
        """As the usage shows it: `--wait[=SECONDS]`, `-f FILE`."""
        if not self.argument:
            return f"{self.short}, {self.name}" if self.short else self.name
        if self.argument.startswith("["):
            return f"{self.name}[={self.argument[1:-1]}]"
        return f"{self.short or self.name} {self.argument}"


@dataclass(frozen=True)
class Command:
    """One row of the table."""

    words: tuple[str, ...]
    usage: str
    """what follows the words, in the notation of pcs: <needed>, [optional], ... repeated"""
    summary: str
    handler: str
    """`module:function`, imported when it is called"""
    needs: int = 0
    """arguments at least"""
    takes: int = 0
    """arguments at most"""
    options: tuple[Option, ...] = ()
    """beyond the global ones"""
    like: tuple[str, ...] = ()
    """words of the command that this one is another name for; such rows are not listed"""

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def synopsis(self) -> str:
        options = " ".join(f"[{option.spelling}]{'...' * option.repeats}" for option in self.options)
        return " ".join(part for part in ("vipcast", self.name, self.usage, options) if part)


@dataclass(frozen=True)
class Invocation:
    """A command line, understood.  Options are by their long name; a flag's value is None."""

    command: Command | None
    arguments: tuple[str, ...]
    options: Mapping[str, str | None] = field(default_factory=dict)
    """of one that was repeated, the last"""
    given: tuple[tuple[str, str | None], ...] = ()
    """every option as it was typed"""


class Grammar:
    """The table of commands and the options that go with all of them."""

    def __init__(self, commands: Sequence[Command], options: Sequence[Option]) -> None:
        self.commands = tuple(commands)
        self.options = tuple(options)
        self._by_words = {command.words: command for command in commands}

    def parse(self, argv: Iterable[str]) -> Invocation:
        """Understand a command line.  Raises UsageError."""
        words: list[str] = []
        options: dict[str, str | None] = {}
        given: list[tuple[str, str | None]] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--":
                words += rest
                break
            if not word.startswith("-") or word == "-" or _SCORE.match(word):
                words.append(word)
                continue
            option, value = self._option(word, words, rest)
            options[option.name] = value
            given.append((option.name, value))
        command = self._command(words)
        if command is None:
            if not words:
                return Invocation(None, (), options)
            raise UsageError(self._unknown_word(words))
        self._check_options(command, options)
        arguments = tuple(words[len(command.words) :])
        if not {"--help", "--version"} & options.keys():
            self._check_count(command, arguments)
        return Invocation(command, arguments, options, tuple(given))

    def under(self, words: Sequence[str]) -> tuple[Command, ...]:
        """Commands that begin with these words, without second names, in the order of the table."""
        prefix = tuple(words)
        return tuple(c for c in self.commands if c.words[: len(prefix)] == prefix and not c.like)

    def resolve(self, command: Command) -> Command:
        """The command that a second name stands for."""
        return self._by_words[command.like] if command.like else command

    def _command(self, words: Sequence[str]) -> Command | None:
        for length in range(len(words), 0, -1):
            command = self._by_words.get(tuple(words[:length]))
            if command is not None:
                return command
        return None

    def _option(self, word: str, words: Sequence[str], rest: list[str]) -> tuple[Option, str | None]:
        name, equals, given = word.partition("=")
        option = self._find_option(name, words)
        if not option.argument:
            if equals:
                raise UsageError(f"option {name} takes no value", self._command(words))
            return option, None
        if equals:
            return option, given
        if option.argument.startswith("["):
            return option, None
        if not rest:
            raise UsageError(f"option {name} needs a value: {option.spelling}", self._command(words))
        return option, rest.pop(0)

    def _find_option(self, name: str, words: Sequence[str]) -> Option:
        """The command's own options go before the global ones (`cluster log -f` follows, it names no file)."""
        command = self._command(words)
        own = command.options if command is not None else ()
        everywhere = [option for other in self.commands for option in other.options]
        for option in (*own, *self.options, *everywhere):
            if name == option.name or (option.short and name == option.short):
                return option
        known = {option.name for option in (*own, *self.options)} or {option.name for option in everywhere}
        raise UsageError(f"unknown option {name}{_did_you_mean(name, known)}", command)

    def _check_options(self, command: Command, options: Mapping[str, str | None]) -> None:
        allowed = {option.name for option in (*command.options, *self.options)}
        for name in options:
            if name not in allowed:
                raise UsageError(f"'{command.name}' takes no option {name}{_did_you_mean(name, allowed)}", command)

    def _check_count(self, command: Command, arguments: tuple[str, ...]) -> None:
        if len(arguments) < command.needs:
            raise UsageError(f"'{command.name}' needs more than that", command)
        if len(arguments) > command.takes:
            if len(self.under(command.words)) > 1 and not command.takes:
                raise UsageError(self._unknown_word([*command.words, *arguments]), command)
            extra = arguments[command.takes]
            raise UsageError(f"'{command.name}' does not understand '{extra}'", command)

    def _unknown_word(self, words: Sequence[str]) -> str:
        known: set[str] = {command.words[0] for command in self.commands}
        at = 0
        while words[: at + 1] and any(c.words[: at + 1] == tuple(words[: at + 1]) for c in self.commands):
            at += 1
            known = {c.words[at] for c in self.commands if c.words[:at] == tuple(words[:at]) and len(c.words) > at}
        if at == len(words):
            going_on = ", ".join(sorted(known))
            return f"'{' '.join(words)}' is only the beginning of a command; it goes on with {going_on}"
        return f"unknown command '{' '.join(words[: at + 1])}'{_did_you_mean(words[at], known)}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only for those who mistype

    close = difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
