"""A request as handlers know it, and what they raise where the answer is no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from daemon.control.access import Peer
from daemon.control.routes import Parameter, Route
from daemon.model.findings import Finding

AUTHOR_CHARACTERS_MAX = 64
ROOT = 0

_Body = TypeVar("_Body")


class ApiError(Exception):
    """An answer that is not a success: HTTP status, code for programs, sentence for people."""

    def __init__(
        self, status: int, code: str, sentence: str, findings: tuple[Finding, ...] = (), epoch: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
        self.findings = findings
        self.epoch = epoch


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as handlers need to know it."""

    route: Route
    query: dict[str, str]
    body: bytes
    peer: Peer

    def text(self, name: str) -> str | None:
        """A word of the query string; empty counts as not given.  Raises ApiError when a required one lacks."""
        parameter = self._parameter(name)
        value = self.query.get(name)
        if parameter.required and not value:
            raise ApiError(400, "bad-request", f"{self.route.path} needs {name}=…: {parameter.what}")
        return value or None

    def integer(self, name: str) -> int | None:
        """A number of the query string.  Raises ApiError when it is none, or has more than 18 digits."""
        value = self.text(name)
        if value is None:
            return None
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
            raise ApiError(
                400, "bad-request", f"{name}={value[:40]!r} is not a number: {self._parameter(name).what}"
            )
        return int(value)

    def port(self, name: str) -> int | None:
        value = self.integer(name)
        if value is not None and not 0 <= value <= 65535:
            raise ApiError(400, "bad-request", f"{name}={value} is no port; ports are 0 to 65535")
        return value

    def decoded(self, kind: type[_Body]) -> _Body:
        """The body as a struct.  Raises ApiError with the place of what is wrong."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            raise ApiError(400, "bad-request", f"the request's body is wrong: {problem}") from problem

    def refuse_unknown_words(self) -> None:
        known = {parameter.name for parameter in self.route.parameters}
        unknown = sorted(set(self.query) - known)
        if unknown:
            listed = ", ".join(sorted(known)) or "nothing"
            raise ApiError(
                400, "bad-request", f"{self.route.path} does not know {unknown[0][:40]!r}; it takes {listed}"
            )

    def author(self, claimed: str) -> str:
        """The name that the log will show: root may speak for somebody, of others the kernel's word is added."""
        name = "".join(c for c in claimed if c.isprintable())[:AUTHOR_CHARACTERS_MAX].strip()
        if self.peer.uid == ROOT:
            return name or "root"
        return f"{name} (uid {self.peer.uid})".lstrip()

    def _parameter(self, name: str) -> Parameter:
        return next(parameter for parameter in self.route.parameters if parameter.name == name)
