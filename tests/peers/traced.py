"""An agent and a tool server on `mcp` 2.x whose own spans go to a real backend.

    python -m tests.peers.traced agent COLLECTOR URL TOOL ARGUMENTS
    python -m tests.peers.traced tools COLLECTOR FD

COLLECTOR is where OTLP over HTTP is taken. The agent makes one call within a span of its own and
prints the id of its trace, then what it got. The server has one tool, `create_refund`, at `/mcp`
on the listening socket FD; its spans are those that the SDK makes.
"""

import asyncio
import json
import socket
import sys

import uvicorn
from mcp import Client
from mcp.server import MCPServer
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

server = MCPServer("billing")


@server.tool()
def create_refund(order: str, amount: int) -> str:
    """Give money back."""
    return f"refunded {amount} for {order}"


def _trace_to(collector: str, name: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": name}))
    sent = OTLPSpanExporter(endpoint=f"{collector}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(sent))
    trace.set_tracer_provider(provider)
    return provider


async def _call(url: str, tool: str, arguments: dict[str, object]) -> str:
    async with Client(url) as client:
        result = await client.call_tool(tool, arguments)
        return "".join(getattr(block, "text", "") for block in result.content)


def _agent(collector: str, url: str, tool: str, arguments: str) -> None:
    provider = _trace_to(collector, "agent")
    with trace.get_tracer("agent").start_as_current_span("invoke_agent support") as span:
        sys.stdout.write(f"{span.get_span_context().trace_id:032x}\n")
        sys.stdout.flush()
        said = asyncio.run(_call(url, tool, json.loads(arguments)))
    sys.stdout.write(f"{said}\n")
    provider.shutdown()


def _tools(collector: str, descriptor: str) -> None:
    _trace_to(collector, "billing")
    serving = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning"))
    serving.run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    if sys.argv[1] == "agent":
        _agent(*sys.argv[2:6])
    else:
        _tools(*sys.argv[2:4])
