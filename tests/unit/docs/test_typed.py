"""No command of README and guide slips by: each is run by a test, or says above it why not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT, blocks
from tests.unit.docs.typed import OTHERS, SHELL, typed, typed_pages

_PROGRAM = re.compile(r"^ {4}(vipcast|systemctl|journalctl|apt|ip|nft|make|tcpdump)\b", re.MULTILINE)


@pytest.mark.parametrize("page", typed_pages(), ids=lambda page: page.name)
def test_every_block_is_typed_in_a_test_or_says_why_not(page: Path) -> None:
    for found in typed(page):
        assert not (found.tested_by and found.reason), found.block.text
        assert found.is_run or len(found.reason or found.tested_by) > 10, found.block.text


@pytest.mark.parametrize("page", typed_pages(), ids=lambda page: page.name)
def test_every_fenced_block_is_of_a_known_kind_and_nothing_is_typed_outside_of_one(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {*SHELL, *OTHERS}
    assert _PROGRAM.findall("".join(re.split(r"^ *```.*?^ *```$", page.read_text(), flags=re.M | re.S))) == []


def test_the_tests_that_are_named_have_the_commands() -> None:
    absent = []
    for page in typed_pages():
        for found in typed(page):
            if not found.tested_by:
                continue
            text = (ROOT / found.tested_by).read_text()
            absent += [(found.tested_by, line) for line in found.commands if _words(line) not in text]
    assert absent == []


def _words(line: str) -> str:
    """`vipcast cluster recover --yes` is looked for as `cluster recover`: program, options and values may differ."""
    words = [word for word in shlex.split(line, comments=True) if not word.startswith("-")]
    return " ".join(words[1:3]) if words[0] == "vipcast" else " ".join(words[:2]).removeprefix("systemctl ")


def test_most_of_what_is_typed_is_run() -> None:
    every = [found for page in typed_pages() for found in typed(page)]
    assert sum(found.is_run for found in every) > len(every) / 2
