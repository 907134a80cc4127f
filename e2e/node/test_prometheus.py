"""A real Prometheus: it scrapes a gateway, loads the alerts, and understands the dashboard."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from tests.peers import ports, processes
from tests.sidecar.doors import parts as doors
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import Guarded

_CHART = Path(__file__).parents[2] / "charts" / "mesh7"
_ALERTS = _CHART / "alerts" / "mesh7.yaml"
_DASHBOARD = _CHART / "dashboards" / "mesh7.json"
_PATIENCE_S: Final = 60.0
_POLICY = parts.policy(
    "everything",
    'name: no-delete, tools: ["s.delete"], action: Deny',
    'name: all, tools: ["*"], action: Allow',
)
_Found = dict[str, Any]


class Prometheus:
    """One that runs."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, path: str, **words: str) -> _Found:
        """What its API answers; empty while it does not."""
        try:
            async with self._session.get(f"{self._url}/api/v1/{path}", params=words) as answer:
                found: _Found = await answer.json(content_type=None)
        except (aiohttp.ClientError, json.JSONDecodeError):
            return {}
        return found

    async def value(self, expression: str) -> float | None:
        """Of an expression with one result; None while there is none."""
        found = await self.ask("query", query=expression)
        results = found.get("data", {}).get("result", [])
        return float(results[0]["value"][1]) if len(results) == 1 else None

    async def until(self, path: str, claim: Callable[[_Found], bool], **words: str) -> _Found:
        """The first answer of which the claim is true."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            found = await self.ask(path, **words)
            if claim(found):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _scraping(place: Path, *targets: str) -> AsyncIterator[Prometheus]:
    """Debian's, on a folder of its own; every second it scrapes and asks the alerts."""
    address = f"127.0.0.1:{ports.free()}"
    _configure(place, targets)
    argv = [
        "prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/tsdb",
        f"--web.listen-address={address}", "--log.level=warn",
    ]  # fmt: skip
    async with processes.running(argv, log=place / "log"), aiohttp.ClientSession() as session:
        yield Prometheus(f"http://{address}", session)


def _configure(place: Path, targets: Sequence[str]) -> None:
    place.mkdir()
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(_ALERTS)],
        "scrape_configs": [{"job_name": "mesh7", "static_configs": [{"targets": [*targets]}]}],
    }
    (place / "prometheus.yml").write_text(yaml.safe_dump(settings))


@pytest.mark.promise("T4")
async def test_prometheus_scrapes_a_gateway_and_has_its_counters_exactly(tmp_path: Path) -> None:
    """Issue 8: a real Prometheus scraping; targets are up, no sample is refused."""
    async with parts.scripted("echo", "delete") as source, parts.guarded(
        tmp_path, _POLICY, doors.source("s", source.url)
    ) as served:  # fmt: skip
        await _call(served)
        target = served.gateway.admin.removeprefix("http://")
        async with _scraping(tmp_path / "prometheus", target) as prometheus:
            await prometheus.until(
                "query", lambda found: _value(found) == 5,
                query='mesh7_calls_total{reason="denied-by-rule",tool="s.delete"}',
            )  # fmt: skip
            assert await prometheus.value('mesh7_calls_total{tool="s.echo"}') == 7
            found = await prometheus.ask("targets")
            (one,) = found["data"]["activeTargets"]
            assert (one["health"], one["lastError"]) == ("up", "")


@pytest.mark.promise("T4")
async def test_prometheus_loads_every_alert_and_understands_every_panel(tmp_path: Path) -> None:
    """Issue 8: alerts and dashboard, held to the language that they are written in."""
    wanted = {
        rule["alert"]
        for group in yaml.safe_load(_ALERTS.read_text())["groups"]
        for rule in group["rules"]
    }
    async with _scraping(tmp_path / "prometheus") as prometheus:
        found = await prometheus.until("rules", lambda found: _are_asked(found, len(wanted)))
        rules = [rule for group in found["data"]["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == wanted
        assert {rule["name"]: rule["health"] for rule in rules if rule["health"] != "ok"} == {}
        for panel in json.loads(_DASHBOARD.read_text())["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"].replace("$namespace", ".*")
                query = expression.replace("$__rate_interval", "1m")
                answered = await prometheus.ask("query", query=query)
                assert answered.get("status") == "success", (panel["title"], answered)


def test_promtool_finds_nothing_wrong_with_the_alerts() -> None:
    """Debian's `promtool check rules`."""
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", _ALERTS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


async def _call(served: Guarded) -> None:
    for _ in range(7):
        await served.call("s.echo")
    for _ in range(5):
        await served.call("s.delete")


def _value(found: _Found) -> float | None:
    results = found.get("data", {}).get("result", [])
    return float(results[0]["value"][1]) if results else None


def _are_asked(found: _Found, many: int) -> bool:
    """Whether all rules are there and were asked at least once."""
    groups = found.get("data", {}).get("groups", [])
    rules = [rule for group in groups for rule in group["rules"]]
    return len(rules) == many and all(rule["health"] != "unknown" for rule in rules)
