"""The last step of every edit: what refers to other parts follows them, and the whole is validated."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import tostring

from daemon.model.cib_read import read_section
from daemon.model.cib_write import write_section
from daemon.model.configuration import Configuration
from daemon.model.findings import Finding, errors_of, refuse_errors
from daemon.model.validation import validate
from daemon.model.xmltree import parse_xml


def settled(old: Configuration, new: Configuration, findings: Iterable[Finding] = ()) -> Configuration:
    """`new`, if it has no error that `old` did not have; otherwise `Refused` with all that are new.

    `findings` are those about the request itself; the errors among them are told together with the others.  Errors
    that were there before do not stand in the way: a broken configuration is repaired one edit at a time.
    """
    followed = _references_followed(new)
    before = set(errors_of(validate(old)))
    fresh = [finding for finding in errors_of(validate(followed)) if finding not in before]
    refuse_errors(dict.fromkeys([*findings, *fresh]))
    return followed


def _references_followed(configuration: Configuration) -> Configuration:
    """Repeat again what is referred to by id-ref, since an edit may have changed the original."""
    section = write_section(configuration)
    if not any("id-ref" in element.attrib for element in section.iter()):
        return configuration
    read, findings = read_section(parse_xml(tostring(section, encoding="unicode")))
    refuse_errors(findings)
    return read
