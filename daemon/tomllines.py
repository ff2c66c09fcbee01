"""Which line of a TOML text a key stands on.

`tomllib` forgets where it read things, and a finding without a line sends the administrator searching.  This is no
second parser: it reads a text that tomllib has already accepted and remembers only tables, keys and their lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Key = tuple[str | int, ...]
"""A path: names of tables and keys, and for `[[tables]]` the number of the element, from 0."""

_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=(.*)$"""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"' + r"|'[^']*'")


class LineIndex:
    """Lines (from 1) of every table and key in `text`."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Key, int] = {}
        self._arrays: dict[Key, int] = {}
        self._read(text.splitlines())

    def line(self, path: Iterable[str | int]) -> int | None:
        """The line of the key, else of the nearest table around it; None where the text has none of them."""
        key = tuple(path)
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[:-1]
        return None

    def _read(self, lines: list[str]) -> None:
        table: Key = ()
        quote = ""
        depth = 0
        for number, line in enumerate(lines, start=1):
            if quote:
                quote = "" if quote in line else quote
                continue
            if depth > 0:
                depth += _nesting(line)
                continue
            if heading := _TABLE.match(line):
                table = self._enter(heading.group(1) == "[[", _parts(heading.group(2)))
                self._lines.setdefault(table, number)
            elif assignment := _ASSIGNMENT.match(line):
                path: Key = (*table, *_parts(assignment.group(1)))
                self._lines.setdefault(path, number)
                value = assignment.group(2)
                quote = _open_quote(value)
                depth = 0 if quote else _nesting(value)

    def _enter(self, repeated: bool, names: tuple[str, ...]) -> Key:
        """The path of a table heading; inside an array of tables it is the newest element that is meant."""
        path: Key = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._arrays:
                path = (*path, self._arrays[path])
        path = (*path, names[-1])
        if repeated:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = (*path, self._arrays[path])
        return path


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _nesting(text: str) -> int:
    """How many brackets a line leaves open, strings and comments apart."""
    bare = _STRING.sub("", text).split("#", 1)[0]
    return bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")


def _open_quote(value: str) -> str:
    """The triple quote that a value opens and does not close on its line, or nothing."""
    stripped = value.strip()
    for quote in ('"""', "'''"):
        if stripped.startswith(quote) and stripped.count(quote) == 1:
            return quote
    return ""
