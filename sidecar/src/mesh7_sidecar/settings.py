"""What a gateway is started with: read once, frozen, handed down.

Only `main` builds these from the environment; every other room is given what it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from mesh7_core.ledger import protocol
from mesh7_core.otlp import settings as otlp

DEFAULT_LISTEN_PORT = 7007
DEFAULT_ADMIN_PORT = 7008
DEFAULT_HOLD_S = 50.0
DEFAULT_AUDIT_FILE_MIB = 128
DEFAULT_AUDIT_FILES = 5
MIB = 1024 * 1024
DEFAULT_TRACE_SHARE = 0.01
NO_TELEMETRY: Final = otlp.Settings(resource={})


class AuditShare(StrEnum):
    """Which records are written to `audit.jsonl`."""

    ALL = "all"
    DENIED = "denied"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address; an IPv6 host is kept without brackets."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """The host as it stands in a `host` header, without the port."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.authority}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a client that reads event streams is kept while people are asked.

    Attributes:
        stream_after_s: how long nothing is sent; then the answer becomes an event stream.
        comment_every_s: how often the stream says that it lives.
    """

    stream_after_s: float = 5.0
    comment_every_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Where the shared ledger is.

    Attributes:
        url: `redis://` or, with TLS, `rediss://`; may name the user, never the password.
        password: of that user; None = none is sent. No repr shows it.
        ca: certificates that vouch for a `rediss://` server; None = the system's.
    """

    url: str
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One gateway on a laptop.

    Attributes:
        directory: the folder of manifests.
        state: the state folder; made private when it does not exist.
        listen: the data listener; None = only the unix socket (`mesh7 stdio`).
        admin: the admin listener; None = off.
        admin_may_move: a taken admin port yields to a free one (the default port does).
        agent: the service account that callers on the data listener speak as.
        labels: that agent's labels.
        namespace: None = the one that the folder names, else `default`.
        credentials: a folder with one file per key; None = none.
        token_file: callers on TCP must send its content as a bearer token; None = no token,
            which is refused beyond loopback.
        audit: which records are written.
        audit_file_bytes: a file of them that reaches it is rotated.
        audit_files: how many of these files there are at most, at least 2.
        allowed_origins: browser origins that may call; none by default.
        hold_s: how long a held call is kept waiting for people at most; 0 = it is answered at
            once. A rule may say less.
        patience: what clients of held calls see meanwhile.
        caps: how many requests may be pending at once.
        allow_scripted_approval: people may decide without a terminal.
        approvers: the Unix group whose members alone may decide, by a socket of their own;
            None = whoever may open the gateway's socket.
        redis: where the ledger is shared; None = SQLite in the state folder.
        replicas: how many gateways share each limit that says `onStoreLoss: Local`; 0 = not
            known, and such a limit then denies when the store is lost.
        telemetry: where traces, metrics and logs are sent; nowhere as it stands.
        trace_share: of all calls, 0 to 1; how many are traced where traces are sent.
        environment: what `${NAME}` in a ToolSource and `MESH7_CREDENTIAL_<KEY>` are read from.
    """

    directory: Path
    state: Path
    listen: Address | None = Address("127.0.0.1", DEFAULT_LISTEN_PORT)
    admin: Address | None = Address("127.0.0.1", DEFAULT_ADMIN_PORT)
    admin_may_move: bool = True
    agent: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = None
    credentials: Path | None = None
    token_file: Path | None = None
    audit: AuditShare = AuditShare.ALL
    audit_file_bytes: int = DEFAULT_AUDIT_FILE_MIB * MIB
    audit_files: int = DEFAULT_AUDIT_FILES
    allowed_origins: tuple[str, ...] = ()
    hold_s: float = DEFAULT_HOLD_S
    patience: Patience = field(default_factory=Patience)
    caps: protocol.Caps = field(default_factory=protocol.Caps)
    allow_scripted_approval: bool = False
    approvers: str | None = None
    redis: RedisSettings | None = None
    replicas: int = 1
    telemetry: otlp.Settings = NO_TELEMETRY
    trace_share: float = DEFAULT_TRACE_SHARE
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def default_state(directory: Path) -> Path:
    """The state folder of a manifest folder: a dot-folder in it, which the loader ignores."""
    return directory.resolve() / ".mesh7"
