"""What a gateway is started with: read once, frozen, handed down.

Only `main` builds these from the environment; every other room is given what it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

DEFAULT_LISTEN_PORT = 7007
DEFAULT_ADMIN_PORT = 7008


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
        allowed_origins: browser origins that may call; none by default.
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
    allowed_origins: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def default_state(directory: Path) -> Path:
    """The state folder of a manifest folder: a dot-folder in it, which the loader ignores."""
    return directory.resolve() / ".mesh7"
