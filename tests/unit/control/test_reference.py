"""The reference pages are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

import daemon.cli.reference
import daemon.control.reference
from daemon.control.routes import ROUTES

PAGES = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(
    ("page", "text", "command"),
    [
        ("control-api.md", daemon.control.reference.reference, "daemon.control.reference"),
        ("cli.md", daemon.cli.reference.reference, "daemon.cli.reference"),
    ],
)
def test_a_page_is_up_to_date(page: str, text: object, command: str) -> None:
    written = (PAGES / page).read_text()
    assert callable(text)
    assert written == text(), f"make it again: python -m {command} > docs/reference/{page}"


def test_every_path_is_on_the_page() -> None:
    written = (PAGES / "control-api.md").read_text()
    for route in ROUTES:
        assert f"### {route.method} {route.path}\n" in written
