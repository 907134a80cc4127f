"""Where a Redis is and how to speak to it: `redis://user@host:port/db`, read strictly.

Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from mesh7_core.errors import SettingsError

_PORT: Final = 6379
_PATTERN: Final = "redis://[USER@]HOST[:PORT][/DATABASE], or rediss:// for TLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """One server and one user of it.

    Attributes:
        user: an ACL user; empty = the default user.
        password: empty = none; never shown.
        database: its number; a cluster knows only 0.
        is_tls: speak TLS, and verify the server's certificate and name.
        ca_file: the authorities that may have signed it (PEM); None = those of the system.
        authorities: the same as text, in place of any file; empty = nobody is trusted yet.
    """

    host: str
    port: int = _PORT
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    is_tls: bool = False
    ca_file: str | None = None
    authorities: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """`host:port`, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(text: str, *, password: str = "", ca_file: str | None = None) -> RedisServer:
    """The settings that a URL means.

    Args:
        text: `redis://` or `rediss://`; a password in it is refused, for others would see it.
        password: from a file or the environment.
        ca_file: only with `rediss://`.

    Raises:
        SettingsError: it cannot be used; the message never repeats more than scheme, host, port.
    """
    parts = _split(text)
    if parts.scheme not in {"redis", "rediss"}:
        raise SettingsError(f"--redis: unknown scheme `{parts.scheme}`, write {_PATTERN}")
    if parts.password is not None:
        raise SettingsError(
            "--redis: the URL holds a password, which every user of this machine could read in the"
            " list of processes; write it into a file and name that with --redis-password-file"
        )
    if not parts.hostname:
        raise SettingsError(f"--redis: the URL names no host, write {_PATTERN}")
    if parts.query or parts.fragment:
        raise SettingsError(f"--redis: nothing may follow the database number, write {_PATTERN}")
    is_tls = parts.scheme == "rediss"
    if ca_file is not None and not is_tls:
        raise SettingsError("--redis-ca: only rediss:// speaks TLS; change the scheme of --redis")
    return RedisServer(
        host=parts.hostname,
        port=_port(parts),
        user=unquote(parts.username or ""),
        password=password,
        database=_database(parts.path),
        is_tls=is_tls,
        ca_file=ca_file,
    )


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise SettingsError(f"--redis: this is no URL, write {_PATTERN}") from None
    if "://" not in text:
        raise SettingsError(f"--redis: the scheme is missing, write {_PATTERN}")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = _PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise SettingsError(
            f"--redis: the port of `{parts.hostname}` is no number from 1 to 65535;"
            f" write {_PATTERN}"
        )
    return port


def _database(path: str) -> int:
    number = path.removeprefix("/")
    if not number:
        return 0
    if not (number.isascii() and number.isdigit() and len(number) <= 4):  # noqa: PLR2004
        raise SettingsError(f"--redis: `{number}` is no database number, write {_PATTERN}")
    return int(number)
