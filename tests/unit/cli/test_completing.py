"""What may follow on a command line: candidates by the table, and the shells' own scripts with a living daemon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from daemon.cli.commands import grammar
from daemon.cli.completing import FILES, candidates
from tests.unit.control.living import Living, living
from tests.unit.executor.cluster import shared
from tests.unit.metrics.test_exposition import backend_with

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "daemon" / "cli" / "completion"


def names(kind: str) -> Iterable[str]:
    return {"node": ["a1", "a2"], "resource": ["web", "VIP"], "address": ["VIP"], "constraint": ["loc-1"]}[kind]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("who", {"who"}),
        ("resource cl", {"clone", "clear", "cleanup"}),
        ("resource group ", {"add", "remove", "list", "delete", "show"}),
        ("resource enable ", {"VIP", "web"}),
        ("resource enable web ", {"VIP", "web"}),
        ("resource disable w", {"web"}),
        ("resource ban web ", {"a1", "a2"}),
        ("node standby ", {"a1", "a2"}),
        ("status slots ", {"VIP"}),
        ("constraint remove ", {"loc-1"}),
        ("constraint location web ", {"prefers", "avoids"}),
        ("constraint location web prefers a", {"a1", "a2"}),
        ("constraint order web ", {"then"}),
        ("constraint order web then ", {"VIP", "web"}),
        ("simulate --node-fail ", {"a1", "a2"}),
        ("simulate --node-f", {"--node-fail"}),
        ("-f ", {FILES}),
        ("--socket s status res", {"resources"}),
        ("cluster cib ", {FILES}),
        ("cluster verify ", set()),
        ("nonsense ", set()),
    ],
)
def test_what_may_follow(typed: str, found: set[str]) -> None:
    assert found <= set(candidates(grammar(), typed.split(" "), names))
    if not typed.startswith(("constraint order", "constraint location")):  # optional words may stand there as well
        assert set(candidates(grammar(), typed.split(" "), names)) == found


def test_every_candidate_begins_with_what_is_typed() -> None:
    for command in grammar().commands:
        for typed in ("", "-", "a", "VI"):
            for candidate in candidates(grammar(), [*command.words, typed], names):
                assert candidate.startswith(typed) or candidate == FILES


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Living, dict[str, str]]]:
    """A daemon, and an environment in which the shells find `vipcast` and it."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "vipcast").symlink_to(ROOT / ".venv" / "bin" / "vipcast")
    with living(backend_with(shared(slots=4))) as running:
        path = f"{programs}:{os.environ['PATH']}"
        home = str(tmp_path_factory.mktemp("home"))
        yield running, {"PATH": path, "VIPCAST_SOCKET": str(running.path), "HOME": home, "TERM": "dumb"}


def shell(environment: dict[str, str], *command: str) -> str:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_bash_completes_names_of_the_living_cluster(alive: tuple[Living, dict[str, str]]) -> None:
    script = f"""
        source /usr/share/bash-completion/bash_completion
        source {SCRIPTS}/vipcast.bash
        COMP_LINE='vipcast node standby ' COMP_POINT=21 COMP_WORDS=(vipcast node standby '') COMP_CWORD=3
        _vipcast && printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert shell(alive[1], "bash", "-c", script).split() == ["a1", "a2", "a3", "a4"]


def test_fish_completes_names_of_the_living_cluster(alive: tuple[Living, dict[str, str]]) -> None:
    script = f"source {SCRIPTS}/vipcast.fish; complete -C 'vipcast resource enable VIP-'"
    assert shell(alive[1], "fish", "--no-config", "-c", script).split() == ["VIP-clone"]


def test_zsh_completes_names_of_the_living_cluster(alive: tuple[Living, dict[str, str]]) -> None:
    """The script as the completion system would call it, with `compadd` telling what it is given."""
    script = f"""
        compadd() {{ [[ $1 == -- ]] && shift; print -l -- "$@" }}
        words=(vipcast status slots V) CURRENT=4
        source {SCRIPTS}/_vipcast
    """
    assert shell(alive[1], "zsh", "-f", "-c", script).split() == ["VIP"]


def test_without_a_daemon_there_are_still_the_words_and_no_noise(alive: tuple[Living, dict[str, str]]) -> None:
    environment = {**alive[1], "VIPCAST_SOCKET": "/nonexistent"}
    ended = subprocess.run(
        [str(ROOT / ".venv" / "bin" / "vipcast"), "__complete", "node", "standby", ""],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("", "")
