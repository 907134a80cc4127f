"""Records as OTLP log records: what is stored is sent, with its trace."""

import asyncio
import json
from pathlib import Path

from mesh7_core.otlp import settings
from mesh7_sidecar.audit.collecting import Collecting
from tests.conftest import Eventually
from tests.peers import otlp_receiver
from tests.sidecar.audit.test_audit_file import audit_file, content, record


async def test_every_stored_record_is_sent_to_the_collector(
    tmp_path: Path, eventually: Eventually
) -> None:
    """docs/reference/audit.md; seals are no records."""
    path = tmp_path / "audit.jsonl"
    audit = audit_file(path)
    with otlp_receiver.running() as receiver:
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_LOGS_EXPORTER": "otlp"}
        collecting = Collecting(audit, settings.read(telemetry, {}))
        for number in range(70):
            audit.append(record(number))
        await audit.close()
        await eventually(lambda: len(receiver.log_records()) == 70)
        await asyncio.to_thread(collecting.close)
        sent = [json.loads(one.body.string_value) for one in receiver.log_records()]

    stored = [json.loads(line) for line in content(path).splitlines()]
    assert sent == [line for line in stored if "seal" not in line]
    assert collecting.counts["logs"].sent == 70


async def test_without_a_collector_nothing_is_sent_and_nothing_is_counted(tmp_path: Path) -> None:
    audit = audit_file(tmp_path / "audit.jsonl")
    collecting = Collecting(audit, settings.read({}, {}))

    assert audit.followers == []
    assert collecting.counts == {}
    collecting.close()
    await audit.close()
