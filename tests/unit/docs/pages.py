"""The project's pages as data: their links, fenced blocks and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "guide"

_FENCE = re.compile(
    r"(?P<marks>(?:^ *<!--[^\n]*-->\n)*)^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- (?P<text>.*?) -->")
_LINK = re.compile(r"\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
_CODE = re.compile(r"`(?P<text>[^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, without their indentation."""

    page: Path
    language: str
    text: str
    marks: tuple[str, ...]
    """comments of HTML above the fence, which no reader sees"""


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    return [
        Block(
            page,
            match["language"],
            re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
            tuple(_MARK.findall(match["marks"])),
        )
        for match in _FENCE.finditer(page.read_text())
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(prose(page))]


def code(page: Path) -> list[str]:
    """What the page sets in backquotes, outside of fenced blocks."""
    return [match["text"] for match in _CODE.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """The names of the page's headings, as GitHub makes them: lower case, hyphens, no punctuation."""
    return {
        re.sub(r"[^\w\- ]", "", match["text"].strip().lower()).replace(" ", "-")
        for match in _HEADING.finditer(prose(page))
    }
