"""How a sidecar comes to its Redis: the pod's token exchanged for credentials, again in time.

The exchange answers which server, which user, and until when (docs/reference/exchange-api.md).
What was handed out last goes on working until it ends, so an exchange that is away for some hours
harms nobody but new pods.
"""

import asyncio
import json
import logging
import os
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from mesh7_core import errors
from mesh7_core.api.grants import parse_moment
from mesh7_core.ledger import redis_url
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_sidecar.net import fetch, origin, pool, upstream
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.pod_settings import ExchangeSettings

log = logging.getLogger("mesh7.exchange")

PATH: Final = "/v1/redis-credentials"
MAXIMUM_BYTES: Final = 64 * 1024
CA_FILE: Final = "redis-ca.pem"
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
_TERMS: Final = upstream.Terms(answer_s=10.0, maximum_bytes=MAXIMUM_BYTES)


class ExchangeError(errors.UpstreamError):
    """There are no credentials; the message says why.

    Attributes:
        retry_after_s: what the exchange asked for; 0 = nothing.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What was handed out."""

    server: RedisServer
    renew_at: datetime


class Exchange:
    """Asks one exchange.

    Args:
        settings: where it is.
        state: the state folder; the authorities of the Redis are written there.
        sweep: deadlines.
    """

    def __init__(self, settings: ExchangeSettings, state: Path, sweep: Sweep) -> None:
        self._settings = settings
        self._state = state
        self._sweep = sweep
        self._pool: pool.Pool | None = None

    async def ask(self) -> Access:
        """Exchange the token as it lies there now.

        Raises:
            ExchangeError: there are no credentials to be had now.
        """
        try:
            token = self._settings.token.read_text("ascii").strip()
            if self._pool is None:
                trusted = ssl.create_default_context(cafile=str(self._settings.ca))
                place = origin.origin_of(self._settings.url)
                self._pool = pool.Pool(place, self._sweep, _TERMS, tls=trusted)
        except (OSError, ValueError, errors.SettingsError) as error:
            raise ExchangeError(f"token or certificates cannot be read: {error}") from error
        identity = [(b"authorization", b"Bearer " + token.encode())]
        request = upstream.Request("POST", PATH, identity, b"")
        try:
            answer = await fetch.fetch(self._pool, request, MAXIMUM_BYTES)
        except fetch.FetchError as error:
            raise ExchangeError(f"the exchange {error.message}") from error
        if answer.status != 200:  # noqa: PLR2004
            raise ExchangeError(
                f"the exchange refuses with {answer.status}: {_detail(answer.body)}",
                _seconds(answer.header(b"retry-after")),
            )
        return self._read(answer.body)

    def close(self) -> None:
        """Ask no more."""
        if self._pool is not None:
            self._pool.close()

    def _read(self, body: bytes) -> Access:
        try:
            found = json.loads(body)
            url, user, password = (str(found[key]) for key in ("url", "username", "password"))
            renew_at = parse_moment(found["renewAt"])
            authorities = found.get("ca")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ExchangeError("the exchange answers something else than credentials") from error
        ca_file = self._kept(authorities) if isinstance(authorities, str) and authorities else None
        scheme, _, rest = url.partition("://")
        try:
            server = redis_url.parse_url(
                f"{scheme}://{user}@{rest}", password=password, ca_file=ca_file
            )
        except errors.SettingsError as error:
            raise ExchangeError(f"the exchange names no usable server: {error.message}") from error
        return Access(server=server, renew_at=renew_at)

    def _kept(self, authorities: str) -> str:
        path = self._state / CA_FILE
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(authorities)
        fresh.replace(path)
        return str(path)


async def keep_access(
    exchange: Exchange, use: Callable[[RedisServer], Awaitable[None]], now: Callable[[], datetime]
) -> None:
    """Hand on credentials, and newer ones in time, until cancelled.

    Args:
        use: given each that was handed out.
        now: the wall clock, aware.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            access = await exchange.ask()
        except ExchangeError as error:
            log.warning("no Redis credentials: %s – it is tried again", error.message)
            wait_s = max(pause_s, error.retry_after_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        else:
            await use(access.server)
            pause_s = FIRST_PAUSE_S
            wait_s = max((access.renew_at - now()).total_seconds(), FIRST_PAUSE_S)
        # Pods that started together need not come back together.
        await asyncio.sleep(wait_s * random.uniform(0.9, 1.1))  # noqa: S311 - not a secret


def _detail(body: bytes) -> str:
    try:
        found = json.loads(body)
        detail = found.get("detail") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        detail = None
    return detail[:200] if isinstance(detail, str) and detail.isprintable() else "it says no reason"


def _seconds(text: bytes | None) -> float:
    return float(text) if text is not None and text.isdigit() and len(text) < 6 else 0.0  # noqa: PLR2004
