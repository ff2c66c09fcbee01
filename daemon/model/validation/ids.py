"""Ids: what XML allows, each used once; and text that XML could not carry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, error
from daemon.model.identifiers import id_problem, ids_in_use

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check(configuration: Configuration) -> Iterator[Finding]:
    for name, count in ids_in_use(configuration).items():
        if (problem := id_problem(name)) is not None:
            yield error("bad-id", name, problem)
        if count > 1:
            yield error("duplicate-id", name, f"id '{name}' is used {count} times", "give all but one another id")
    if _may_hold_other_characters(configuration):
        for where, text in _texts(configuration.model_dump(), ""):
            if _NOT_XML.search(text):
                shown = _NOT_XML.sub("?", text)
                yield error("bad-character", where, f"'{shown}' contains characters that XML cannot carry")


def _may_hold_other_characters(configuration: Configuration) -> bool:
    """Whether a closer look is worth its time: JSON writes control characters as escapes, which are rare."""
    try:
        text = configuration.model_dump_json()
    except ValueError:  # a lone surrogate: bytes of a command line that are not UTF-8
        return True
    return any(escape in text for escape in ("\\u00", "\\b", "\\f")) or _NOT_XML.search(text) is not None


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield where, value
        case dict():
            own = value.get("id")
            inner = own if isinstance(own, str) else where
            for name, part in value.items():
                yield inner, str(name)
                yield from _texts(part, inner)
        case tuple() | list():
            for part in value:
                yield from _texts(part, where)
