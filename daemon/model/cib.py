"""Pacemaker's CIB: the configuration as XML, in and out.

`write_cib` makes a document that the real `crm_verify` accepts and the real `pcs -f` edits; `read_cib` takes any
document that Pacemaker would take, and what those tools made of ours.

Every edit by pcs or crmsh raises `epoch` in the file, so that attribute alone cannot say what the file was made
from.  Pacemaker's schema allows no attributes of our own; `update-client`, which names the program that wrote a CIB
last, is left alone by tools that edit files, and it carries the epoch that we exported: `vipcast:epoch=7`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from daemon.model.cib_read import read_section
from daemon.model.cib_shape import check_shape
from daemon.model.cib_write import write_section
from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, Refused, error, refuse_errors
from daemon.model.xmltree import XmlNode, parse_xml

VALIDATE_WITH = "pacemaker-3.9"
FEATURE_SET = "3.16.1"
"""Debian 12's Pacemaker 2.1.5 refuses to edit files of newer feature sets; newer Pacemakers take older ones."""

_BASE = re.compile(r"vipcast:epoch=([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class CibFile:
    """A CIB document that was read."""

    configuration: Configuration
    epoch: int
    """the `epoch` attribute: how often the document was edited"""
    base_epoch: int
    """the epoch that vipcast exported it with; `epoch` where it was not vipcast"""
    warnings: tuple[Finding, ...]
    """what was read, but not as it may have been meant"""

    def edited(self, configuration: Configuration) -> bytes:
        """The document with another configuration: one epoch further, made from the same base."""
        return write_cib(configuration, epoch=self.epoch + 1, base_epoch=self.base_epoch)


def read_cib(document: bytes | str) -> CibFile:
    """The configuration that `document` holds; its status section is left aside.

    Raises `Refused` with everything that is wrong with its form: not XML, not a CIB, unknown elements, missing
    attributes, duplicate ids, references to what is not there.
    """
    root = _cib_root(document)
    epoch = _epoch(root)
    section = root.first("configuration")
    if section is None:
        raise Refused(error("no-configuration", f"line {root.line}", "the CIB has no <configuration>"))
    findings = check_shape(section)
    for child in root.children:
        if child.tag not in {"configuration", "status"}:
            where = f"line {child.line}"
            findings.append(error("unknown-element", where, f"{where}: <{child.tag}> is not known inside <cib>"))
    refuse_errors(findings)
    configuration, more = read_section(section)
    warnings = refuse_errors([*findings, *more])
    return CibFile(configuration, epoch, _base_epoch(root, epoch), warnings)


def read_configuration(document: bytes | str) -> Configuration:
    """Like `read_cib`, for whoever wants only the configuration."""
    return read_cib(document).configuration


def epoch_of(document: bytes | str) -> int:
    """The epoch of the configuration that a CIB was made from, however often it was edited since.

    Raises `Refused` where the document is not a CIB or says no epoch.
    """
    root = _cib_root(document)
    return _base_epoch(root, _epoch(root))


def write_cib(configuration: Configuration, *, epoch: int, base_epoch: int | None = None) -> bytes:
    """The configuration as a CIB with an empty status section, UTF-8, indented by two spaces.

    `base_epoch` is the epoch of the cluster's configuration that it was made from, `epoch` itself if not given.
    """
    root = Element(
        "cib",
        {
            "crm_feature_set": FEATURE_SET,
            "validate-with": VALIDATE_WITH,
            "epoch": str(epoch),
            "num_updates": "0",
            "admin_epoch": "0",
            "update-client": f"vipcast:epoch={epoch if base_epoch is None else base_epoch}",
        },
    )
    root.append(write_section(configuration))
    SubElement(root, "status")
    indent(root)
    return tostring(root, encoding="unicode").encode() + b"\n"


def _cib_root(document: bytes | str) -> XmlNode:
    root = parse_xml(document)
    if root.tag != "cib":
        raise Refused(
            error("not-a-cib", f"line {root.line}", f"the document is not a CIB, its root element is <{root.tag}>")
        )
    return root


def _epoch(root: XmlNode) -> int:
    text = root.get("epoch")
    if text is None or not re.fullmatch("[0-9]{1,18}", text):
        what = "lacks the attribute 'epoch'" if text is None else f"has an invalid epoch '{text}'"
        raise Refused(error("bad-epoch", f"line {root.line}", f"line {root.line}: <cib> {what}"))
    return int(text)


def _base_epoch(root: XmlNode, epoch: int) -> int:
    exported = _BASE.fullmatch(root.get("update-client") or "")
    return int(exported[1]) if exported else epoch
