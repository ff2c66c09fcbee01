"""Figures: a line each on the screen, all of them in one JSON file."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing.  `samples` are in `unit`; `reference` is what the ratio is taken against."""

    name: str
    unit: str
    samples: tuple[float, ...]
    reference: float | None = None
    reference_name: str = ""
    goal: float | None = None
    """a goal for the median, from the issue that asked for the figure"""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The value that one in a hundred exceeds; of fewer samples than a hundred: the maximum."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * 0.99) - 1)]

    @property
    def ratio(self) -> float | None:
        return self.median / self.reference if self.reference else None


@dataclass(slots=True)
class Report:
    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Keep a figure and print it at once."""
        self.figures.append(figure)
        print(line(figure), flush=True)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "figures": [
                {**asdict(f), "median": f.median, "p99": f.p99, "max": max(f.samples), "ratio": f.ratio}
                for f in self.figures
            ],
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(f"\nwritten to {path}")


def line(figure: Figure) -> str:
    text = f"{figure.name:<58} {amount(figure.median):>10} {figure.unit:<6}"
    if len(figure.samples) > 1:
        text += f" p99 {amount(figure.p99)} max {amount(max(figure.samples))}, {len(figure.samples)} runs"
    if figure.ratio is not None:
        text += f"  = {figure.ratio:.3g} x {figure.reference_name} ({amount(figure.reference or 0)})"
    if figure.goal is not None:
        text += f"  goal {amount(figure.goal)}: {'met' if figure.median <= figure.goal else 'MISSED'}"
    return text


def amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def heading(text: str, notes: Sequence[str] = ()) -> None:
    print(f"\n{text}")
    for note in notes:
        print(f"  ({note})")
