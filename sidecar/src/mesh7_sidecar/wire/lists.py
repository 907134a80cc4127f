"""Lists of tools, prompts and resources: read strictly, cut to what an agent may know.

Kept entries keep their bytes and their order; a list that has nothing to lose is returned as the
object it was (promises M2, M4, D31). Names that imitate others, and names that come twice, are
dropped and reported (M12, X20). Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from mesh7_core import errors
from mesh7_core.policy import definitions
from mesh7_sidecar.wire import jsonrpc, meta, mirrored, names, splice, uris
from mesh7_sidecar.wire.jsonrpc import Malformed

MAXIMUM_TTL_MS: Final = 5000
MAXIMUM_ENTRIES: Final = 10_000
"""Of one page: each is looked at, and everybody waits meanwhile."""

KEYS: Final = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}
"""By method: the key of the list in the result, and of the name in an entry."""

Fields = dict[str, object]


class Entry:
    """One entry of a list.

    Attributes:
        name: as listed.
        judged: what policies match: the name, or a resource's canonical URI.
        fields: as parsed.
        raw: its bytes.
    """

    __slots__ = ("fields", "judged", "name", "raw")

    def __init__(self, name: str, judged: str, fields: Fields, raw: bytes) -> None:
        self.name = name
        self.judged = judged
        self.fields = fields
        self.raw = raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """An entry that nobody gets to see; both parts are safe to print."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, read.

    Attributes:
        message: the answer it came in.
        entries: in the order listed, without the dropped ones.
        next_cursor: None on the last page.
    """

    message: jsonrpc.Message
    entries: tuple[Entry, ...]
    dropped: tuple[Dropped, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """A page that may go to the agent; `body` is the object given when nothing changed."""

    body: bytes
    dropped: tuple[Dropped, ...]


class ToolDefinition:
    """One tool as its source lists it.

    Attributes:
        name: the source's own.
        raw: the entry's bytes; what pinning digests and lists show.
        fields: as parsed, the name included.
        instructions: of the server that lists it; empty when it gives none.
        mirrored: arguments that callers must repeat as `Mcp-Param-*` headers.
    """

    __slots__ = ("_digest", "_entry", "fields", "instructions", "mirrored", "name", "raw")

    def __init__(self, entry: Entry, instructions: str = "") -> None:
        self._entry = entry
        self.name = entry.name
        self.raw = entry.raw
        self.fields = entry.fields
        self.instructions = instructions
        self.mirrored = mirrored.declared(entry.fields.get("inputSchema"))
        self._digest = ""

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits of the definition; worked out when first asked for."""
        if not self._digest:
            self._digest = definitions.digest(self.text)
        return self._digest

    @property
    def text(self) -> str:
        """The definition in canonical spelling, which the digest is of."""
        return definitions.text(self.raw, self.instructions)

    def told(self, instructions: str) -> "ToolDefinition":
        """The same tool of a server that gives other instructions."""
        return ToolDefinition(self._entry, instructions)


def read_page(body: bytes, method: str) -> Page | Malformed:
    """Read the answer to a list request.

    Returns:
        Malformed when it is not strict JSON-RPC or its list is not a list of named objects. An
        error answer is a page without entries.
    """
    message = jsonrpc.parse(body)
    if isinstance(message, Malformed):
        return message
    list_key, name_key = KEYS[method]
    result = message.result if message.result is not None else {}
    listed = result.get(list_key, [])
    cursor = result.get("nextCursor")
    if (
        not isinstance(listed, list)
        or len(listed) > MAXIMUM_ENTRIES
        or not (cursor is None or isinstance(cursor, str))
    ):
        return _unreadable(message)
    place = splice.span(body, ("result", list_key))
    places = [] if place is None else list(splice.elements(body, place[0]))
    kept: list[Entry] = []
    dropped: list[Dropped] = []
    seen: set[str] = set()
    for fields, (start, end) in zip(listed, places, strict=True):
        name = fields.get(name_key) if isinstance(fields, dict) else None
        if not isinstance(name, str):
            return _unreadable(message)
        judged, why = _judge(method, name, seen)
        if why:
            dropped.append(Dropped(name=names.shown(name), why=why))
        else:
            kept.append(Entry(name, judged, fields, body[start:end]))
        seen.add(judged)
    return Page(message=message, entries=tuple(kept), dropped=tuple(dropped), next_cursor=cursor)


def filter_list(
    body: bytes,
    method: str,
    keep: Callable[[Entry], bool],
    rename: Callable[[str], str] | None = None,
) -> Filtered | Malformed:
    """Cut a list answer to the entries that `keep` wants, and make it private.

    Args:
        body: the source's answer.
        method: the list request's, a key of `KEYS`.
        keep: asked once an entry, in order.
        rename: gives a kept entry's new name; None leaves all names.
    """
    page = read_page(body, method)
    if isinstance(page, Malformed):
        return page
    kept = [entry for entry in page.entries if keep(entry)]
    written = body
    if len(kept) < len(page.entries) or page.dropped or (kept and rename is not None):
        raws = [entry.raw if rename is None else renamed(entry, method, rename) for entry in kept]
        entries = b"[" + b",".join(raws) + b"]"
        written = splice.replace(body, ("result", KEYS[method][0]), entries)
    if page.message.result is not None:
        written = make_private(written, page.message.result)
    if meta.has_ours((page.message.result or {}).get("_meta")):
        written = splice.remove_own_meta(written, ("result", "_meta"))
    return Filtered(body=written, dropped=page.dropped)


def renamed(entry: Entry, method: str, rename: Callable[[str], str]) -> bytes:
    """The entry's bytes under another name."""
    return splice.replace(entry.raw, (KEYS[method][1],), orjson.dumps(rename(entry.name)))


def build_list(
    identifier: int | str | None, method: str, raws: list[bytes], *, is_modern: bool
) -> bytes:
    """The answer to a list request of the aggregate door: one page, private."""
    cache = b',"resultType":"complete","ttlMs":%d,"cacheScope":"private"' % MAXIMUM_TTL_MS
    return b'{"jsonrpc":"2.0","id":%b,"result":{"%b":[%b]%b}}' % (
        jsonrpc.encode_id(identifier), KEYS[method][0].encode(), b",".join(raws),
        cache if is_modern else b"",
    )  # fmt: skip


def tool_definitions(body: bytes, instructions: str = "") -> tuple[ToolDefinition, ...]:
    """The tools of one page of `tools/list`, without those whose names are refused.

    Args:
        body: the answer.
        instructions: of the server that answered.

    Raises:
        UpstreamError: the page cannot be read.
    """
    page = read_page(body, "tools/list")
    if isinstance(page, Malformed):
        raise errors.UpstreamError(f"the list of tools cannot be read: {page.message}")
    return tuple(ToolDefinition(entry, instructions) for entry in page.entries)


def make_private(body: bytes, result: Fields) -> bytes:
    """`body` with cache hints no wider than one agent and a few seconds.

    Hints that the source did not give are not added: without them nothing is cached.
    """
    if "cacheScope" in result and result["cacheScope"] != "private":
        body = splice.replace(body, ("result", "cacheScope"), b'"private"')
    ttl = result.get("ttlMs", 0)
    if type(ttl) is not int or not 0 <= ttl <= MAXIMUM_TTL_MS:
        body = splice.replace(body, ("result", "ttlMs"), b"%d" % MAXIMUM_TTL_MS)
    return body


def _judge(method: str, name: str, seen: set[str]) -> tuple[str, str | None]:
    """What policies match for `name`, and why it is dropped, if it is."""
    judged: str = name
    if method == "resources/list":
        canonical = uris.canonical(name)
        if canonical is None:
            return name, "is a URI that can be read in two ways"
        judged = canonical
    elif method == "resources/templates/list":
        if not name.isprintable():
            return name, "has control or invisible characters"
    else:
        fault = names.fault(name)
        if fault is not None:
            return name, fault
    return judged, "is listed twice" if judged in seen else None


def _unreadable(message: jsonrpc.Message) -> Malformed:
    return Malformed(
        502,
        jsonrpc.INTERNAL_ERROR,
        f"the source's list is not one of at most {MAXIMUM_ENTRIES} named objects",
        message.id,
    )
