"""What log records and metrics are wrapped in: whose they are, and what made them."""

from collections.abc import Mapping
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from mesh7_core import names

SCOPE: Final = InstrumentationScope(name="mesh7", version=names.RELEASE)


def attributes(said: Mapping[str, str]) -> list[KeyValue]:
    """As OTLP has them."""
    return [KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in said.items()]


def resource_of(said: Mapping[str, str]) -> Resource:
    """Exactly these."""
    return Resource(attributes=attributes(said))
