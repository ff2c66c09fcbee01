"""What the pages say can be typed, followed and loaded: links, commands, settings, paths."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import settings
from daemon.cli.commands import grammar
from tests.unit.docs.pages import GUIDE, ROOT, Block, anchors, blocks, code, links, pages

SHELL = ("", "sh", "bash", "console")
"""languages of fenced blocks that show what is typed"""
_PROMPT = re.compile(r"^(\[[^\]]*\])?[#$] +")
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    astray = []
    for target in links(page):
        if _ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            astray.append(target)
    assert astray == []


def typed(block: Block) -> Iterator[str]:
    """Command lines of a block, without prompt; comments of the shell go."""
    if block.language not in SHELL:
        return
    for line in block.text.splitlines():
        command = _PROMPT.sub("", line.strip()).partition(" | ")[0]
        if command.startswith("vipcast "):
            yield command


def in_sentences(page: Path) -> Iterator[str]:
    """Whole commands in backquotes; where an ellipsis stands for words, nothing can be parsed."""
    for text in code(page):
        if text.startswith("vipcast ") and "…" not in text:
            yield text


def commands() -> list[tuple[str, str]]:
    found = [(name(page), line) for page in pages() for block in blocks(page) for line in typed(block)]
    return found + [(name(page), line) for page in sorted(GUIDE.glob("*.md")) for line in in_sentences(page)]


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_is_one_that_vipcast_understands(page: str, line: str) -> None:
    words = shlex.split(re.sub(r"\[(=?[A-Z:]+)\]", r"\1", line), comments=True)[1:]
    known = {command.words for command in grammar().commands}
    assert tuple(words) in known or grammar().parse(words).command is not None, page


def test_the_guide_has_commands_to_check() -> None:
    assert len(commands()) > 80


def settings_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.language == "toml"]


@pytest.mark.parametrize("block", settings_blocks(), ids=lambda block: name(block.page))
def test_every_piece_of_settings_is_accepted(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "vipcast.toml"
    file.write_text(block.text)
    assert settings.load(file).warnings == ()


def test_the_settings_that_installation_shows_are_the_defaults_and_all_of_them(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks(GUIDE / "install.md") if block.language == "toml")
    file = tmp_path / "vipcast.toml"
    file.write_text(re.sub(r"^# (\w+_ms|drift) ", r"\1 ", shown.text, flags=re.MULTILINE))
    full = settings.load(file)
    file.write_text(
        '[cluster]\nname = "web"\nnodes = ["n1"]\n[node]\nname = "n1"\n'
        '[[link]]\ninterface = "eth0"\ngroup = "239.192.110.1"\n'
    )
    least = settings.load(file)
    assert (full.timers, full.datapath, full.paths) == (least.timers, least.datapath, least.paths)
    assert (full.realtime, full.cluster.cipher) == (least.realtime, least.cluster.cipher)
    assert full.links[0] == least.links[0]
    tables = {"cluster", "node", "link", "timers", "datapath", "paths", "realtime"}
    for table in tables:
        assert f"[{table}]" in shown.text, table
    models = (settings.Cluster, settings.Node, settings.Link, settings.TimerTable, settings.Datapath)
    for model in (*models, settings.Paths, settings.Realtime):
        for key in model.model_fields:
            assert re.search(rf"^(# )?{key} = ", shown.text, re.MULTILINE), key


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=name)
def test_the_guide_s_first_page_leads_to_every_page(page: Path) -> None:
    assert page.name == "README.md" or page.name in links(GUIDE / "README.md")


def test_every_path_that_the_architecture_names_exists() -> None:
    page = ROOT / "docs" / "architecture.md"
    parts = ("daemon", "datapath", "agents", "tests", "bench", "systemd", "docs")
    named = {text for text in code(page) if re.fullmatch(rf"({'|'.join(parts)})/[\w./-]*", text)}
    named |= set(re.findall(rf"\b((?:{'|'.join(parts)})/[\w./-]*[\w/])", page.read_text()))
    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
