"""Whether what a source answered is the answer to what it was asked, and what it contains.

An answer carries the id asked for, of the same type, and one object as result or one proper error
(promises D13, AG18). Results are not judged by strict JSON: a tool may well return half a
surrogate pair or NaN, and its bytes pass; then only the envelope is read, by scanning.
Pure: no clock, no network, no logging.
"""

from typing import Final

import jiter

from mesh7_sidecar.wire import jsonrpc, meta, splice
from mesh7_sidecar.wire.jsonrpc import Kind, Malformed, Message

_PLAIN_KEYS: Final = 3
_STRICT_BYTES: Final = 256 * 1024
"""Beyond it the envelope is scanned, not parsed: a large result would become many objects."""

_META_PATH: Final = ("result", "_meta")
_READ: Final = frozenset({"_meta", "inputRequests", "isError", "resultType"})
_ENVELOPE: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})


class Fit:
    """An answer that may go on.

    Attributes:
        body: what goes on; the very object that was given when nothing had to change.
        is_protocol_error: a JSON-RPC error; `code` is its code as text, if it could be read.
        is_tool_error: a result with `isError: true`.
        result_type: of a modern result (`complete`, `input_required`, `task`, …), else empty.
        input_methods: what an `input_required` result asks back for, each method once, sorted;
            to be judged like requests of the server.
        result: the parsed result; None for an error and for one that was only scanned.
    """

    __slots__ = (
        "body", "code", "input_methods", "is_protocol_error", "is_tool_error", "result",
        "result_type",
    )  # fmt: skip

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.code = ""
        self.is_protocol_error = False
        self.is_tool_error = False
        self.result_type = ""
        self.input_methods: tuple[str, ...] = ()
        self.result: dict[str, object] | None = None


class Unfit:
    """An answer that must not go on.

    Attributes:
        what: completes "source `x` …", without an address or a value.
    """

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


def check(body: bytes, wanted: int | str) -> Fit | Unfit:
    """Read one answer; `wanted` is the id that was sent upstream."""
    if len(body) <= _STRICT_BYTES:
        fit = _check_plain(body, wanted)
        if fit is not None:
            return fit
        message = jsonrpc.parse(body)
        if isinstance(message, Message):
            return _check_message(message, wanted)
        if message.code != jsonrpc.PARSE_ERROR:
            return Unfit("answered with something that is not a JSON-RPC response")
    return _check_scanned(body, wanted)


def kind_of(body: bytes) -> Kind | None:
    """What a message from a source is, by its keys; None when it is no envelope.

    A request is never an answer, whatever its id: what has a `method` is not looked up.
    """
    fields = _scan(body, 0, _ENVELOPE)
    if fields is None:
        return None
    if "method" in fields:
        return Kind.REQUEST if "id" in fields else Kind.NOTIFICATION
    return Kind.RESPONSE if "result" in fields or "error" in fields else None


def _check_plain(body: bytes, wanted: int | str) -> Fit | None:
    """The usual answer, at half the cost: just a version, the id asked for, and a plain result.

    None when there is anything else to it; then the slower ways judge.
    """
    try:
        value = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError:
        return None
    if type(value) is not dict or len(value) != _PLAIN_KEYS or value.get("jsonrpc") != "2.0":
        return None
    result, given = value.get("result"), value.get("id")
    if type(result) is not dict or given != wanted or type(given) is not type(wanted):
        return None
    if "inputRequests" in result or "_meta" in result:
        return None
    fit = Fit(body)
    fit.result = result
    fit.is_tool_error = result.get("isError") is True
    kind = result.get("resultType")
    fit.result_type = kind if isinstance(kind, str) else ""
    return fit


def _check_message(message: Message, wanted: int | str) -> Fit | Unfit:
    if message.kind is not Kind.RESPONSE:
        return Unfit("sent a request where its answer was due")
    if not _is_same_id(message.id, wanted):
        return Unfit("answered another request than the one it was asked")
    fit = Fit(meta.without_ours(message))
    result = fit.result = message.result
    if result is None:
        fit.is_protocol_error = True
        fit.code = str(message.error["code"]) if message.error is not None else ""
        return fit
    fit.is_tool_error = result.get("isError") is True
    kind = result.get("resultType")
    fit.result_type = kind if isinstance(kind, str) else ""
    methods = _input_methods(result.get("inputRequests"))
    if methods is None:
        return Unfit("asked for input in a form that is not the protocol's")
    fit.input_methods = methods
    return fit


def _check_scanned(body: bytes, wanted: int | str) -> Fit | Unfit:
    """The same by scanning; what policy would have to look into is then refused."""
    fields = _scan(body, 0, _ENVELOPE)
    if fields is None or not _is_text(body) or "method" in fields or "params" in fields:
        return Unfit("answered with something that is not a JSON-RPC response")
    if fields.get("jsonrpc") is None or _bytes(body, fields["jsonrpc"]) != b'"2.0"':
        return Unfit("answered with something that is not a JSON-RPC response")
    if "id" not in fields or not _is_same_id(_scalar(_bytes(body, fields["id"])), wanted):
        return Unfit("answered another request than the one it was asked")
    if ("result" in fields) == ("error" in fields):
        return Unfit("answered with neither or both of a result and an error")
    fit = Fit(body)
    if "error" in fields:
        fit.is_protocol_error = True
        return fit if body[fields["error"][0]] == ord("{") else Unfit("sent an improper error")
    result = _scan(body, fields["result"][0], _READ)
    if result is None or "inputRequests" in result:
        return Unfit("answered with a result that cannot be read strictly")
    fit.is_tool_error = "isError" in result and _bytes(body, result["isError"]) == b"true"
    kind = _scalar(_bytes(body, result["resultType"])) if "resultType" in result else ""
    fit.result_type = kind if isinstance(kind, str) else ""
    fit.body = splice.remove_own_meta(body, _META_PATH)
    return fit


def _scan(body: bytes, start: int, known: frozenset[str]) -> dict[str, tuple[int, int]] | None:
    """Where the known members of the object at `start` stand.

    None when it is no object, does not end where it should, or has a known key twice or in a
    spelling that a case-folding reader takes for it.
    """
    if start == 0:
        whole = splice.span(body, ())
        if whole is None or body[whole[1] :].strip(b" \t\r\n"):
            return None
        start = whole[0]
    if body[start : start + 1] != b"{":
        return None
    lowered = {name.casefold() for name in known}
    found: dict[str, tuple[int, int]] = {}
    for member in splice.members(body, start):
        if member.key.casefold() not in lowered:
            continue
        if member.key in found or member.key not in known:
            return None
        found[member.key] = (member.value_start, member.value_end)
    return found


def _input_methods(requests: object) -> tuple[str, ...] | None:
    if requests is None:
        return ()
    if not isinstance(requests, dict):
        return None
    methods: set[str] = set()
    for request in requests.values():
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str):
            return None
        methods.add(method)
    return tuple(sorted(methods))


def _is_same_id(given: object, wanted: int | str) -> bool:
    return type(given) is type(wanted) and given == wanted


def _scalar(raw: bytes) -> object:
    value = jsonrpc.parse_json(raw)
    return None if isinstance(value, Malformed) else value


def _bytes(body: bytes, place: tuple[int, int]) -> bytes:
    return body[place[0] : place[1]]


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeError:
        return False
    return True
