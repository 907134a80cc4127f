"""ToolSource as people write it: where tools come from and what they may cost.

Pure: no clock, no network, no logging.
"""

from typing import Annotated, Literal

from pydantic import Field

from mesh7_core.api.objects import Glob, Listed, Metadata, Model, NamedValue, Url, unique
from mesh7_core.api.quantities import Duration, Size

Globs = Annotated[tuple[Glob, ...], Listed, Field(max_length=256)]
Argument = Annotated[str, Field(max_length=4096)]
Verdict = Literal["Allow", "Deny"]


class Mcp(Model):
    """An MCP server."""

    transport: Literal["StreamableHTTP", "SSE", "Stdio"] = "StreamableHTTP"
    url: Url | None = Field(None, description="of a server over HTTP")
    command: Annotated[tuple[Argument, ...], Listed, Field(min_length=1, max_length=64)] | None = (
        Field(None, description="of a Stdio server: the program, then its arguments; no shell")
    )
    env: Annotated[tuple[NamedValue, ...], Listed] = Field(
        (), max_length=64, description="of a Stdio server: its environment, beside PATH and so on"
    )


class Operation(Model):
    """One request of an HTTP API as a tool."""

    name: str = Field(min_length=1, max_length=128)
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    path: str = Field(max_length=2048)


class Http(Model):
    """A plain HTTP API."""

    url: Url
    operations: (
        Annotated[tuple[Operation, ...], Listed, Field(max_length=256), unique("name")] | None
    ) = Field(None, description="unset: the tool is the method in lower case, the path is for CEL")


class ConfigMapKey(Model):
    """A key of a ConfigMap in the source's namespace."""

    name: str = Field(min_length=1, max_length=253)
    key: str = Field(min_length=1, max_length=253)


class OpenApi(Model):
    """An HTTP API by its OpenAPI description: exactly one of url, file, configMapKeyRef."""

    url: Url | None = None
    file: str | None = Field(None, min_length=1, max_length=4096)
    config_map_key_ref: ConfigMapKey | None = None
    base_url: Url | None = Field(None, alias="baseURL")
    include: Globs = ()
    exclude: Globs = ()


class Command(Model):
    """One subcommand as a tool."""

    name: str = Field(min_length=1, max_length=128)
    args: Annotated[tuple[Argument, ...], Listed] = Field((), max_length=64)
    timeout: Duration | None = None


class Cli(Model):
    """A command-line program."""

    binary: str = Field(min_length=1, max_length=4096)
    mode: Literal["Strict"] = "Strict"
    commands: Annotated[tuple[Command, ...], Listed, unique("name")] = Field((), max_length=128)


class Auth(Model):
    """A credential that the gateway adds; its value never stands here."""

    key: str = Field(
        min_length=1, max_length=252, description="its name among the namespace's credentials"
    )
    header: str = Field("Authorization", min_length=1, max_length=256)
    scheme: str | None = Field(
        None,
        max_length=64,
        description="unset: Bearer for Authorization, nothing for other headers",
    )


class Hint(Model):
    """What we say about tools; it beats what their server says."""

    match: Glob = Field(description="glob over the source's own tool names")
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class Tools(Model):
    """Which of the source's tools are served."""

    include: Globs = Field((), description="globs; empty: all")
    exclude: Globs = Field((), description="globs; they win")
    hints: Annotated[tuple[Hint, ...], Listed, unique("match")] = Field((), max_length=256)


class Accepted(Model):
    """A tool definition that a person has accepted."""

    tool: str = Field(min_length=1, max_length=256)
    digest: str = Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")


class Pinning(Model):
    """What happens when a tool's definition is not the accepted one."""

    mode: Literal["Ignore", "Warn", "Enforce"] = "Ignore"
    accepted: Annotated[tuple[Accepted, ...], Listed] = Field((), max_length=2000)


class ServerRequests(Model):
    """Which requests the server may send to the agent's client."""

    sampling: Verdict = "Deny"
    roots: Verdict = "Deny"
    elicitation: Verdict = "Allow"


class Bounds(Model):
    """What the source may cost."""

    timeout: Duration | None = Field(None, description="of one call; unset: 60s")
    max_response_size: Size | None = Field(None, description="unset: 10Mi")
    max_concurrency: int = Field(64, ge=1, le=10_000)


class ToolSourceSpec(Model):
    """Exactly one of mcp, http, openapi, cli, and how it is used."""

    mcp: Mcp | None = None
    http: Http | None = None
    openapi: OpenApi | None = None
    cli: Cli | None = None
    auth: Auth | None = None
    headers: Annotated[tuple[NamedValue, ...], Listed] = Field(
        (), max_length=32, description="sent with every request"
    )
    tools: Tools = Tools()
    pinning: Pinning = Pinning()
    validate_arguments: bool = False
    server_requests: ServerRequests = ServerRequests()
    bounds: Bounds = Bounds()


class ToolSource(Model):
    """Where tools come from; its name is the first part of their names."""

    api_version: Literal["mesh7.dev/v1alpha1"]
    kind: Literal["ToolSource"]
    metadata: Metadata
    spec: ToolSourceSpec
    status: object = None
