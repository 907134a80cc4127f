"""Sinks of audit lines and metrics, by opentelemetry-proto's classes: there are few of them.

Imported only by programs that send them.
"""

import threading
from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, ScopeMetrics

from mesh7_core.otlp import noted, scopes, snapshots
from mesh7_core.otlp.moments import Snapshot
from mesh7_core.otlp.settings import Target
from mesh7_core.otlp.sinks import BatchSink, Encoded
from mesh7_core.otlp.unhurried import Unhurried
from mesh7_core.telemetry import conventions


def audit_lines(target: Target, resource: Mapping[str, str]) -> BatchSink[bytes]:
    """For lines of an audit, as log records."""
    whose = scopes.resource_of(resource)

    def encode(items: Sequence[bytes], hurry: threading.Event) -> Encoded:
        wrapped = ScopeLogs(scope=scopes.SCOPE, schema_url=conventions.SCHEMA_URL)
        written = Unhurried(items, noted.log_record, hurry)
        wrapped.log_records.extend(written)
        resources = ResourceLogs(resource=whose, schema_url=conventions.SCHEMA_URL)
        resources.scope_logs.append(wrapped)
        body = bytes(ExportLogsServiceRequest(resource_logs=[resources]).SerializeToString())
        return Encoded(body, len(items) - written.left_out)

    return BatchSink(target, encode)


def metrics(target: Target, resource: Mapping[str, str]) -> BatchSink[Snapshot]:
    """For metrics; a batch is one snapshot."""
    whose = scopes.resource_of(resource)

    def encode(items: Sequence[Snapshot], _: threading.Event) -> Encoded:
        wrapped = ScopeMetrics(scope=scopes.SCOPE, schema_url=conventions.SCHEMA_URL)
        wrapped.metrics.extend(snapshots.metrics_of(items[-1]))
        resources = ResourceMetrics(resource=whose, schema_url=conventions.SCHEMA_URL)
        resources.scope_metrics.append(wrapped)
        request = ExportMetricsServiceRequest(resource_metrics=[resources])
        return Encoded(bytes(request.SerializeToString()), len(items))

    return BatchSink(target, encode)
