"""The table of commands: everything in it can be typed, explained and called."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import msgspec
import pytest

from daemon.cli.commands import grammar
from daemon.cli.grammar import Command, UsageError
from daemon.cli.help import usage
from tests.unit.cli.console import vipcast

TABLE = grammar()


def arguments_for(command: Command) -> list[str]:
    return [f"word{number}" for number in range(command.needs)]


@pytest.mark.parametrize("command", TABLE.commands, ids=lambda command: command.name)
def test_the_words_of_every_command_are_parsed_to_it(command: Command) -> None:
    parsed = TABLE.parse([*command.words, *arguments_for(command)])
    assert parsed.command is command
    assert list(parsed.arguments) == arguments_for(command)


@pytest.mark.parametrize("command", TABLE.commands, ids=lambda command: command.name)
def test_every_handler_of_the_table_exists(command: Command) -> None:
    module, _, function = command.handler.partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    "command", [command for command in TABLE.commands if not command.like], ids=lambda command: command.name
)
def test_the_usage_of_every_command_appears_in_its_help_and_in_the_overview(command: Command) -> None:
    own = " ".join("\n".join(usage(TABLE, command.words)).split())
    assert f"Usage: {command.synopsis}" in own
    assert command.summary in own
    assert f"  {command.name} " in "\n".join(usage(TABLE, ()))


@pytest.mark.parametrize("command", [c for c in TABLE.commands if c.needs], ids=lambda command: command.name)
def test_a_command_with_too_few_arguments_shows_its_usage(command: Command) -> None:
    ran = vipcast(*command.words, *arguments_for(command)[:-1])
    assert ran.code == 2
    assert f"Usage: {TABLE.resolve(command).synopsis}" in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("command", TABLE.commands, ids=lambda command: command.name)
def test_help_of_every_command_is_given_wherever_the_option_stands(command: Command) -> None:
    before, behind = vipcast("--help", *command.words), vipcast(*command.words, "-h")
    assert before == behind
    assert before.code == 0
    assert f"Usage: {TABLE.resolve(command).synopsis}" in before.stdout


def test_global_options_may_stand_anywhere() -> None:
    words = ["resource", "clone", "VIP", "clone-max=4"]
    for at in range(len(words) + 1):
        parsed = TABLE.parse([*words[:at], "-f", "cfg", "--wait=30", *words[at:]])
        assert parsed.command is not None
        assert parsed.command.name == "resource clone"
        assert parsed.arguments == ("VIP", "clone-max=4")
        assert parsed.options == {"--file": "cfg", "--wait": "30"}


def test_the_log_follows_with_the_letter_that_elsewhere_names_a_file() -> None:
    assert TABLE.parse(["cluster", "log", "-f"]).options == {"--follow": None}
    assert TABLE.parse(["-f", "x", "constraint"]).options == {"--file": "x"}


@pytest.mark.parametrize("score", ["-INFINITY", "-500", "-inf"])
def test_a_negative_score_is_a_word_and_not_an_option(score: str) -> None:
    parsed = TABLE.parse(["constraint", "colocation", "add", "a", "with", "b", score])
    assert parsed.arguments[-1] == score


def test_what_follows_two_minus_signs_is_never_an_option() -> None:
    parsed = TABLE.parse(["resource", "enable", "--", "--json"])
    assert parsed.arguments == ("--json",)
    assert parsed.options == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["resorce"], "did you mean resource?"),
        (["resource", "crate", "VIP"], "did you mean create?"),
        (["constraint", "colocation", "ad", "a", "with", "b"], "did you mean add?"),
        (["status", "--jsn"], "did you mean --json?"),
        (["resource", "create", "VIP", "ocf:heartbeat:IPaddr2", "--gruop", "g"], "did you mean --group?"),
        (["resource", "group"], "is only the beginning of a command; it goes on with add, delete, list"),
        (["status", "--force=1"], "option --force takes no value"),
        (["status", "--socket"], "option --socket needs a value: --socket PATH"),
        (["status", "--slots", "4"], "'status' takes no option --slots"),
        (["explain", "VIP", "a1", "a2"], "'explain' does not understand 'a2'"),
        (["xyzzy"], "unknown command 'xyzzy'"),
    ],
)
def test_what_is_mistyped_is_named_with_what_was_perhaps_meant(words: list[str], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        TABLE.parse(words)
    assert told in str(raised.value)
    ran = vipcast(*words)
    assert ran.code == 2
    assert told in ran.stderr
    assert ran.stdout == ""


def test_a_mistyped_command_is_told_to_programs_as_json() -> None:
    ran = vipcast("resorce", "--json")
    assert ran.code == 2
    problem = msgspec.json.decode(ran.stderr)
    assert problem["code"] == "usage"
    assert "did you mean resource?" in problem["error"]


def test_no_command_at_all_shows_every_command() -> None:
    ran = vipcast()
    assert ran.code == 2
    for command in TABLE.commands:
        assert command.like or f"  {command.name} " in ran.stdout


def test_an_unknown_word_behind_help_is_an_error() -> None:
    assert vipcast("help", "resorce").code == 2
    assert vipcast("help", "resource", "create").code == 0


def test_the_version_is_the_installed_one() -> None:
    assert vipcast("--version").stdout == f"vipcast {version('vipcast')}\n"


def test_no_two_commands_have_the_same_words() -> None:
    words = [command.words for command in TABLE.commands]
    assert len(set(words)) == len(words)


def test_no_option_of_a_command_hides_another_one_of_the_same_letter() -> None:
    for command in TABLE.commands:
        names = [option.name for option in (*command.options, *TABLE.options)]
        assert len(set(names)) == len(names)
