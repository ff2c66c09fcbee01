from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.metadata import MetadataError, parse

GOOD = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="thing" version="1.2">
<version>1.0</version>
<longdesc lang="en">Long.</longdesc><shortdesc lang="de">Kurz</shortdesc><shortdesc lang="en">Short</shortdesc>
<parameters>
<parameter name="ip" unique="1" required="1"><content type="string"/></parameter>
<parameter name="port" required="1"><shortdesc>p</shortdesc><content type="integer" default="80"/></parameter>
<parameter/>
</parameters>
<actions><action name="monitor" timeout="20s" interval="10s" depth="0"/></actions>
</resource-agent>"""


def test_parameters_and_actions_are_read() -> None:
    described = parse(GOOD)
    assert (described.name, described.version, described.summary) == ("thing", "1.2", "Short")
    assert [(p.name, p.type, p.default, p.required) for p in described.parameters] == [
        ("ip", "string", None, True),
        ("port", "integer", "80", True),
    ]
    assert described.actions[0].timeout == "20s"
    assert described.unknown(["ip", "prot"]) == ["prot"]
    assert described.missing(["prot"]) == ["ip"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Segmentation fault",
        "<resource-agent>",
        "<html/>",
        '<!DOCTYPE x [<!ENTITY a "b">]><resource-agent>&a;</resource-agent>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><resource-agent>&a;</resource-agent>',
        "<a>" * 100_000,
        "x" * (2 << 20),
    ],
)
def test_what_is_no_metadata_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(MetadataError, match="meta-data"):
        parse(text)


@given(st.text(max_size=200), st.integers(0, len(GOOD)))
def test_garbage_inside_raises_nothing_else(text: str, at: int) -> None:
    with contextlib.suppress(MetadataError):
        parse(GOOD[:at] + text + GOOD[at:])
