"""What is judged: one attempt by one agent to use one thing of one source.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

ToolName = NewType("ToolName", str)
"""`<source>.<tool>`; the source part has no dot, the tool part may have any."""


class Family(StrEnum):
    """Which kind of name a rule or a call is about; names of two families never meet."""

    TOOLS = "tools"
    RESOURCES = "resources"
    PROMPTS = "prompts"


class SourceKind(StrEnum):
    """How a source is reached; the CEL variable `source.kind`."""

    MCP = "mcp"
    HTTP = "http"
    OPENAPI = "openapi"
    CLI = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who calls. On the laptop the fields come from the command line, in a cluster from the pod.

    Attributes:
        namespace: where the agent lives; its policies come from here.
        service_account: the agent's name.
        pod: one instance of the agent (laptop: the id of the state folder).
        uid: the pod's `metadata.uid`; empty on a laptop. No policy sees it.
        labels: what policies' selectors are matched against; read once at start.
    """

    namespace: str
    service_account: str
    pod: str
    uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPart:
    """A plain HTTP call: its canonical request line, the CEL variable `http`, and its headers.

    Attributes:
        method: upper case.
        path: percent-decoded once, starting with `/`, without `.` and `..`.
        query: without the `?`, as sent; empty when there is none.
        headers: that go along and bear on what the request does; lower-case names. Conditions do
            not see them; an approval is for them too. Empty unless `judge.is_exact` asked for it.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...] = ()


class Call:
    """One attempt. A plain slotted class: it is made on every call (design 13).

    Attributes:
        agent: who asks.
        family: tools, resources or prompts.
        source: the source's name; `source_kind` and `source_host` describe it. Empty where the
            caller means none that there is.
        name: the upstream's own name of the tool or prompt, or the resource's canonical URI; as
            the caller sent it where there is no source.
        arguments: the parsed `arguments` object; an empty dict when there is none.
        http: the request line of a plain HTTP call, else None.
        session: the session id, empty when there is none.
        body: what is forwarded, for whoever needs the exact call: a JSON-RPC message, or at least
            `{"params": …}`; of a plain HTTP call the request's body, empty unless `judge.is_exact`
            asked for it.
        definition: digest of the tool's definition as listed; empty when it has none.
        source_digest: of where the source's calls go (`policy.destination`), for the exact call.
    """

    __slots__ = (
        "agent", "arguments", "body", "definition", "family", "http", "name", "session", "source",
        "source_digest", "source_host", "source_kind",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one field each; a dataclass would cost five times as much
        self,
        agent: Agent,
        family: Family,
        source: str,
        name: str,
        arguments: dict[str, object],
        source_kind: SourceKind = SourceKind.MCP,
        source_host: str = "",
        http: HttpPart | None = None,
        session: str = "",
        body: bytes = b"",
        definition: str = "",
        source_digest: str = "",
    ) -> None:
        self.agent = agent
        self.family = family
        self.source = source
        self.name = name
        self.arguments = arguments
        self.source_kind = source_kind
        self.source_host = source_host
        self.http = http
        self.session = session
        self.body = body
        self.definition = definition
        self.source_digest = source_digest

    @property
    def full_name(self) -> ToolName:
        """`<source>.<name>`, the name that policies match and records show."""
        return ToolName(f"{self.source}.{self.name}" if self.source else self.name)
