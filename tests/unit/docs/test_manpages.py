"""The manual pages: made from the programs, and right in the eyes of groff."""

from __future__ import annotations

import re
import subprocess

import pytest

from daemon import linksettings, settings
from daemon.cli.commands import grammar
from daemon.fieldtexts import field_texts
from daemon.manpages import pages

PAGES = pages("2026-01-31")


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_warn_of(name: str) -> None:
    set_ = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-c"],
        input=PAGES[name],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set_.stderr == ""
    assert "NAME" in re.sub(".\x08", "", set_.stdout)  # bold is struck twice


def test_every_command_and_option_is_on_the_page() -> None:
    page = PAGES["vipcast.8"].replace("\\-", "-").replace("\\e", "\\")
    for command in grammar().commands:
        assert command.name in page
        for option in command.options:
            assert option.spelling in page


@pytest.mark.parametrize(
    "table",
    [
        settings.Cluster,
        settings.Node,
        linksettings.Link,
        settings.TimerTable,
        settings.Datapath,
        settings.Paths,
        settings.Realtime,
    ],
)
def test_every_key_of_the_settings_is_explained(table: type) -> None:
    told = field_texts(table)
    assert set(told) == set(table.model_fields)  # type: ignore[attr-defined]
    page = PAGES["vipcast.toml.5"].replace("\\-", "-")
    for key in told:
        assert re.search(rf"^\\fB{key}\\fR$", page, re.MULTILINE)


def test_the_same_source_makes_the_same_pages() -> None:
    assert pages("2026-01-31") == PAGES
