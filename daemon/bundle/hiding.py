"""What must not leave the site: values of parameters that are secret by their name, wherever they turn up.  Pure.

Three sieves, because each alone misses something.  By name: the value of whatever is called `passwd`, `api_key` … is
hidden, in documents and in text such as a typed command.  By value: what stood under such a name is hidden in all other
texts too, so that an agent that repeats its password in an error message gives nothing away.  By shape: join tokens,
keys of the cluster, private keys, `user:password@` in URLs.

A value that is a part of some resource's or node's name is hidden by its name only: hidden everywhere it would break
the plan that is made from the bundle, and tell the secret by its gaps.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from html import escape

HIDDEN = "(hidden)"
SECRET_NAMES = (  # a pattern of names
    r"passw|passphrase|passcode|pwd|secret|token|credential|community|apikey|"  # noqa: S105
    r"(?:api|access|private|shared|encryption|account|auth|session|login|sas)[_-]key|"
    r"(?<![a-z0-9])(?:pass|pw|psk|pin)(?![a-z0-9])"
)
TELLING_CHARACTERS = 5
"""a shorter value is not looked for in texts: it would hide half of them, and its name hides it anyway"""
DEPTH_MAX = 100
_NAMING = frozenset({"id", "name", "node", "instance", "agent", "resource"})
"""what has these keys in a document is the name of something"""
_SHAPES = (
    re.compile(r"vipcast-[a-z2-7]{16,}", re.IGNORECASE),  # daemon.cluster.enrolment.token
    re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE),  # daemon.keys
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\A[A-Za-z0-9+/=\s]+-----END [A-Z ]*PRIVATE KEY-----"),  # the end of one, of a text that was cut
    re.compile(r"(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)"),
)
_HEAD = re.compile(r"(?<![\w.-])(?P<name>[\w.-]+)(?:(?P<sign>\\?[\"']?\s*[=:])\s*|(?<=\w)\s+(?=[^\s=:-]))")
_VALUE = re.compile(r"\\\".*?(?<!\\)(?:\\\\)*\\\"|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;\"'<>]+")
_TO_QUOTE = re.compile(r"[^']*")
_TAG = re.compile(r"<nvpair\b[^>]*>")
_NAME_OF_TAG = re.compile(r"\bname=(?:\"([^\"]*)\"|'([^']*)')")
_VALUE_OF_TAG = re.compile(r"\bvalue=(\"[^\"]*\"|'[^']*')")


class Sieve:
    """`names`: regular expressions of further names whose values are secret.  Raises re.error for a wrong one."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = re.compile("|".join([SECRET_NAMES, *(f"(?:{name})" for name in names)]), re.IGNORECASE)
        self._values: set[str] = set()
        self._words: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._is_stale = False

    def is_secret(self, name: str) -> bool:
        return self._names.search(name) is not None

    def learn(self, name: str, value: str) -> None:
        """A parameter that is known from elsewhere: hide its value in all texts, if its name is a secret's."""
        if value == HIDDEN:
            return
        if self.is_secret(name):
            if len(value.strip()) >= TELLING_CHARACTERS:
                self._values.add(value.strip())
                self._is_stale = True
        elif name in _NAMING:
            self._words.add(value)
            self._is_stale = True

    def read(self, document: object) -> None:
        """Learn everything that JSON data has."""
        for name, value in _pairs(document, DEPTH_MAX):
            self.learn(name, value)

    def document(self, document: object) -> object:
        """JSON data with every secret's value hidden, be it `{"passwd": "x"}` or `{"name": "passwd", "value": "x"}`.

        Raises RecursionError for what is nested more than DEPTH_MAX deep.
        """
        self.read(document)
        return self._sifted(document, DEPTH_MAX)

    def text(self, text: str) -> str:
        """Free text: `passwd=x`, `--passwd x`, `name="passwd" value="x"`, every learned value, keys, tokens."""
        known = self._pattern()
        if known is not None:
            text = known.sub(HIDDEN, text)
        text = _TAG.sub(self._tag, text)
        for shape in _SHAPES:
            text = shape.sub(HIDDEN, text)
        if not self.is_secret(text):
            return text
        return "".join(
            self._line(line) if self.is_secret(line) else line for line in text.splitlines(keepends=True)
        )

    def _sifted(self, value: object, depth: int) -> object:
        if not depth:
            raise RecursionError("nested too deeply")
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._sifted(one, depth - 1) for one in value]
        if not isinstance(value, dict):
            return value
        named = _named(value)
        return {
            key: HIDDEN
            if self._hides(named if key == "value" and named else key, one)
            else self._sifted(one, depth - 1)
            for key, one in value.items()
        }

    def _hides(self, name: object, value: object) -> bool:
        plain = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
        return plain and isinstance(name, str) and self.is_secret(name)

    def _line(self, line: str) -> str:
        """Values behind secret names: `name=value`, `"name": "value"`, `--name value`, `'name=several words'`."""
        kept: list[str] = []
        at = 0
        for head in _HEAD.finditer(line):
            if head.start() < at or not (head["sign"] or head["name"].startswith("-")):
                continue
            if not self.is_secret(head["name"]):
                continue
            is_whole_word = head["sign"] == "=" and line[: head.start()].endswith("'")
            value = (_TO_QUOTE if is_whole_word else _VALUE).match(line, head.end())
            if value is None or value[0].strip("\"'") in {"", HIDDEN}:
                continue
            quote = value[0][0] if value[0][0] in "\"'" else ""
            kept += (line[at : head.end()], quote, HIDDEN, quote)
            at = value.end()
        return "".join((*kept, line[at:]))

    def _pattern(self) -> re.Pattern[str] | None:
        """Every learned value, as it is and as JSON, XML and a shell write it."""
        if self._is_stale:
            self._is_stale = False
            forms: set[str] = set()
            for value in self._values:
                if not any(value in word for word in self._words):
                    forms |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
                    forms |= {escape(value), shlex.quote(value)}
            listed = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
            self._known = re.compile(listed) if forms else None
        return self._known

    def _tag(self, match: re.Match[str]) -> str:
        name = _NAME_OF_TAG.search(match[0])
        if name is None or not self.is_secret(name[1] or name[2] or ""):
            return match[0]
        return _VALUE_OF_TAG.sub(lambda found: f"value={found[1][0]}{HIDDEN}{found[1][0]}", match[0])


def _named(document: Mapping[object, object]) -> str | None:
    """`{"name": …, "value": …}`, and the rule's `{"attribute": …, "value": …}`."""
    named = document.get("name", document.get("attribute"))
    return named if isinstance(named, str) else None


def _pairs(document: object, depth: int) -> Iterator[tuple[str, str]]:
    """Every name with its value, those of XML within texts too."""
    if not depth:
        return
    if isinstance(document, str):
        for tag in _TAG.findall(document):
            name, value = _NAME_OF_TAG.search(tag), _VALUE_OF_TAG.search(tag)
            if name and value:
                yield name[1] or name[2] or "", value[1][1:-1]
    elif isinstance(document, list):
        for one in document:
            yield from _pairs(one, depth - 1)
    elif isinstance(document, dict):
        named, value = _named(document), document.get("value")
        if named is not None and isinstance(value, str):
            yield named, value
        for name, one in document.items():
            if isinstance(name, str) and isinstance(one, str | int | float) and not isinstance(one, bool):
                yield name, str(one)
            yield from _pairs(one, depth - 1)
