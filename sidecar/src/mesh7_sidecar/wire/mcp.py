"""What an agent's message asks for, in either MCP era, decided on the body alone.

Headers never decide: where a message has them they must say what the body says (promise X1). The
era is the body's too: a `_meta` with the modern envelope is modern whatever the version header
claims, and is refused unless the header claims the same. Constants are the specification's;
tests hold them against the SDK's. Pure: no clock, no network, no logging.
"""

from enum import IntEnum
from typing import Final

from mesh7_core.policy.calls import Family
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.wire import headers, jsonrpc, names, uris
from mesh7_sidecar.wire.jsonrpc import Malformed, Message

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

MODERN_VERSIONS: Final = ("2026-07-28",)
LEGACY_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

MAXIMUM_META_KEYS: Final = 256
"""It is edited key by key where eras meet, and a quarter of a million would stop everybody."""
_LISTEN_KEYS: Final = frozenset({
    "promptsListChanged", "resourceSubscriptions", "resourcesListChanged", "taskIds",
    "toolsListChanged",
})  # fmt: skip
_REFERENCE_KEYS: Final = frozenset({"name", "title", "type", "uri"})


class Kind(IntEnum):
    """What a message asks for; a closed set, for the doors to match on."""

    TOOL_CALL = 1
    READ = 2
    """`resources/read`: `name` is the canonical URI."""
    PROMPT = 3
    LIST = 4
    """One page of the list that `method` and `family` name."""
    SUBSCRIBE = 5
    """Legacy `resources/subscribe` and `resources/unsubscribe`: `name` as in READ."""
    COMPLETE = 6
    """`completion/complete` for the prompt or resource (template) `name` of `family`."""
    INITIALIZE = 7
    DISCOVER = 8
    LISTEN = 9
    """Modern `subscriptions/listen`; see `listened_resources`."""
    TASK = 10
    """Modern `tasks/get|update|cancel`: `name` is the task id, to be bound to its owner."""
    PASS = 11
    """Legacy `ping` and `logging/setLevel`: nothing to judge."""
    NOTICE = 12
    """A legacy notification to forward."""
    IGNORED = 13
    """A notification to accept with 202 and forget."""
    ANSWER = 14
    """A legacy client's response to a server's request; `message.id` says which."""


class Routing:
    """The headers that repeat what the body says. Equal heads give equal values: cache at will.

    Attributes:
        version: `MCP-Protocol-Version`, None when absent; `method` and `name` likewise.
        name: decoded; `name_is_bad` when it was there and could not be.
        duplicated: a routing header that came more than once, None when none did.
        params: the `Mcp-Param-*` headers, as received.
    """

    __slots__ = ("duplicated", "method", "name", "name_is_bad", "params", "version")

    def __init__(self) -> None:
        self.version: str | None = None
        self.method: str | None = None
        self.name: str | None = None
        self.name_is_bad = False
        self.duplicated: str | None = None
        self.params: headers.HeaderList = []


def read_routing(received: headers.HeaderList) -> Routing:
    """Pick the routing headers out of a request's head."""
    routing = Routing()
    seen: set[bytes] = set()
    for name, value in received:
        if not name.startswith(b"mcp-"):
            continue
        if name.startswith(headers.PARAM_PREFIX):
            routing.params.append((name, value))
            continue
        if name in seen:
            routing.duplicated = name.decode("latin-1")
        seen.add(name)
        if name == headers.PROTOCOL_VERSION:
            routing.version = value.decode("latin-1")
        elif name == headers.METHOD:
            routing.method = value.decode("latin-1")
        elif name == headers.NAME:
            routing.name = headers.decode_value(value)
            routing.name_is_bad = routing.name is None
    return routing


class Asked:
    """What one message asks for. A plain slotted class: made on every call (design 13).

    Attributes:
        is_modern: the era to answer in.
        version: the revision the message names; empty on a legacy one without the header.
        family: of what is named or listed, None when nothing is.
        name: what is named: a tool or prompt as sent, a resource's canonical URI, a task id; else
            empty.
        arguments: of a tool call or prompt, as parsed; empty when there are none.
    """

    __slots__ = ("arguments", "family", "is_modern", "kind", "message", "name", "version")

    def __init__(  # noqa: PLR0913 - one field each; a dataclass would cost five times as much
        self,
        kind: Kind,
        message: Message,
        is_modern: bool,  # noqa: FBT001 - a field, not a switch
        version: str,
        family: Family | None = None,
        name: str = "",
        arguments: dict[str, object] | None = None,
    ) -> None:
        self.kind = kind
        self.message = message
        self.is_modern = is_modern
        self.version = version
        self.family = family
        self.name = name
        self.arguments = {} if arguments is None else arguments


_Row = tuple[Kind, Family | None, str]
"""Kind, family, and the key of `params` that names the target (empty: none)."""

_BOTH_ERAS: dict[str, _Row] = {
    "tools/call": (Kind.TOOL_CALL, Family.TOOLS, "name"),
    "tools/list": (Kind.LIST, Family.TOOLS, ""),
    "prompts/get": (Kind.PROMPT, Family.PROMPTS, "name"),
    "prompts/list": (Kind.LIST, Family.PROMPTS, ""),
    "resources/read": (Kind.READ, Family.RESOURCES, "uri"),
    "resources/list": (Kind.LIST, Family.RESOURCES, ""),
    "resources/templates/list": (Kind.LIST, Family.RESOURCES, ""),
    "completion/complete": (Kind.COMPLETE, None, ""),
}
_MODERN: Final[dict[str, _Row]] = _BOTH_ERAS | {
    "server/discover": (Kind.DISCOVER, None, ""),
    "subscriptions/listen": (Kind.LISTEN, None, ""),
    "tasks/get": (Kind.TASK, None, "taskId"),
    "tasks/update": (Kind.TASK, None, "taskId"),
    "tasks/cancel": (Kind.TASK, None, "taskId"),
}
_LEGACY: Final[dict[str, _Row]] = _BOTH_ERAS | {
    "initialize": (Kind.INITIALIZE, None, ""),
    "ping": (Kind.PASS, None, ""),
    "logging/setLevel": (Kind.PASS, None, ""),
    "resources/subscribe": (Kind.SUBSCRIBE, Family.RESOURCES, "uri"),
    "resources/unsubscribe": (Kind.SUBSCRIBE, Family.RESOURCES, "uri"),
}
NAMED: Final = {method: row[2] for method, row in _MODERN.items() if row[2]}
"""Modern methods whose target the header `Mcp-Name` repeats, and the key of `params` it has."""
_FORWARDED_NOTICES: Final = frozenset({
    "notifications/cancelled", "notifications/initialized", "notifications/progress",
    "notifications/roots/list_changed",
})  # fmt: skip
_TOOL_CALL = Kind.TOOL_CALL  # a global is found 30 ns sooner than a member of an enumeration


def classify(message: Message, routing: Routing) -> Asked | Malformed:
    """What `message` asks for, or the protocol error that answers it.

    Rungs: no routing header twice → the era of the body, and of the header where the body has no
    say → modern: envelope complete, headers equal to the body, version served → method known in
    that era → target named properly. Statuses follow the era: modern answers 404 and 400, legacy
    200 where the message itself was well-formed.
    """
    if routing.duplicated is not None:
        return _mismatch(message, f"the header `{routing.duplicated}` must not come twice")
    if message.kind is not jsonrpc.Kind.REQUEST:
        if message.kind is jsonrpc.Kind.RESPONSE:
            return _classify_response(message, routing)
        return _classify_notification(message, routing)
    meta = message.params.get("_meta")
    if meta is None:
        meta = {}
    elif not isinstance(meta, dict):
        return _bad_params(message, "`_meta` must be an object", is_modern=True)
    if len(meta) > MAXIMUM_META_KEYS:
        text = f"`_meta` must have at most {MAXIMUM_META_KEYS} keys"
        return _bad_params(message, text, is_modern=True)
    if META_VERSION in meta or META_CAPABILITIES in meta:
        return _classify_modern(message, meta, routing)
    if routing.version is not None and routing.version not in LEGACY_VERSIONS:
        return _classify_modern(message, meta, routing)
    return _classify_legacy(message, routing)


def listened_resources(message: Message) -> tuple[str, ...] | Malformed:
    """Canonical URIs that a `subscriptions/listen` wants news of, often none."""
    wanted = message.params.get("notifications")
    if not isinstance(wanted, dict):
        return _bad_params(message, "`notifications` must be an object", is_modern=True)
    if (twin := jsonrpc.folded_twin(wanted, _LISTEN_KEYS)) is not None:
        text = f"a key of `notifications` must be spelled `{twin}`"
        return _bad_params(message, text, is_modern=True)
    uris_wanted = wanted.get("resourceSubscriptions")
    if uris_wanted is None:
        return ()
    found = [
        uris.canonical(uri) if isinstance(uri, str) else None
        for uri in (uris_wanted if isinstance(uris_wanted, list) else [None])
    ]
    if None in found:
        return _bad_params(
            message, "`resourceSubscriptions` must be a list of plain URIs", is_modern=True
        )
    return tuple(uri for uri in found if uri is not None)


def _classify_modern(
    message: Message, meta: dict[str, object], routing: Routing
) -> Asked | Malformed:
    """The ladder of 2026-07-28; same rungs in the same order as the reference implementation."""
    if META_VERSION not in meta or META_CAPABILITIES not in meta:
        absent = META_CAPABILITIES if META_VERSION in meta else META_VERSION
        return _bad_params(message, f"`params._meta` must have `{absent}`", is_modern=True)
    version = meta[META_VERSION]
    row = _MODERN.get(message.method)
    if routing.version is None or routing.version != version:
        return _mismatch(
            message, f"the header `MCP-Protocol-Version` must be the body's `{META_VERSION}`"
        )
    if routing.method != message.method:
        return _mismatch(message, "the header `Mcp-Method` must be the body's `method`")
    if row is not None and row[2]:
        named = message.params.get(row[2])
        if named is not None and routing.name != named:
            return _mismatch(message, f"the header `Mcp-Name` must be the body's `{row[2]}`")
    if routing.version not in MODERN_VERSIONS:
        return _unsupported(message, routing.version)
    if row is None:
        return _unknown_method(message, status=404)
    return _read(message, row, is_modern=True, version=routing.version)


def _classify_legacy(message: Message, routing: Routing) -> Asked | Malformed:
    """Handshake revisions have no routing headers; one that is there all the same must be true."""
    row = _LEGACY.get(message.method)
    if routing.method is not None and routing.method != message.method:
        return _mismatch(message, "the header `Mcp-Method` must be the body's `method`")
    if (
        row is not None and row[2]
        and (routing.name is not None or routing.name_is_bad)
        and routing.name != message.params.get(row[2])
    ):  # fmt: skip
        return _mismatch(message, f"the header `Mcp-Name` must be the body's `{row[2]}`")
    if row is None:
        return _unknown_method(message, status=200)
    return _read(message, row, is_modern=False, version=routing.version or "")


def _classify_notification(message: Message, routing: Routing) -> Asked | Malformed:
    """Notifications carrying a request's method execute nothing (AG4)."""
    version = routing.version
    if message.method in _MODERN or message.method in _LEGACY:
        return Malformed(
            400, jsonrpc.INVALID_REQUEST, f"`{message.method}` is a request and needs an `id`"
        )
    if version is None or version in LEGACY_VERSIONS:
        is_known = message.method in _FORWARDED_NOTICES
        return Asked(Kind.NOTICE if is_known else Kind.IGNORED, message, False, version or "")  # noqa: FBT003 - a field
    if version not in MODERN_VERSIONS:
        return _unsupported(message, version)
    # The revision defines none over HTTP: a client cancels by closing its response stream.
    return Asked(Kind.IGNORED, message, True, version)  # noqa: FBT003 - a field


def _classify_response(message: Message, routing: Routing) -> Asked | Malformed:
    version = routing.version
    if version is not None and version not in LEGACY_VERSIONS:
        return Malformed(
            400, jsonrpc.INVALID_REQUEST, "this protocol version has no responses from clients"
        )
    return Asked(Kind.ANSWER, message, False, version or "")  # noqa: FBT003 - a field


def _read(message: Message, row: _Row, *, is_modern: bool, version: str) -> Asked | Malformed:
    """Take the target out of `params`."""
    kind, family, key = row
    if not key:
        if kind is Kind.COMPLETE:
            return _read_completion(message, is_modern=is_modern, version=version)
        return Asked(kind, message, is_modern, version, family)
    name = message.params.get(key)
    if type(name) is not str or not name:
        return _bad_params(message, f"`{key}` must be a string and not empty", is_modern=is_modern)
    if kind is _TOOL_CALL or kind is Kind.PROMPT:
        arguments = message.params.get("arguments")
        if arguments is None:
            arguments = {}
        elif type(arguments) is not dict:
            return _bad_params(message, "`arguments` must be an object", is_modern=is_modern)
        return Asked(kind, message, is_modern, version, family, name, arguments)
    if family is Family.RESOURCES:
        canonical = uris.canonical(name)
        if canonical is None:
            return _bad_params(message, _AMBIGUOUS_URI, is_modern=is_modern)
        name = canonical
    return Asked(kind, message, is_modern, version, family, name)


def _read_completion(message: Message, *, is_modern: bool, version: str) -> Asked | Malformed:
    reference = message.params.get("ref")
    # A second name in another spelling is what another reader might complete (Go folds case).
    if isinstance(reference, dict) and jsonrpc.folded_twin(reference, _REFERENCE_KEYS) is None:
        kind, name, uri = reference.get("type"), reference.get("name"), reference.get("uri")
        if kind == "ref/prompt" and isinstance(name, str) and name and uri is None:
            return Asked(Kind.COMPLETE, message, is_modern, version, Family.PROMPTS, name)
        if kind == "ref/resource" and isinstance(uri, str) and name is None:
            canonical = uris.canonical(uri)
            if canonical is None:
                return _bad_params(message, _AMBIGUOUS_URI, is_modern=is_modern)
            return Asked(Kind.COMPLETE, message, is_modern, version, Family.RESOURCES, canonical)
    return _bad_params(message, "`ref` must name a prompt or a resource", is_modern=is_modern)


_AMBIGUOUS_URI: Final = (
    "`uri` must have a scheme, no `.` or `..` segments, no control characters,"
    " and be percent-encoded at most once"
)


def _bad_params(message: Message, text: str, *, is_modern: bool) -> Malformed:
    return Malformed(400 if is_modern else 200, jsonrpc.INVALID_PARAMS, text, message.id)


def _mismatch(message: Message, text: str) -> Malformed:
    return Malformed(400, jsonrpc.HEADER_MISMATCH, text, message.id, reason=Reason.HEADER_MISMATCH)


def _unsupported(message: Message, requested: str) -> Malformed:
    shown = names.shown(requested)
    return Malformed(
        400, jsonrpc.UNSUPPORTED_VERSION, f"protocol version `{shown}` is not supported",
        message.id, {"supported": list(MODERN_VERSIONS), "requested": shown},
    )  # fmt: skip


def _unknown_method(message: Message, *, status: int) -> Malformed:
    return Malformed(
        status, jsonrpc.METHOD_NOT_FOUND, f"unknown method `{names.shown(message.method)}`",
        message.id, reason=Reason.UNKNOWN_METHOD,
    )  # fmt: skip
