"""docs/reference/metrics.md names every metric of the operator, its kind and its labels."""

import re

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from mesh7_operator.exchange.measuring import ExchangeMetrics
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.metrics import ControllerMetrics
from tests.architecture import tree

_PAGE = tree.ROOT / "docs" / "reference" / "metrics.md"
_ROW = re.compile(r"(?m)^\| `(mesh7_\w+)` \| (\w+) \|([^|]*)\|")
_WORDS = re.compile(r" \([^)]*\)")


class _Labels(CollectorRegistry):
    """A registry that remembers what was registered, with labels."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, tuple[str, tuple[str, ...]]] = {}

    def register(self, collector: Collector) -> None:
        super().register(collector)
        for metric in collector.describe() if hasattr(collector, "describe") else ():
            labels = tuple(getattr(collector, "_labelnames", ()))
            self.found[metric.name] = (metric.type, labels)


def test_the_page_names_every_metric_with_its_kind_and_labels() -> None:
    """Issue 5: observability."""
    registered: dict[str, tuple[str, tuple[str, ...]]] = {}
    for program in (ControllerMetrics, ExchangeMetrics, InjectorMetrics):
        registry = _Labels()
        program(registry)
        registered |= registry.found
    rows = _ROW.findall(_PAGE.read_text())
    described = {
        name: (kind, tuple(re.findall(r"`(\w+)`", _WORDS.sub("", labels))))
        for name, kind, labels in rows
    }
    assert described == registered
