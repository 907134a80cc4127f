"""How a sidecar comes to its Redis: the pod's token exchanged for credentials, again in time.

The exchange answers which server, which user, and until when (docs/reference/exchange-api.md).
What was handed out last goes on working until it ends, so an exchange that is away for some hours
harms nobody but new pods. A store that is away for a while is asked for anew: its users may have
been made anew, or another server may lead.
"""

import asyncio
import json
import logging
import os
import random
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from mesh7_core import errors
from mesh7_core.api.grants import parse_moment
from mesh7_core.ledger import redis_url
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_sidecar.net import fetch, origin, pool, upstream
from mesh7_sidecar.net.origin import AddressRule
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.pod_settings import ExchangeSettings

log = logging.getLogger("mesh7.exchange")

PATH: Final = "/v1/redis-credentials"
MAXIMUM_BYTES: Final = 64 * 1024
CA_FILE: Final = "redis-ca.pem"
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
SHORTEST_LIFE: Final = timedelta(minutes=1)
"""However soon the exchange wants us back: a clock that is wrong must not make us flood it."""
LONGEST_LIFE: Final = timedelta(hours=12)
LOOK_S: Final = 30.0
"""From one look at time and store to the next."""
MOST_LOOKS: Final = 20
"""A store that stays away is asked for anew ever more seldom, at last after as many looks."""
_LONGEST_SECRET: Final = 1024
_LONGEST_TOKEN: Final = 16 * 1024
_TOKEN: Final = re.compile(rb"[!-~]{1,%d}" % _LONGEST_TOKEN)
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


class Asked(Protocol):
    """Who hands out credentials."""

    async def ask(self) -> Access:
        """Credentials as of now.

        Raises:
            ExchangeError: there are none to be had.
        """


class Exchange:
    """Asks one exchange.

    Args:
        settings: where it is.
        state: the state folder; the authorities of the Redis are written there.
        sweep: deadlines.
        rule: which addresses it may have.
        delivered: authorities that are trusted beside those of the settings; asked each time, for
            a pod outlives the ones that it was made with.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        state: Path,
        sweep: Sweep,
        delivered: Callable[[], tuple[str, ...]] = tuple,
        *,
        rule: AddressRule,
    ) -> None:
        self._settings = settings
        self._state = state
        self._sweep = sweep
        self._delivered = delivered
        self._rule = rule

    async def ask(self) -> Access:
        """Exchange the token as it lies there now.

        Raises:
            ExchangeError: there are no credentials to be had now.
        """
        token, way = self._token(), self._way()
        request = upstream.Request("POST", PATH, [(b"authorization", b"Bearer " + token)], b"")
        try:
            answer = await fetch.fetch(way, request, MAXIMUM_BYTES)
        except fetch.FetchError as error:
            raise ExchangeError(f"the exchange {error.message}") from error
        finally:
            # Asked a few times a day: no connection is kept meanwhile.
            way.abort()
        if answer.status != 200:  # noqa: PLR2004
            raise ExchangeError(
                f"the exchange refuses with {answer.status}: {_detail(answer.body)}",
                _seconds(answer.header(b"retry-after")),
            )
        return self._read(answer.body)

    def _token(self) -> bytes:
        file = self._settings.token
        try:
            with file.open("rb") as opened:
                token = opened.read(_LONGEST_TOKEN + 1).strip()
        except OSError as error:
            raise ExchangeError(f"the token `{file}` cannot be read: {error.strerror}") from error
        if not _TOKEN.fullmatch(token):
            raise ExchangeError(f"`{file}` holds no token")
        return token

    def _way(self) -> pool.Pool:
        # None but these: the system's would let any public authority vouch for it.
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted.minimum_version = ssl.TLSVersion.TLSv1_2
        known = sorted({*self._settings.authorities, *self._delivered()})
        usable = sum(_load(trusted, one) for one in known)
        if not usable:
            raise ExchangeError("none of the exchange's authorities is a certificate")
        where = origin.origin_of(self._settings.url)
        # The pod's own hosts file may lead its name to another container, who would be given the
        # token; that it is believed by nobody else takes certificates, which a pod brings, too.
        return pool.Pool(where, self._sweep, _TERMS, tls=trusted, rule=self._rule)

    def _read(self, body: bytes) -> Access:
        try:
            found = json.loads(body)
            url, user, password = (_text(found[key]) for key in ("url", "username", "password"))
            authorities = _pem(found.get("ca"))
            renew_at = parse_moment(found["renewAt"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ExchangeError("the exchange answers something else than credentials") from error
        try:
            ca_file = None if authorities is None else str(self._state / CA_FILE)
            server = redis_url.parse_url(url, ca_file=ca_file)
        except errors.SettingsError as error:
            raise ExchangeError("the exchange names no usable server") from error
        if server.user:
            raise ExchangeError("the exchange names no usable server")
        if authorities is not None:
            self._keep(authorities)
        return Access(server=replace(server, user=user, password=password), renew_at=renew_at)

    def _keep(self, authorities: str) -> None:
        path = self._state / CA_FILE
        fresh = path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, flags, 0o600), "w", encoding="ascii") as file:
                file.write(authorities)
            fresh.replace(path)
        except OSError as error:
            raise ExchangeError(f"`{path}` cannot be written: {error.strerror}") from error


class Store(Protocol):
    """What credentials are for."""

    def use(self, server: RedisServer) -> None:
        """Be this user of this server from now on; returns at once."""

    def is_away(self) -> bool:
        """Whether it cannot be used now."""


class Keeping:
    """Keeps a store in credentials.

    Args:
        exchange: hands them out.
        store: is given each, as soon as it is there.
        now: the wall clock, aware.
        sleep: waits for as many seconds.
    """

    def __init__(
        self,
        exchange: Asked,
        store: Store,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._now = now
        self._sleep = sleep
        self._pause_s = FIRST_PAUSE_S
        self._patience = 1
        self._told = ""

    async def keep(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                access = await self._exchange.ask()
            except ExchangeError as error:
                await self._wait(error)
                continue
            self._pause_s = FIRST_PAUSE_S
            if self._told:
                self._told = ""
                log.info("the exchange hands out Redis credentials again")
            self._store.use(access.server)
            await self._rest(access.renew_at)

    async def _wait(self, error: ExchangeError) -> None:
        if error.message != self._told:
            self._told = error.message
            log.warning("no Redis credentials: %s – it is tried again", error.message)
        wait_s = max(self._pause_s, error.retry_after_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        # Pods that started together need not come back together.
        await self._sleep(wait_s * random.uniform(1.0, 1.2))  # noqa: S311 - no secret

    async def _rest(self, renew_at: datetime) -> None:
        """Until it is time, or the store has been away for so long that asking may help."""
        start = self._now()
        due = min(max(renew_at, start + SHORTEST_LIFE), start + LONGEST_LIFE)
        away = 0
        # Looked at again and again: a wall clock may be set while we wait.
        while start <= self._now() < due:
            await self._sleep(LOOK_S * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            if not self._store.is_away():
                away, self._patience = 0, 1
                continue
            away += 1
            if away > self._patience:
                self._patience = min(self._patience * 2, MOST_LOOKS)
                return


def _load(context: ssl.SSLContext, certificate: str) -> bool:
    """Trust it; one that is none must not keep the others from being trusted."""
    try:
        context.load_verify_locations(cadata=certificate)
    except ssl.SSLError:
        log.warning("one of the exchange's authorities is no certificate, and is left out")
        return False
    return True


def _text(found: object) -> str:
    """A text that may be sent as it is: printable ASCII without blanks."""
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_SECRET:
        raise ValueError
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise ValueError
    return found


def _pem(found: object) -> str | None:
    """Certificates as they may be written down; None when there are none."""
    if found is None or found == "":
        return None
    if not isinstance(found, str) or not found.isascii():
        raise ValueError
    try:
        ssl.create_default_context(cadata=found)
    except ssl.SSLError as error:
        raise ValueError from error
    return found


def _detail(body: bytes) -> str:
    try:
        found = json.loads(body)
        detail = found.get("detail") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        detail = None
    return detail[:200] if isinstance(detail, str) and detail.isprintable() else "it says no reason"


def _seconds(text: bytes | None) -> float:
    """A `retry-after`, an hour at most; 0 when it says no seconds."""
    is_number = text is not None and text.isdigit() and len(text) < 6  # noqa: PLR2004
    return min(float(text), 3600.0) if is_number and text is not None else 0.0
