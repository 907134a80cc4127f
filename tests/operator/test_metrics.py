"""The operator's programs make what the table of instruments says, and nothing else."""

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from mesh7_core.telemetry import table
from mesh7_core.telemetry.instruments import Program
from mesh7_operator.exchange.measuring import ExchangeMetrics
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.metrics import ControllerMetrics
from tests.architecture import tree

_SPELLED = re.compile(r'"(mesh7_\w+)"')


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


@pytest.mark.promise("T4")
@pytest.mark.parametrize(
    ("program", "makes"),
    [
        (Program.CONTROLLER, ControllerMetrics),
        (Program.INJECTOR, InjectorMetrics),
        (Program.EXCHANGE, ExchangeMetrics),
    ],
)
def test_a_program_makes_all_instruments_of_the_table_and_no_other(
    program: Program, makes: type
) -> None:
    """Issue 8: one table of every instrument, for the code and for the documentation."""
    registry = _Labels()
    makes(registry)
    wanted = {one.family: (one.kind.value, one.label_names) for one in table.of(program)}
    assert registry.found == wanted


def test_no_metric_is_spelled_beside_the_table() -> None:
    """Names in code would make metrics that nobody documents."""
    families = {one.family for one in table.INSTRUMENTS}
    found = {
        f"{tree.shown(path)}: {name}"
        for path in tree.files()
        if path.suffix == ".py" and "src" in path.parts
        for name in _SPELLED.findall(path.read_text())
        if name.removesuffix("_total") in families
    }
    assert found == set()
