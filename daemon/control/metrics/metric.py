"""A metric, and the samples that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from daemon.control.metrics.facts import MetricsFacts

Kind = Literal["gauge", "counter", "histogram"]
Sample = tuple[tuple[str, ...], float]
"""values of the labels in the metric's order, and the value"""
Buckets = tuple[Iterable[tuple[str, int]], float]
"""(upper bound in seconds → cumulative count), and the sum in seconds"""


@dataclass(frozen=True, slots=True)
class Metric:
    """One name.  A counter's ends in `_total`, times are in seconds (prometheus.io/docs/practices/naming)."""

    name: str
    kind: Kind
    help: str
    samples: Callable[[MetricsFacts], Iterable[Sample]] = lambda _: ()
    labels: tuple[str, ...] = ()
    buckets: Callable[[MetricsFacts], Buckets | None] = lambda _: None
    """of a histogram, instead of samples; None: there is nothing to tell"""


def yes(value: object) -> float:
    """1 for what holds, 0 for what does not."""
    return 1.0 if value else 0.0
