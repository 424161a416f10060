"""Reads the ledger at scrape time and renders it in Prometheus' text format."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.errors import StoreError
from config.ledger import Ledger
from producer.flower.prometheus.catalogue import METRICS
from producer.flower.prometheus.samples import samples


class LedgerCollector(Collector):
    """One read of the ledger for each scrape; nothing is kept between two."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Every metric that has a sample now. An unavailable ledger has one metric, applejack_ledger_up."""
        began = time.monotonic()
        families = {name: family(name) for name in METRICS}
        try:
            for name, labels, value in list(samples(self._ledger)):
                families[name].add_metric(labels, float(value))
        except StoreError:
            yield down()
            return
        families["applejack_ledger_up"].add_metric((), 1)
        families["applejack_ledger_read_seconds"].add_metric((), time.monotonic() - began)
        yield from (found for found in families.values() if found.samples)


def family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    """An empty metric of the catalogue."""
    metric = METRICS[name]
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return make(name, metric.help, labels=metric.labels)


def exposition(ledger: Ledger) -> bytes:
    """The ledger's metrics as text; blocks while it reads."""
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger))
    return generate_latest(registry)


def down() -> Metric:
    """The one metric of a ledger that cannot be read."""
    found = family("applejack_ledger_up")
    found.add_metric((), 0)
    return found


def unavailable() -> bytes:
    """The same as text."""
    registry = CollectorRegistry()
    registry.register(Fixed(down()))
    return generate_latest(registry)


class Fixed(Collector):
    """One metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        """The metric."""
        yield self._metric
