"""Dashboard and alerts of the chart: what they ask for is there, and every alert has a runbook."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mesh7_core.telemetry.instruments import Instrument, Kind
from mesh7_core.telemetry.table import INSTRUMENTS
from tests.architecture import tree
from tests.charts import rendered

_CHART = tree.ROOT / "charts" / "mesh7"
_ALERTS = _CHART / "alerts" / "mesh7.yaml"
_DASHBOARD = _CHART / "dashboards" / "mesh7.json"
_RUNBOOKS = tree.ROOT / "docs" / "administrator" / "runbooks.md"
_TARGET = {"namespace", "pod"}
"""Labels that Prometheus adds to whatever a pod answers."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTED = re.compile(r"\b((?:mesh7|mcp)_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_SHOWN = re.compile(r"\$labels\.(\w+)|\{\{(\w+)\}\}")
_SAMPLES: dict[str, Instrument] = {name: one for one in INSTRUMENTS for name in one.samples}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(_ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _asked() -> Iterator[tuple[str, str, str]]:
    """Who asks, the expression, and what is said with its labels."""
    for rule in _rules():
        yield rule["alert"], rule["expr"], json.dumps(rule["annotations"])
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def _of(name: str) -> set[str]:
    """The labels of a sample."""
    one = _SAMPLES[name]
    bounds = {"le"} if name.endswith("_bucket") and one.kind is Kind.HISTOGRAM else set()
    return {*one.label_names, *_TARGET, *bounds}


@pytest.mark.promise("T4")
def test_every_metric_and_label_of_dashboard_and_alerts_is_in_the_table() -> None:
    """Issue 8: each metric in them is asserted to exist."""
    wrong: list[str] = []
    for who, expression, said in _asked():
        bare = _TEXT.sub('""', expression)
        names = _SELECTED.findall(bare)
        wrong += [f"{who}: {name}" for name, _ in names if name not in _SAMPLES]
        known = [_of(name) for name, _ in names if name in _SAMPLES]
        for name, selector in names:
            if name in _SAMPLES:
                matched = set(_MATCHED.findall(selector))
                wrong += [f"{who}: {name}{{{label}}}" for label in matched - _of(name)]
        grouped = {label.strip() for each in _GROUPED.findall(bare) for label in each.split(",")}
        shown = {label for pair in _SHOWN.findall(said) for label in pair if label}
        everywhere = set.union(*known) if known else set()
        wrong += [f"{who}: by {label}" for label in (grouped | shown) - everywhere]
        if not names:
            wrong.append(f"{who}: asks for nothing of ours")
    assert wrong == []


@pytest.mark.promise("T4")
def test_a_value_that_an_expression_compares_a_label_with_is_one_that_it_can_have() -> None:
    """An alert on a state that is spelled otherwise never fires."""
    wrong: list[str] = []
    for who, expression, _ in _asked():
        for name, selector in _SELECTED.findall(expression):
            labels = {one.name: one for one in _SAMPLES[name].labels}
            for label, values in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"$]*)"', selector):
                known = labels[label].values if label in labels else ()
                unknown = set(values.split("|")) - set(known) if known else set()
                wrong += [f"{who}: {label}={each}" for each in unknown]
    assert wrong == []


def test_every_alert_has_its_runbook_and_no_runbook_its_alert_lost() -> None:
    """Issue 8: alerts with runbook anchors."""
    sections = re.findall(r"(?m)^## (\w+)$", _RUNBOOKS.read_text())
    assert sections == [rule["alert"] for rule in _rules()]
    assert [rule["annotations"]["runbook_url"] for rule in _rules()] == [
        f"docs/administrator/runbooks.md#{name.lower()}" for name in sections
    ]


def test_every_runbook_says_what_it_means_how_to_see_more_and_what_to_do() -> None:
    """Who is woken at night reads this."""
    for section in re.split(r"(?m)^## ", _RUNBOOKS.read_text())[1:]:
        words = re.findall(r"(?m)^\*\*(\w+):\*\*", section)
        assert words == ["Means", "See", "Do"], section.splitlines()[0]


def test_every_alert_says_how_bad_it_is_and_what_it_is_about() -> None:
    """Severities are two: somebody gets up, or somebody looks in the morning."""
    for rule in _rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]


def test_the_rendered_rules_are_the_file_with_the_runbooks_of_the_release() -> None:
    """charts/mesh7/values.yaml: `monitoring.alerts.runbooks`."""
    (made,) = (one for one in rendered.documents("ha") if one["kind"] == "PrometheusRule")
    text = _ALERTS.read_text().replace(
        "docs/administrator/runbooks.md#", "https://runbooks.example.com/mesh7.html#"
    )
    assert made["spec"] == yaml.safe_load(text)


def test_the_rendered_dashboard_is_the_file_under_the_label_that_grafana_selects_by() -> None:
    """charts/mesh7/values.yaml: `monitoring.dashboard`."""
    (made,) = (
        one for one in rendered.documents("ha") if one["metadata"]["name"] == "mesh7-dashboard"
    )
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["mesh7.json"]) == json.loads(_DASHBOARD.read_text())


def test_nothing_of_it_is_there_unless_it_is_asked_for() -> None:
    """Clusters without the Prometheus operator do not know its kinds."""
    kinds = {one["kind"] for one in rendered.documents("default")}
    assert kinds.isdisjoint({"PrometheusRule", "PodMonitor"})
    assert "mesh7-dashboard" not in {
        one["metadata"]["name"] for one in rendered.documents("default")
    }


def test_sidecars_are_scraped_where_they_answer() -> None:
    """Port 7008 of every pod that the injector labelled, by IPv4 and IPv6."""
    monitors = [one for one in rendered.documents("ha") if one["kind"] == "PodMonitor"]
    found = {one["metadata"]["name"]: one["spec"] for one in monitors}
    assert set(found) == {"mesh7", "mesh7-sidecars"}
    spec = found["mesh7-sidecars"]
    assert spec["selector"] == {"matchLabels": {"mesh7.dev/injected": "true"}}
    rules = spec["podMetricsEndpoints"][0]["relabelings"]
    made = [
        rule["replacement"].replace("$1", address)
        for address in ("10.1.2.3", "fd00::7")
        for rule in rules[1:]
        if re.fullmatch(rule["regex"], address)
    ]
    assert made == ["10.1.2.3:7008", "[fd00::7]:7008"]
