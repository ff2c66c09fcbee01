"""From the table to the text (prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from daemon.control.metrics.cluster import CLUSTER
from daemon.control.metrics.corosync import COROSYNC
from daemon.control.metrics.facts import MetricsFacts
from daemon.control.metrics.metric import Metric
from daemon.control.metrics.pacemaker import PACEMAKER
from daemon.control.metrics.serving import SERVING

METRICS: tuple[Metric, ...] = (*PACEMAKER, *COROSYNC, *CLUSTER, *SERVING)
"""every name, in the order of the page"""


class _Scrape(Collector):
    """One scrape; a registry of its own, so that nothing of the library's process metrics comes in."""

    def __init__(self, facts: MetricsFacts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Family]:
        return (_family(metric, self._facts) for metric in METRICS)


def exposition(facts: MetricsFacts) -> bytes:
    """Everything at once; some ten thousand lines take a tenth of a second, so beside the loop."""
    return generate_latest(_Scrape(facts))


def _family(metric: Metric, facts: MetricsFacts) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help)
        found = metric.buckets(facts)
        if found is not None:
            bounds, sum_s = found
            histogram.add_metric((), list(bounds), sum_value=sum_s)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(facts):
        family.add_metric(labels, value)
    return family
