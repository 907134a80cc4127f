"""What a sidecar reports about itself: which bundle it obeys, what its sources offer.

Written into Redis by sidecars and read by the controller; anybody who may write there may have
written it, so what is not exactly a report reads as None.
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAXIMUM_BYTES: Final = 512 * 1024
MAXIMUM_TOOLS: Final = 2_000
"""Of one source; further ones are counted and not named."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool as the source lists it now.

    Attributes:
        digest: of its definition, `sha256:` and 64 hex digits.
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
        tools: as listed, at most `MAXIMUM_TOOLS`.
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
    """Canonical JSON, at most `MAXIMUM_BYTES` (tools are left out first)."""
    raise NotImplementedError


def decode(data: bytes) -> Report | None:
    """The report, or None for whatever is none."""
    raise NotImplementedError
