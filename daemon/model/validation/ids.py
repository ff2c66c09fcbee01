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
    # Control characters that XML 1.0 has no way to write; JSON would carry them into every node's log.
    dumped = configuration.model_dump()
    for where, text in _texts(dumped, ""):
        if _NOT_XML.search(text):
            shown = _NOT_XML.sub("?", text)
            yield error("bad-character", where, f"'{shown}' contains characters that XML cannot carry")


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
