"""What an agent says about itself: its meta-data (Resource Agent API 1.1, appendix), read with suspicion.

The text comes from a program on this host, which may be broken: what cannot be read is an error that says so, what
is read is bounded, and no entity is expanded.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

TEXT_BYTES_MAX = 1 << 20
PARAMETERS_MAX = 1000
TEXT_CHARACTERS_MAX = 20_000


class MetadataError(Exception):
    """This is no meta-data; the text says why."""


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    """string, integer, boolean, select, time …"""
    default: str | None
    required: bool
    unique: bool
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    timeout: str
    interval: str
    depth: str
    role: str


@dataclass(frozen=True, slots=True)
class Metadata:
    name: str
    version: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    actions: tuple[Action, ...]

    def unknown(self, names: list[str]) -> list[str]:
        """Those of `names` that the agent does not have."""
        known = {parameter.name for parameter in self.parameters}
        return [name for name in names if name not in known]

    def missing(self, names: list[str]) -> list[str]:
        """Required parameters that are not among `names` and have no default."""
        return [p.name for p in self.parameters if p.required and not p.default and p.name not in names]


def parse(text: str) -> Metadata:
    """Raises MetadataError."""
    if len(text) > TEXT_BYTES_MAX:
        raise MetadataError(f"meta-data of {len(text)} characters; {TEXT_BYTES_MAX} are the most")
    try:
        # Agents of resource-agents begin with a DOCTYPE; it is read over, what it names is never fetched.
        root = fromstring(text.strip(), forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except ParseError as error:
        raise MetadataError(f"meta-data is not XML: {error}") from None
    except DefusedXmlException as error:
        raise MetadataError(f"meta-data uses what is not allowed: {type(error).__name__}") from None
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"meta-data cannot be read: {error}") from None
    if root.tag != "resource-agent":
        raise MetadataError(f"meta-data begins with <{root.tag}>, not with <resource-agent>")
    parameters = tuple(
        _parameter(element)
        for element in root.findall("./parameters/parameter")[:PARAMETERS_MAX]
        if element.get("name")
    )
    actions = tuple(
        Action(
            name=element.get("name", ""),
            timeout=element.get("timeout", ""),
            interval=element.get("interval", ""),
            depth=element.get("depth", ""),
            role=element.get("role", ""),
        )
        for element in root.findall("./actions/action")[:PARAMETERS_MAX]
        if element.get("name")
    )
    return Metadata(
        name=root.get("name", ""),
        version=root.get("version", "") or _text(root, "version"),
        summary=_text(root, "shortdesc"),
        description=_text(root, "longdesc"),
        parameters=parameters,
        actions=actions,
    )


def _parameter(element: Element) -> Parameter:
    content = element.find("content")
    return Parameter(
        name=element.get("name", ""),
        type=content.get("type", "string") if content is not None else "string",
        default=content.get("default") if content is not None else None,
        required=element.get("required", "0") in ("1", "true", "yes"),
        unique=element.get("unique", "0") in ("1", "true", "yes") or bool(element.get("unique-group")),
        summary=_text(element, "shortdesc"),
        description=_text(element, "longdesc"),
    )


def _text(element: Element, tag: str) -> str:
    """The English text where there are several, else the first."""
    found = element.findall(tag)
    if not found:
        return ""
    chosen = next((one for one in found if one.get("lang", "en").startswith("en")), found[0])
    return "".join(chosen.itertext()).strip()[:TEXT_CHARACTERS_MAX]
