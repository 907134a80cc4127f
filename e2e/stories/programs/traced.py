"""Another program, whose spans and those of its MCP SDK go to a collector.

python3 traced.py NAME PROGRAM [ARGUMENT]...

OTEL_EXPORTER_OTLP_ENDPOINT   where OTLP over HTTP is taken
ROOT                          the name of a span around the whole program; without it none
"""

import contextlib
import os
import runpy
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

_, name, *sys.argv = sys.argv
provider = TracerProvider(resource=Resource({"service.name": name}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
with contextlib.ExitStack() as around:
    if "ROOT" in os.environ:
        around.enter_context(trace.get_tracer(name).start_as_current_span(os.environ["ROOT"]))
    runpy.run_path(sys.argv[0], run_name="__main__")
provider.shutdown()
