"""The tools that the MCP conformance suite expects of a server, by their fixed names.

Names, arguments and answers are the suite's (npm `@modelcontextprotocol/conformance`); served by
`tests.peers.conformance_server`.
"""

import json
from collections.abc import Awaitable, Callable

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError

Context = ServerRequestContext[dict[str, object], object]
Answer = types.CallToolResult | types.InputRequiredResult
Behaviour = Callable[[Context, types.CallToolRequestParams], Awaitable[Answer]]

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8"
    "z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
PAUSE_S = 0.05

BUS = InMemorySubscriptionBus()
TOOLS: dict[str, types.Tool] = {}
BEHAVIOURS: dict[str, Behaviour] = {}


def tool(
    name: str, description: str, schema: dict[str, object] | None = None
) -> Callable[[Behaviour], Behaviour]:
    """Serve the decorated function as the tool `name`; without a schema it takes no arguments."""

    def register(behaviour: Behaviour) -> Behaviour:
        TOOLS[name] = types.Tool(
            name=name,
            description=description,
            input_schema=schema or {"type": "object", "properties": {}},
        )
        BEHAVIOURS[name] = behaviour
        return behaviour

    return register


def object_of(properties: dict[str, object], *required: str) -> dict[str, object]:
    """A JSON Schema of an object."""
    return {"type": "object", "properties": properties, "required": list(required)}


def text_block(text: str) -> types.TextContent:
    """A text block."""
    return types.TextContent(text=text)


def said(text: str) -> types.CallToolResult:
    """A complete result of one text."""
    return types.CallToolResult(content=[text_block(text)])


def embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    """A text resource inside a result or a prompt."""
    return types.EmbeddedResource(
        resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    )


def form(message: str, properties: dict[str, object]) -> types.ElicitRequest:
    """A form of which every field is required."""
    return types.ElicitRequest(
        params=types.ElicitRequestFormParams(
            message=message, requested_schema=object_of(properties, *properties)
        )
    )


def sampling(text: str, max_tokens: int) -> types.CreateMessageRequest:
    """A question to the client's model."""
    message = types.SamplingMessage(role="user", content=text_block(text))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


# Content ----------------------------------------------------------------------------------------


@tool("test_simple_text", "Answers with one fixed text")
async def _simple_text(_: Context, __: types.CallToolRequestParams) -> Answer:
    return said("This is a simple text response for testing.")


@tool("test_image_content", "Answers with an image of one pixel")
async def _image(_: Context, __: types.CallToolRequestParams) -> Answer:
    return types.CallToolResult(content=[types.ImageContent(data=PNG, mime_type="image/png")])


@tool("test_audio_content", "Answers with an empty sound")
async def _audio(_: Context, __: types.CallToolRequestParams) -> Answer:
    return types.CallToolResult(content=[types.AudioContent(data=WAV, mime_type="audio/wav")])


@tool("test_embedded_resource", "Answers with a resource inside the result")
async def _embedded(_: Context, __: types.CallToolRequestParams) -> Answer:
    resource = embedded(
        "test://embedded-resource", "text/plain", "This is an embedded resource content."
    )
    return types.CallToolResult(content=[resource])


@tool("test_multiple_content_types", "Answers with a text, an image and a resource")
async def _multiple(_: Context, __: types.CallToolRequestParams) -> Answer:
    resource = embedded(
        "test://mixed-content-resource",
        "application/json",
        json.dumps({"test": "data", "value": 123}),
    )
    image = types.ImageContent(data=PNG, mime_type="image/png")
    return types.CallToolResult(
        content=[text_block("Multiple content types test:"), image, resource]
    )


@tool("test_error_handling", "Always fails")
async def _error(_: Context, __: types.CallToolRequestParams) -> Answer:
    text = "This tool intentionally returns an error for testing"
    return types.CallToolResult(content=[text_block(text)], is_error=True)


_ADDRESS = {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}}}


@tool(
    "json_schema_2020_12_tool",
    "Has a schema with the words that are easily lost",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": _ADDRESS},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def _json_schema(_: Context, params: types.CallToolRequestParams) -> Answer:
    return said(json.dumps(params.arguments))


@tool(
    "test_header_param",
    "Takes an argument that clients repeat in a header",
    object_of({"region": {"type": "string", "x-mcp-header": "Region"}}, "region"),
)
async def _header_param(_: Context, params: types.CallToolRequestParams) -> Answer:
    return said(f"region: {(params.arguments or {}).get('region')}")


# Messages before the answer ---------------------------------------------------------------------


@tool("test_tool_with_progress", "Reports progress three times")
async def _progress(context: Context, _: types.CallToolRequestParams) -> Answer:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await anyio.sleep(PAUSE_S)
    return said("progress reported")


@tool("test_tool_with_logging", "Logs three lines")
@tool("test_logging_tool", "Logs three lines where the caller asked for them")
async def _logging(context: Context, _: types.CallToolRequestParams) -> Answer:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_log_message(  # type: ignore[deprecated]  # old, not gone
            "info", line, related_request_id=context.request_id
        )
        await anyio.sleep(PAUSE_S)
    return said("logged")


@tool("test_reconnection", "Closes its stream in mid-call; the answer waits for a reconnection")
async def _reconnection(context: Context, _: types.CallToolRequestParams) -> Answer:
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await anyio.sleep(2 * PAUSE_S)
    return said("answered after the stream was closed")


@tool("test_trigger_tool_change", "Announces a changed list of tools")
async def _tool_change(_: Context, __: types.CallToolRequestParams) -> Answer:
    await BUS.publish(ToolsListChanged())
    return said("announced")


@tool("test_trigger_prompt_change", "Announces a changed list of prompts")
async def _prompt_change(_: Context, __: types.CallToolRequestParams) -> Answer:
    await BUS.publish(PromptsListChanged())
    return said("announced")


# Requests to the client, legacy -----------------------------------------------------------------


async def _elicited(context: Context, message: str, schema: dict[str, object]) -> str:
    answer = await context.session.elicit_form(message, schema, context.request_id)
    return f"action={answer.action}, content={json.dumps(answer.content)}"


@tool(
    "test_sampling", "Asks the client's model", object_of({"prompt": {"type": "string"}}, "prompt")
)
async def _sampling(context: Context, params: types.CallToolRequestParams) -> Answer:
    prompt = str((params.arguments or {}).get("prompt"))
    answer = await context.session.create_message(  # type: ignore[deprecated]  # old, not gone
        [types.SamplingMessage(role="user", content=text_block(prompt))],
        max_tokens=100,
        related_request_id=context.request_id,
    )
    return said(f"LLM response: {getattr(answer.content, 'text', '')}")


@tool("test_elicitation", "Asks the user", object_of({"message": {"type": "string"}}, "message"))
async def _elicitation(context: Context, params: types.CallToolRequestParams) -> Answer:
    fields: dict[str, object] = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    message = str((params.arguments or {}).get("message"))
    outcome = await _elicited(context, message, object_of(fields, "username", "email"))
    return said(f"User response: {outcome}")


@tool("test_elicitation_sep1034_defaults", "Asks with a default for every primitive type")
async def _defaults(context: Context, _: types.CallToolRequestParams) -> Answer:
    fields: dict[str, object] = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    }
    outcome = await _elicited(context, "Please look at the defaults", object_of(fields))
    return said(f"Elicitation completed: {outcome}")


def _titled(titles: dict[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titles.items()]


@tool("test_elicitation_sep1330_enums", "Asks with every way of writing an enumeration")
async def _enums(context: Context, _: types.CallToolRequestParams) -> Answer:
    plain = ["option1", "option2", "option3"]
    options = {"value1": "First Option", "value2": "Second Option", "value3": "Third Option"}
    choices = {"value1": "First Choice", "value2": "Second Choice", "value3": "Third Choice"}
    fields: dict[str, object] = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": _titled(options)},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": _titled(choices)}},
    }
    outcome = await _elicited(context, "Please choose", object_of(fields))
    return said(f"Elicitation completed: {outcome}")


# Requests to the client, modern: results that ask for input --------------------------------------


def _declares(context: Context, capability: str) -> bool:
    declared = context.session.client_capabilities
    return declared is not None and getattr(declared, capability) is not None


@tool("test_missing_capability", "Runs only for clients that declare sampling")
async def _missing_capability(context: Context, _: types.CallToolRequestParams) -> Answer:
    if not _declares(context, "sampling"):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "this tool needs the client's sampling capability",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return said("the client can sample")


def _asking(
    name: str, description: str, state: str | None, **questions: types.InputRequest
) -> None:
    """Serve a tool that asks `questions` until all are answered, `state` being in the right hand.

    The state is sealed by the server's request-state boundary; a tampered one never comes here.
    """

    async def behaviour(_: Context, params: types.CallToolRequestParams) -> Answer:
        given = params.input_responses or {}
        if questions.keys() <= given.keys() and params.request_state == state:
            return said(f"state-ok {summary(given)}")
        return types.InputRequiredResult(input_requests=questions, request_state=state)

    tool(name, description)(behaviour)


def summary(given: types.InputResponses) -> str:
    """The client's answers on one line."""
    return "; ".join(f"{key}: {answer.model_dump_json()}" for key, answer in given.items())


_NAME: dict[str, object] = {"name": {"type": "string"}}
_OK: dict[str, object] = {"ok": {"type": "boolean"}}
_FRANCE = "What is the capital of France?"
_asking("test_input_required_result_elicitation", "Asks for a name", None,
        user_name=form("What is your name?", _NAME))  # fmt: skip
_asking("test_streaming_elicitation", "Asks for a name, on a stream if there is one", None,
        user_name=form("What is your name?", _NAME))  # fmt: skip
_asking("test_input_required_result_sampling", "Asks the client's model", None,
        capital_question=sampling(_FRANCE, 100))  # fmt: skip
_asking("test_input_required_result_list_roots", "Asks for the client's roots", None,
        client_roots=types.ListRootsRequest(params=types.RequestParams()))  # fmt: skip
_asking("test_input_required_result_request_state", "Asks, and wants its state back", "confirming",
        confirm=form("Please confirm", _OK))  # fmt: skip
_asking("test_input_required_result_tampered_state", "Refuses a changed state", "confirming",
        confirm=form("Please confirm", _OK))  # fmt: skip
_asking("test_input_required_result_multiple_inputs", "Asks three things at once", "three",
        user_name=form("What is your name?", _NAME), greeting=sampling("Generate a greeting", 50),
        client_roots=types.ListRootsRequest(params=types.RequestParams()))  # fmt: skip


@tool("test_input_required_result_multi_round", "Asks for a name, then for a color")
async def _multi_round(_: Context, params: types.CallToolRequestParams) -> Answer:
    given = params.input_responses or {}
    if params.request_state == "second" and "step2" in given:
        return said(f"both rounds done: {summary(given)}")
    if params.request_state in {"first", "second"} and ("step1" in given or "step2" in given):
        color: dict[str, object] = {"color": {"type": "string"}}
        return types.InputRequiredResult(
            input_requests={"step2": form("Step 2: What is your favorite color?", color)},
            request_state="second",
        )
    return types.InputRequiredResult(
        input_requests={"step1": form("Step 1: What is your name?", _NAME)}, request_state="first"
    )


@tool("test_input_required_result_capabilities", "Asks only what the client declares")
async def _capabilities(context: Context, params: types.CallToolRequestParams) -> Answer:
    if params.input_responses:
        return said(summary(params.input_responses))
    possible: dict[str, types.InputRequest] = {
        "sampling": sampling(_FRANCE, 100),
        "elicitation": form("What is your name?", _NAME),
        "roots": types.ListRootsRequest(params=types.RequestParams()),
    }
    asked = {name: request for name, request in possible.items() if _declares(context, name)}
    if not asked:
        return said("the client declares nothing that could be asked")
    return types.InputRequiredResult(input_requests=asked)
