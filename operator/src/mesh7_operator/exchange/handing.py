"""What a pod that proved itself is given: the credentials of its namespace, as the mode says."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from mesh7_core import errors
from mesh7_core.ledger import redis_url
from mesh7_operator import settings
from mesh7_operator.exchange.tokens import Claims
from mesh7_operator.store import passwords

_GIVEN: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """One way into Redis.

    Attributes:
        url: scheme, host, port and database; no user, no password.
        authorities: PEM that vouches for a `rediss://` server; None = the system's.
    """

    url: str
    credential: passwords.Credential
    authorities: str | None = field(default=None, repr=False)

    def document(self) -> dict[str, str]:
        """As it is answered (docs/reference/exchange-api.md)."""
        found = {
            "url": self.url,
            "username": self.credential.user,
            "password": self.credential.password,
            "expiresAt": _spelled(self.credential.expires_at),
            "renewAt": _spelled(self.credential.renew_at),
        }
        return found if self.authorities is None else {**found, "ca": self.authorities}


class Hands(Protocol):
    """A mode."""

    def hand(self, claims: Claims, now: datetime) -> Handed:
        """What this pod gets now.

        Raises:
            SettingsError: a file cannot be read.
        """


class ManagedHands:
    """Users that the controller makes; their passwords follow from the master secret.

    Args:
        master: the file with it; read each time, so that it may be rotated.
    """

    def __init__(self, redis: settings.RedisSettings, master: Path) -> None:
        self._redis = redis
        self._url = _place_of(redis)
        self._master = master

    def hand(self, claims: Claims, now: datetime) -> Handed:
        """The current generation's user of the namespace."""
        master = _read(self._master, "--redis-master-file")
        if len(master) < passwords.SMALLEST_MASTER_BYTES:
            raise errors.SettingsError(
                f"--redis-master-file `{self._master}`: holds fewer than"
                f" {passwords.SMALLEST_MASTER_BYTES} bytes; mount the Secret"
                " that the controller has made"
            )
        return Handed(
            url=self._url,
            credential=passwords.credential(master, claims.namespace, claims.uid, now),
            authorities=_authorities(self._redis),
        )


class GivenHands:
    """The one credential that people made: the user of `--redis`, the password of its file."""

    def __init__(self, redis: settings.RedisSettings) -> None:
        self._redis = redis
        self._url = _place_of(redis)
        self._user = redis_url.parse_url(redis.url).user or "default"

    def hand(self, claims: Claims, now: datetime) -> Handed:
        """The same for everybody; asked for anew after six to nine hours, for it may change."""
        spread = passwords.credential(b"", claims.namespace, claims.uid, now)
        since = spread.renew_at - (spread.expires_at - passwords.GENERATION)
        return Handed(
            url=self._url,
            credential=passwords.Credential(
                user=self._user,
                password=self._redis.password() or "",
                expires_at=now + _GIVEN,
                renew_at=now + _GIVEN / 2 + since,
            ),
            authorities=_authorities(self._redis),
        )


def hands_of(redis: settings.RedisSettings, master: Path | None) -> Hands:
    """The mode that the settings say.

    Raises:
        SettingsError: the URL cannot be used, or a file is not named.
    """
    if redis.mode is settings.RedisMode.GIVEN:
        return GivenHands(redis)
    if master is None:
        raise errors.SettingsError(
            "--redis-master-file: is missing; name the file with the master secret, or say"
            " --redis-mode given"
        )
    return ManagedHands(redis, master)


def _place_of(redis: settings.RedisSettings) -> str:
    server = redis_url.parse_url(redis.url)
    return f"{'rediss' if server.is_tls else 'redis'}://{server.place}/{server.database}"


def _authorities(redis: settings.RedisSettings) -> str | None:
    return None if redis.ca is None else _read(redis.ca, "--redis-ca").decode("ascii", "replace")


def _read(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.SettingsError(f"{flag} `{path}`: cannot be read: {error.strerror}") from error


def _spelled(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
