"""XML from outside, as a plain tree that remembers line numbers.

A document type declaration is refused as such: a CIB has none, and everything dangerous in XML (entities that
explode, entities that read files) needs one.  Size and depth are bounded as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from daemon.model.findings import Refused, error

BYTES_MAX = 32 * 1024 * 1024
DEPTH_MAX = 64


@dataclass(slots=True)
class XmlNode:
    """An element: its tag, its attributes, its child elements, and the line (from 1) where it begins."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[XmlNode] = field(default_factory=list)
    text: str = ""

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def all(self, tag: str) -> list[XmlNode]:
        return [child for child in self.children if child.tag == tag]

    def first(self, tag: str) -> XmlNode | None:
        return next((child for child in self.children if child.tag == tag), None)

    def walk(self) -> Iterator[XmlNode]:
        """This element and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def element(self) -> Element:
        """The same as an `xml.etree` element, without the white space between elements."""
        made = Element(self.tag, self.attributes)
        if self.text.strip():
            made.text = self.text.strip()
        made.extend(child.element() for child in self.children)
        return made


class _TooDeepError(ValueError):
    pass


class _Builder:
    """The parser's target: builds the tree and asks the parser for the line of each element."""

    def __init__(self) -> None:
        self.root: XmlNode | None = None
        self.open: list[XmlNode] = []
        self.expat: Any = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self.open) >= DEPTH_MAX:
            raise _TooDeepError
        node = XmlNode(tag, dict(attributes), self.expat.CurrentLineNumber)
        if self.open:
            self.open[-1].children.append(node)
        elif self.root is None:
            self.root = node
        self.open.append(node)

    def end(self, _tag: str) -> None:
        self.open.pop()

    def data(self, text: str) -> None:
        if self.open:
            self.open[-1].text += text

    def close(self) -> XmlNode | None:
        return self.root


def parse_xml(document: bytes | str) -> XmlNode:
    """The root of `document`; raises `Refused` if it is not well-formed, too large, too deep or declares a type."""
    if len(document) > BYTES_MAX:
        raise Refused(error("too-large", "document", f"the document is larger than {BYTES_MAX // 2**20} MiB"))
    data = document if isinstance(document, bytes) else _encoded(document)
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    builder.expat = parser.parser
    try:
        parser.feed(data)
        root = parser.close()
    except ParseError as problem:
        line = problem.position[0]
        raise Refused(
            error("not-xml", f"line {line}", f"the document is not well-formed XML: {problem}")
        ) from problem
    except DefusedXmlException as problem:
        raise Refused(
            error(
                "xml-doctype",
                f"line {builder.expat.CurrentLineNumber}",
                "the document has a document type declaration or entities, which a CIB never has",
                "remove the <!DOCTYPE …> part",
            )
        ) from problem
    except _TooDeepError as problem:
        where = f"line {builder.expat.CurrentLineNumber}"
        raise Refused(error("too-deep", where, f"elements are nested more than {DEPTH_MAX} deep")) from problem
    except (ValueError, LookupError) as problem:  # an encoding that does not exist, or does not fit
        raise Refused(error("not-xml", "document", f"the document cannot be decoded: {problem}")) from problem
    if not isinstance(root, XmlNode):
        raise Refused(error("not-xml", "document", "the document has no element"))
    return root


def _encoded(document: str) -> bytes:
    # A str has no encoding any more, whatever its first line says; expat believes that line.
    head, sep, rest = document.partition("?>")
    if sep and head.lstrip().startswith("<?xml"):
        document = "\n" * head.count("\n") + rest
    try:
        return document.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise Refused(error("not-xml", "document", f"the document cannot be encoded: {problem}")) from problem
