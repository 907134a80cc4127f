"""What tests of telemetry that is sent are made of: spans, settings, a wait for a condition."""

import time
from collections.abc import Callable
from typing import Final

import pytest

from mesh7_core.otlp import settings
from mesh7_core.otlp.settings import Target
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.spans import Kind, Span
from tests.peers.otlp_receiver import Receiver

_PATIENCE_S: Final = 30.0
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
RESOURCE: Final = {"service.name": "mesh7-sidecar"}


def span(number: int = 1) -> Span:
    return Span(
        name="tools/call refund",
        kind=Kind.SERVER,
        context=Context(TRACE, f"{number:016x}", is_sampled=True),
        parent_id="",
        began_ns=1_000,
        ended_ns=2_000,
        attributes={"mcp.method.name": "tools/call"},
    )


def target(receiver: Receiver, **more: str) -> Target:
    """Of traces, which are sent at once."""
    return target_at(receiver.url, **more)


def target_at(url: str, **more: str) -> Target:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "30000",
        "OTEL_BSP_SCHEDULE_DELAY": "5",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
    } | more
    read = settings.read(environment, RESOURCE)
    assert read.traces is not None
    return read.traces


def until(claim: Callable[[], bool]) -> None:
    """Wait until a claim about another thread holds, at most half a minute."""
    deadline = time.monotonic() + _PATIENCE_S
    while not claim():
        if time.monotonic() > deadline:
            pytest.fail(f"did not come true within {_PATIENCE_S:.0f} s")
        time.sleep(0.005)
