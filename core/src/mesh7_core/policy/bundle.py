"""Everything a gateway judges and serves by, compiled, frozen and swapped whole.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mesh7_core.policy.calls import SourceKind
from mesh7_core.policy.conditions import Condition
from mesh7_core.policy.globs import NameGlob, TextGlob
from mesh7_core.policy.rules import Policy


class Transport(StrEnum):
    """How an `mcp` source is spoken to."""

    STREAMABLE_HTTP = "StreamableHTTP"
    SSE = "SSE"
    STDIO = "Stdio"


class Pinning(StrEnum):
    """What happens when a tool's definition is not the accepted one."""

    IGNORE = "Ignore"
    WARN = "Warn"
    ENFORCE = "Enforce"


class ServerRequest(StrEnum):
    """Whether a kind of server-to-client request passes."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Which key of the credentials goes into which header; the value is never in a bundle.

    Attributes:
        scheme: put before the value with a blank (`Bearer`); empty = the bare value.
    """

    key: str
    header: str
    scheme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one source may cost; every source has its own, so a slow one slows no other."""

    timeout: timedelta
    maximum_response_bytes: int
    maximum_concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequests:
    """The policy on requests that a server sends to the client."""

    sampling: ServerRequest
    roots: ServerRequest
    elicitation: ServerRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What people say about a source's tools; it beats what the server says. None = nothing."""

    match: TextGlob
    read_only: bool | None
    destructive: bool | None
    idempotent: bool | None
    open_world: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One compiled ToolSource. Its repr shows nothing that `${NAME}` may have filled in.

    Attributes:
        name: a DNS label of at most 24 characters.
        kind: mcp or http (others are refused by the compiler until they are served).
        transport: of an `mcp` source; None for `http`.
        url: absolute http or https URL without a trailing slash change; empty for stdio.
        host: lower-case host of the URL, `stdio` for child processes: CEL's `source.host`.
        path: of the URL, or the name of a stdio child's program, as people wrote it: `${NAME}` is
            not filled in. It is for people's eyes.
        command: argv of a stdio child, program first; empty otherwise.
        environment: what the child gets beside the allow-listed names; `${NAME}` is filled in.
        headers: fixed headers sent upstream, lower-case names.
        hints: in written order; the first that matches a tool and says something counts.
        include: globs of tools that are served; empty = all. `exclude` wins.
    """

    name: str
    kind: SourceKind
    transport: Transport | None
    url: str = field(repr=False)
    host: str
    command: tuple[str, ...] = field(repr=False)
    environment: tuple[tuple[str, str], ...] = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    credential: Credential | None
    include: tuple[TextGlob, ...]
    exclude: tuple[TextGlob, ...]
    pinning: Pinning
    accepted: Mapping[str, str]
    validate_arguments: bool
    server_requests: ServerRequests
    bounds: Bounds
    hints: tuple[Hint, ...] = ()
    path: str = ""


class Effect(StrEnum):
    """What a Grant does: stand in for people, or stop what they stopped."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A compiled Grant: a standing permission, or a veto.

    Attributes:
        id: `<namespace>/<grant>`.
        service_account: whose calls; empty = `pod` says it. A veto with neither is for everybody.
        patterns: of tools; empty = everything, resources and prompts too (a veto only).
        policy: `<namespace>/<policy>` whose rules it relaxes; empty for a veto.
        expires_at: None = never (a veto only).
        condition: the compiled `when`, None when there is none.
        reason: what people wrote; a vetoed call is told it.
        created_at: None = not known, then its length counts from now.
        groups: its maker's, as far as the policy names them; None = nobody vouches for who made
            it (on the laptop), so that no rule's `groups` and `count` are held against it.
    """

    id: str
    effect: Effect
    service_account: str
    pod: str
    patterns: tuple[NameGlob, ...]
    policy: str
    expires_at: datetime | None
    maximum_uses: int | None
    condition: Condition | None = None
    reason: str = ""
    created_at: datetime | None = None
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """How many sidecars share limits; counted only where a limit says `onStoreLoss: Local`.

    Attributes:
        sidecars: in the namespace; 0 = not known.
        agents: the same by service account.
    """

    sidecars: int = 0
    agents: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One compiled set. Two bundles of the same written set are equal and have one digest.

    Attributes:
        digest: `sha256:` and 64 hex digits over the canonical written set.
        sources: by name, sorted.
        grants: and vetoes; those made by hand while a gateway runs lie over them.
        roster: who shares limits in a cluster; None = nobody said (on the laptop).
        authorities: that vouch for the exchange, PEM; none on the laptop.
    """

    namespace: str
    digest: str
    policies: tuple[Policy, ...]
    sources: Mapping[str, Source]
    grants: tuple[Grant, ...]
    roster: Roster | None = None
    authorities: tuple[str, ...] = ()
