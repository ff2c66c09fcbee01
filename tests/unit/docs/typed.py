"""What an administrator is told to type: the shell blocks of README and guide, and the marks above them.

A block is run as it stands (`tests.guide`), unless a comment of HTML above its fence says otherwise:

    on n2 n3              run on these hosts, one after the other; else on n1
    before: COMMAND       this is run first, on the same host
    may end with 1: WHY   this exit status is right as well
    tested by FILE        another test types these commands: the file has each of them
    not run: WHY          nobody types it in a test
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.unit.docs.pages import GUIDE, ROOT, Block, blocks

SHELL = ("", "sh", "bash", "console")
"""languages of fenced blocks that show what is typed"""
OTHERS = ("text", "toml", "ini", "yaml", "python")
PROMPT = re.compile(r"^\[\w+@(?P<host>\w+) [^\]]*\][#$] +")
_MARK = re.compile(
    r"on (?P<hosts>n\d( n\d)*)|before: (?P<before>.+)|may end with (?P<status>\d+): .+"
    r"|tested by (?P<file>tests/[\w/]+\.py)|not run: (?P<reason>.+)"
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A shell block, its marks understood."""

    block: Block
    hosts: tuple[str, ...] = ("n1",)
    before: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset({0})
    tested_by: str = ""
    reason: str = ""

    @property
    def is_run(self) -> bool:
        return not (self.tested_by or self.reason)

    @property
    def lines(self) -> list[str]:
        """What is typed; and, in a block with prompts, what is said."""
        return [line for line in self.block.text.splitlines() if line.strip()]

    @property
    def commands(self) -> list[str]:
        """What is typed alone, without prompts."""
        if not any(map(PROMPT.match, self.lines)):
            return self.lines
        return [PROMPT.sub("", line) for line in self.lines if PROMPT.match(line)]


def typed_pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]


def typed(page: Path) -> list[Typed]:
    """The shell blocks of a page, in order; raises ValueError for a mark that means nothing."""
    return [_understood(block) for block in blocks(page) if block.language in SHELL]


def _understood(block: Block) -> Typed:
    hosts, before, statuses, file, reason = ("n1",), [], {0}, "", ""
    for mark in block.marks:
        match = _MARK.fullmatch(mark)
        if match is None:
            raise ValueError(f"{block.page.name}: the mark '{mark}' above\n{block.text}means nothing")
        hosts = tuple(match["hosts"].split()) if match["hosts"] else hosts
        before += [match["before"]] if match["before"] else []
        statuses |= {int(match["status"])} if match["status"] else set()
        file, reason = match["file"] or file, match["reason"] or reason
    return Typed(block, hosts, tuple(before), frozenset(statuses), file, reason)
