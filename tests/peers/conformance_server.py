"""Our own fixture server for the MCP conformance suite: both eras, one process, one URL.

    python -m tests.peers.conformance_server FD

serves `/mcp` on the listening socket FD with the SDK's low-level server. What is served by which
name is the suite's wish; `tests.peers.conformance` runs the suite.
"""

import json
import re
import socket
import sys
import warnings

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from typing_extensions import override

from tests.peers import conformance_tools as tools

_PREFIX = "test://template/"
_TEMPLATE = re.compile(r"test://template/([^/]+)/data")
_RETRY_MS = 500

Context = tools.Context
Page = types.PaginatedRequestParams | None


class RecentEvents(EventStore):
    """Remembers every event of the process, in order, so that a lost stream can be resumed."""

    def __init__(self) -> None:
        self._events: list[tuple[str, types.JSONRPCMessage | None]] = []

    @override
    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        """Answer the event's id: its place in the order."""
        self._events.append((stream_id, message))
        return str(len(self._events) - 1)

    @override
    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send what followed on the same stream; None when the id is not one of ours."""
        if not last_event_id.isdecimal() or int(last_event_id) >= len(self._events):
            return None
        stream = self._events[int(last_event_id)][0]
        for place in range(int(last_event_id) + 1, len(self._events)):
            owner, message = self._events[place]
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(place)))
        return stream


async def list_tools(_: Context, __: Page) -> types.ListToolsResult:
    """All tools, in the order in which they are written."""
    return types.ListToolsResult(tools=list(tools.TOOLS.values()))


async def call_tool(context: Context, params: types.CallToolRequestParams) -> tools.Answer:
    """Run a tool; an unknown one is an error result."""
    behaviour = tools.BEHAVIOURS.get(params.name)
    if behaviour is None:
        text = tools.text_block(f"unknown tool {params.name}")
        return types.CallToolResult(content=[text], is_error=True)
    return await behaviour(context, params)


async def list_resources(_: Context, __: Page) -> types.ListResourcesResult:
    """The three resources without parameters."""
    described = {"static-text": "text/plain", "static-binary": "image/png",
                 "watched-resource": "text/plain"}  # fmt: skip
    resources = [
        types.Resource(uri=f"test://{name}", name=name, description=f"The {name}", mime_type=mime)
        for name, mime in described.items()
    ]
    return types.ListResourcesResult(resources=resources)


async def list_templates(_: Context, __: Page) -> types.ListResourceTemplatesResult:
    """The one resource template."""
    template = types.ResourceTemplate(
        uri_template=_PREFIX + "{id}/data",
        name="template",
        description="A resource with a parameter",
        mime_type="application/json",
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


def _contents(uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
    if uri == "test://static-binary":
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=tools.PNG)
    if (match := _TEMPLATE.fullmatch(uri)) is not None:
        filled = {"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"}
        text, mime_type = json.dumps(filled), "application/json"
    elif uri in {"test://static-text", "test://watched-resource"}:
        text, mime_type = "This is the content of the static text resource.", "text/plain"
    else:
        return None
    return types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)


async def read_resource(
    _: Context, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    """One resource by its URI."""
    contents = _contents(str(params.uri))
    if contents is None:
        raise MCPError(types.INVALID_PARAMS, "resource not found", {"uri": str(params.uri)})
    return types.ReadResourceResult(contents=[contents])


async def subscribe(_: Context, __: types.SubscribeRequestParams) -> types.EmptyResult:
    """Accept; nothing ever changes."""
    return types.EmptyResult()


async def unsubscribe(_: Context, __: types.UnsubscribeRequestParams) -> types.EmptyResult:
    """Accept."""
    return types.EmptyResult()


_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def list_prompts(_: Context, __: Page) -> types.ListPromptsResult:
    """All prompts with their arguments, every one required."""
    prompts = [
        types.Prompt(
            name=name,
            description=f"The prompt {name}",
            arguments=[
                types.PromptArgument(name=argument, description=f"The {argument}", required=True)
                for argument in arguments
            ],
        )
        for name, arguments in _ARGUMENTS.items()
    ]
    return types.ListPromptsResult(prompts=prompts)


def _blocks(name: str, arguments: dict[str, str]) -> list[types.ContentBlock]:
    if name == "test_simple_prompt":
        return [tools.text_block("This is a simple prompt for testing.")]
    if name == "test_prompt_with_arguments":
        given = ", ".join(f"{key}='{arguments.get(key)}'" for key in _ARGUMENTS[name])
        return [tools.text_block(f"Prompt with arguments: {given}")]
    if name == "test_prompt_with_embedded_resource":
        text = "Embedded resource content for testing."
        return [
            tools.embedded(arguments["resourceUri"], "text/plain", text),
            tools.text_block("Please process the embedded resource above."),
        ]
    image = types.ImageContent(data=tools.PNG, mime_type="image/png")
    return [image, tools.text_block("Please analyze the image above.")]


async def get_prompt(
    _: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    """One prompt; one of them asks the user first."""
    if params.name not in _ARGUMENTS:
        raise MCPError(types.INVALID_PARAMS, f"unknown prompt {params.name}")
    if params.name == "test_input_required_result_prompt":
        given = params.input_responses or {}
        question = tools.form(
            "What context should the prompt use?", {"context": {"type": "string"}}
        )
        if "user_context" not in given:
            return types.InputRequiredResult(input_requests={"user_context": question})
        blocks: list[types.ContentBlock] = [tools.text_block(tools.summary(given))]
    else:
        blocks = _blocks(params.name, dict(params.arguments or {}))
    messages = [types.PromptMessage(role="user", content=block) for block in blocks]
    return types.GetPromptResult(messages=messages)


async def complete(_: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    """Three words that continue what was typed."""
    values = [params.argument.value + ending for ending in ("", "a", "b")]
    return types.CompleteResult(completion=types.Completion(values=values, total=3, has_more=False))


async def set_level(_: Context, __: types.SetLevelRequestParams) -> types.EmptyResult:
    """Accept; everything is logged anyway."""
    return types.EmptyResult()


def build_server() -> Server[dict[str, object]]:
    """The server with every family, request states sealed and subscriptions served."""
    server: Server[dict[str, object]] = Server(  # type: ignore[deprecated]  # logging: old, not gone
        "mesh7-conformance-fixture",
        version="1.0.0",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(tools.BUS),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=set_level,
    )
    boundary = RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="fixture")
    server.middleware.append(boundary)
    return server


def main() -> None:
    """Serve on the inherited socket until killed."""
    warnings.simplefilter(
        "ignore", MCPDeprecationWarning
    )  # the suite asks for the old revision too
    app = build_server().streamable_http_app(event_store=RecentEvents(), retry_interval=_RETRY_MS)
    # h11, for httptools leaves the blanks behind a header's value, and the suite looks for that.
    serving = uvicorn.Server(uvicorn.Config(app, log_level="warning", http="h11"))
    serving.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
