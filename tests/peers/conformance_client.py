"""Our own client for the conformance suite's client scenarios that need no authorization.

    python -m tests.peers.conformance_client URL

The suite names the scenario and the revision in the environment. One behaviour serves nearly all
scenarios: use everything that the server offers, and answer every question with its defaults.
"""

import asyncio
import json
import os
import sys
import warnings
from collections.abc import Awaitable, Mapping

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning
from pydantic import ValidationError

_MODERN = "2026-07-28"
# Scenario servers answer what they do not serve with errors, or with results of the wrong shape.
_REFUSALS = (MCPError, ValidationError)
_SAMPLES: Mapping[str, object] = {
    "string": "sample", "number": 1, "integer": 1, "boolean": True, "array": [], "object": {},
    "null": None,
}  # fmt: skip


async def answer(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult:
    """Accept, with the form's defaults where it has some."""
    del context
    schema = params.requested_schema if isinstance(params, types.ElicitRequestFormParams) else {}
    return types.ElicitResult.model_validate({"action": "accept", "content": filled(schema)})


def filled(schema: Mapping[str, object]) -> dict[str, object]:
    """A value for every property of an object's schema."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _sample(each) for name, each in properties.items() if isinstance(each, dict)}


def _sample(schema: Mapping[str, object]) -> object:
    if "default" in schema:
        return schema["default"]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    return _SAMPLES.get(str(schema.get("type")), "sample")


async def use_everything(client: Client) -> None:
    """List and use tools, resources and prompts; what the server does not offer is passed over."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    tools = await client.list_tools()
    wanted = {each["name"]: each["arguments"] for each in context.get("toolCalls", [])}
    calls = [
        client.call_tool(tool.name, wanted.get(tool.name, filled(tool.input_schema)))
        for tool in tools.tools
    ]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, _REFUSALS):
            raise outcome
    await _tolerant(_read_all(client))
    await _tolerant(_get_all(client))


async def _read_all(client: Client) -> None:
    for resource in (await client.list_resources()).resources:
        await client.read_resource(resource.uri)


async def _get_all(client: Client) -> None:
    for prompt in (await client.list_prompts()).prompts:
        arguments = {argument.name: "sample" for argument in prompt.arguments or ()}
        await client.get_prompt(prompt.name, arguments)


async def _tolerant(asking: Awaitable[None]) -> None:
    try:
        await asking
    except _REFUSALS as error:
        print(f"not offered: {error}", file=sys.stderr)  # noqa: T201


async def main() -> None:
    """Connect in the era of the scenario's revision and use everything."""
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    is_modern = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", _MODERN) >= _MODERN
    mode = "auto" if is_modern else "legacy"
    async with Client(sys.argv[1], mode=mode, elicitation_callback=answer) as client:
        await use_everything(client)


if __name__ == "__main__":
    asyncio.run(main())
