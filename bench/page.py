"""Figures as a table in a page: whatever stands between two marks there is written anew."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.report import Figure

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def put_into(page: Path, figures: Sequence[Figure]) -> None:
    """Raises ValueError for a page without the two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{page} has no lines '{BEGIN}' and '{END}' for the table")
    page.write_text("\n".join([before + BEGIN, *_table(figures), END + after]), encoding="utf-8")


def _table(figures: Sequence[Figure]) -> Iterator[str]:
    yield f"Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores."
    yield ""
    yield "| | unit | median | worst | peer | of the peer's |"
    yield "|---|---|---|---|---|---|"
    for figure in figures:
        # a peer that was stopped would have taken longer
        at_least = "more than " if figure.reference_name.endswith("stopped") else ""
        peer = "" if figure.reference is None else f"{at_least}{_number(figure.reference)}"
        ratio = "" if figure.ratio is None else f"{100 * figure.ratio:.3g} %"
        worst = _number(max(figure.samples)) if len(figure.samples) > 1 else ""
        yield f"| {figure.name.strip()} | {figure.unit} | {_number(figure.median)} | {worst} | {peer} | {ratio} |"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
