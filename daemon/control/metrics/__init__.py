"""`GET /metrics`: what monitoring wants to know, in Prometheus' text format.

A metric is a row of a table: name, kind, help, labels, and the function that finds its samples in the facts.  The
reference page is made from the same rows.
"""

from __future__ import annotations

from daemon.control.metrics.exposition import METRICS, exposition
from daemon.control.metrics.facts import MetricsFacts

__all__ = ["METRICS", "MetricsFacts", "exposition"]
