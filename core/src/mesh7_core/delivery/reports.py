"""What a sidecar reports about itself: which bundle it obeys, what its sources offer.

Written into Redis by sidecars and read by the controller; anybody who may write there may have
written it, so what is not exactly a report reads as None.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeVar

from mesh7_core.api import objects
from mesh7_core.delivery import spelled
from mesh7_core.delivery.envelopes import Refusal
from mesh7_core.policy import canonical

MAXIMUM_BYTES: Final = 512 * 1024
MAXIMUM_TOOLS: Final = 2_000
"""Of one source; further ones are counted and not named."""
MAXIMUM_SOURCES: Final = 256
"""Further ones are left out, in order of their names."""
MAXIMUM_LABELS: Final = 256
MAXIMUM_CHARACTERS: Final = 1024
"""Of a tool's name and of an error."""
FORMAT: Final = 1

_SHORT_ERROR: Final = 128
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){objects.DNS_SUBDOMAIN}")
_SOURCE: Final = re.compile(rf"(?=.{{1,24}}\Z){objects.DNS_LABEL}")
_UID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_WORD: Final = re.compile(r"[\x21-\x7e]{0,64}")
_LABEL_KEY: Final = re.compile(rf"(?=.{{1,317}}\Z)({objects.DNS_SUBDOMAIN}/)?{objects.LABEL_NAME}")
_LABEL_VALUE: Final = re.compile(rf"({objects.LABEL_NAME})?")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LINE: Final = re.compile(
    rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{{0,{MAXIMUM_CHARACTERS}}}"
)
_NOT_OF_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Origin(StrEnum):
    """Which way the bundle in force came."""

    REDIS = "redis"
    CONFIG_MAP = "configmap"
    NONE = "none"


class Drift(StrEnum):
    """How a tool differs from what was accepted (or, under Warn, first seen)."""

    ADDED = "Added"
    CHANGED = "Changed"
    REMOVED = "Removed"


Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool as the source lists it now, or no longer does.

    Attributes:
        digest: of its definition, `sha256:` and 64 hex digits; of a removed one the accepted.
        drift: None = it is as accepted, or nobody asked.
    """

    name: str
    digest: str
    drift: Drift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """One source as this sidecar sees it.

    Attributes:
        is_ready: its list could be read.
        error: why not, one line that names no address; empty when it could.
        protocol: MCP revision it speaks; empty for plain HTTP.
        tools: as listed, and those that were removed; at most `MAXIMUM_TOOLS`.
        tool_count: how many it lists.
    """

    name: str
    is_ready: bool
    error: str = ""
    protocol: str = ""
    tools: tuple[Tool, ...] = ()
    tool_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One sidecar.

    Attributes:
        agent: its service account.
        release: version of its image's mesh7.
        bundle: version in force; 0 = none.
        overlay: version in force; 0 = none.
        refused: how many deliveries it ignored, by `envelopes.Refusal`.
    """

    pod: str
    uid: str
    agent: str
    labels: Mapping[str, str]
    release: str
    bundle: int
    overlay: int
    origin: Origin
    refused: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[SourceReport, ...] = ()


def encode(report: Report) -> bytes:
    """Canonical JSON, at most `MAXIMUM_BYTES`, that `decode` reads.

    What does not fit is left out in this order: tools beyond what each source may name (those that
    drifted stay longest), the ends of errors. Names that no line can show are not named.
    """
    sources = sorted(report.sources, key=lambda one: one.name)[:MAXIMUM_SOURCES]
    labels = sorted(report.labels.items())[:MAXIMUM_LABELS]
    lean = replace(report, labels=dict(labels), sources=tuple(_bare(one) for one in sources))
    room = MAXIMUM_BYTES - len(_spelled(lean))
    if room < 0:
        short = tuple(replace(one, error=one.error[:_SHORT_ERROR]) for one in lean.sources)
        return _spelled(replace(lean, sources=short))
    named = [_named(one.tools) for one in sources]
    most = _most_each([[size for _, size in tools] for tools in named], room)
    full = tuple(
        replace(one, tools=tuple(sorted((tool for tool, _ in tools[:most]), key=_by_name)))
        for one, tools in zip(lean.sources, named, strict=True)
    )
    return _spelled(replace(lean, sources=full))


def decode(data: bytes) -> Report | None:
    """The report, or None for whatever is none."""
    found = spelled.json_object(data) if len(data) <= MAXIMUM_BYTES else None
    fields = spelled.keyed(found, (
        "format", "pod", "uid", "agent", "labels", "release", "bundle", "overlay", "origin",
        "refused", "sources",
    ))  # fmt: skip
    if fields is None or fields["format"] != FORMAT:
        return None
    pod, uid = _text(fields["pod"], _NAME), _text(fields["uid"], _UID)
    agent, release = _text(fields["agent"], _NAME), _text(fields["release"], _WORD)
    labels, refused = _labels(fields["labels"]), _refused(fields["refused"])
    bundle, overlay = spelled.number(fields["bundle"]), spelled.number(fields["overlay"])
    origin, sources = _word(fields["origin"], Origin), _sources(fields["sources"])
    if pod is None or uid is None or agent is None or release is None or labels is None:
        return None
    if refused is None or bundle is None or overlay is None or origin is None or sources is None:
        return None
    return Report(
        pod=pod, uid=uid, agent=agent, labels=labels, release=release, bundle=bundle,
        overlay=overlay, origin=origin, refused=refused, sources=sources,
    )  # fmt: skip


def _spelled(report: Report) -> bytes:
    return canonical.written({
        "format": FORMAT, "pod": report.pod, "uid": report.uid, "agent": report.agent,
        "labels": dict(report.labels), "release": report.release, "bundle": report.bundle,
        "overlay": report.overlay, "origin": report.origin.value,
        "refused": dict(report.refused),
        "sources": [_written_source(one) for one in report.sources],
    }).encode()  # fmt: skip


def _written_source(source: SourceReport) -> dict[str, object]:
    return {
        "name": source.name, "ready": source.is_ready, "error": source.error,
        "protocol": source.protocol, "tools": [_written_tool(one) for one in source.tools],
        "toolCount": source.tool_count,
    }  # fmt: skip


def _written_tool(tool: Tool) -> dict[str, object]:
    written: dict[str, object] = {"name": tool.name, "digest": tool.digest}
    return written if tool.drift is None else {**written, "drift": tool.drift.value}


def _bare(source: SourceReport) -> SourceReport:
    """The source without its tools, its texts as `decode` takes them."""
    return replace(
        source,
        error=_NOT_OF_A_LINE.sub(" ", source.error)[:MAXIMUM_CHARACTERS],
        protocol=source.protocol if _WORD.fullmatch(source.protocol) else "",
        tools=(),
        tool_count=max(source.tool_count, _listed(source.tools)),
    )


def _listed(tools: Iterable[Tool]) -> int:
    return sum(one.drift is not Drift.REMOVED for one in tools)


def _named(tools: Iterable[Tool]) -> list[tuple[Tool, int]]:
    """The tools that can be named with the bytes each takes, those that drifted first."""
    named = {one.name: one for one in tools if one.name and _LINE.fullmatch(one.name)}
    in_order = sorted(named.values(), key=lambda one: (one.drift is None, one.name))
    return [(one, len(canonical.written(_written_tool(one)).encode()) + 1) for one in in_order]


def _by_name(tool: Tool) -> str:
    return tool.name


def _most_each(sizes: list[list[int]], room: int) -> int:
    """The largest number of tools that every source may name within `room` bytes."""
    most = 0
    longest = max((len(one) for one in sizes), default=0)
    for at in range(min(longest, MAXIMUM_TOOLS)):
        room -= sum(one[at] for one in sizes if at < len(one))
        if room < 0:
            break
        most = at + 1
    return most


def _text(value: object, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _word(value: object, words: type[Word]) -> Word | None:
    return next((one for one in words if one.value == value), None)


def _labels(value: object) -> dict[str, str] | None:
    if not isinstance(value, dict) or len(value) > MAXIMUM_LABELS:
        return None
    is_right = all(
        _text(key, _LABEL_KEY) is not None
        and len(str(one)) <= 63  # noqa: PLR2004
        and _text(one, _LABEL_VALUE) is not None
        for key, one in value.items()
    )
    return value if is_right else None


def _refused(value: object) -> dict[str, int] | None:
    if not isinstance(value, dict):
        return None
    is_right = all(
        _word(key, Refusal) is not None and spelled.number(one) is not None
        for key, one in value.items()
    )
    return value if is_right else None


def _sources(value: object) -> tuple[SourceReport, ...] | None:
    if not isinstance(value, list) or len(value) > MAXIMUM_SOURCES:
        return None
    found = [source for one in value if (source := _source(one)) is not None]
    return tuple(found) if len({one.name for one in found}) == len(value) else None


def _source(value: object) -> SourceReport | None:
    fields = spelled.keyed(value, ("name", "ready", "error", "protocol", "tools", "toolCount"))
    if fields is None:
        return None
    name, is_ready = _text(fields["name"], _SOURCE), fields["ready"]
    error, protocol = _text(fields["error"], _LINE), _text(fields["protocol"], _WORD)
    tools = _tools(fields["tools"])
    count = spelled.number(fields["toolCount"])
    if name is None or not isinstance(is_ready, bool) or error is None or protocol is None:
        return None
    if tools is None or count is None or count < _listed(tools):
        return None
    return SourceReport(
        name=name, is_ready=is_ready, error=error, protocol=protocol, tools=tools, tool_count=count
    )


def _tools(value: object) -> tuple[Tool, ...] | None:
    if not isinstance(value, list) or len(value) > MAXIMUM_TOOLS:
        return None
    found = [tool for one in value if (tool := _tool(one)) is not None]
    return tuple(found) if len({one.name for one in found}) == len(value) else None


def _tool(value: object) -> Tool | None:
    if not isinstance(value, dict) or not {"name", "digest"} <= value.keys():
        return None
    if not value.keys() <= {"name", "digest", "drift"}:
        return None
    name, digest = _text(value["name"], _LINE), _text(value["digest"], _DIGEST)
    drift = _word(value["drift"], Drift) if "drift" in value else None
    if not name or digest is None or ("drift" in value and drift is None):
        return None
    return Tool(name=name, digest=digest, drift=drift)
