"""Arguments in pcs' notation: name=value pairs, and sections that a keyword opens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from daemon.cli.call import Call


@dataclass(frozen=True)
class Section:
    """A keyword and the words up to the next one; the words before the first keyword have the keyword ""."""

    keyword: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class OperationWords:
    """`monitor interval=10s timeout=20s`"""

    name: str
    options: dict[str, str]


def sections(words: Iterable[str], keywords: Collection[str]) -> list[Section]:
    """Split at keywords; what stands before the first is always the first section, even when it is empty."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for word in words:
        if word in keywords:
            found.append((word, []))
        else:
            found[-1][1].append(word)
    return [Section(keyword, tuple(there)) for keyword, there in found]


def pairs(call: Call, words: Iterable[str]) -> dict[str, str]:
    """`a=1 b=` → {"a": "1", "b": ""}.  Raises UsageError for a word without `=`, or one name with two values."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise call.misuse(f"missing value of '{word}' option")
        if not name:
            raise call.misuse(f"missing key in '{word}' option")
        if found.get(name, value) != value:
            raise call.misuse(f"duplicate option '{name}' with different values '{found[name]}' and '{value}'")
        found[name] = value
    return found


def operations(call: Call, words: Sequence[str]) -> list[OperationWords]:
    """What follows `op`: a word without `=` begins an operation.  Raises UsageError."""
    if not words:
        raise call.misuse("'op' needs the name of an operation and its options")
    found: list[OperationWords] = []
    name, options = "", []
    if "=" in words[0]:
        raise call.misuse(f"'{words[0]}' stands where the name of an operation belongs")
    for word in (*words, ""):
        if "=" in word:
            options.append(word)
            continue
        if name:
            found.append(OperationWords(name, pairs(call, options)))
        name, options = word, []
    return found


def leading_plain(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words before the first name=value, the rest)"""
    at = next((position for position, word in enumerate(words) if "=" in word), len(words))
    return tuple(words[:at]), tuple(words[at:])
