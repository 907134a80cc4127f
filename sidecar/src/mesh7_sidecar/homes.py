"""Where a gateway keeps what outlives a call: its ledger, by the settings, and its journal."""

from dataclasses import dataclass
from typing import Final

from mesh7_core.ledger import sqlite
from mesh7_core.ledger.protocol import Ledger
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gate.journal import Journal
from mesh7_sidecar.settings import RedisSettings, Settings
from mesh7_sidecar.state import Held

LEDGER_FILE: Final = "ledger.db"
JOURNAL_FILE: Final = "claims.db"
SQLITE: Final = "sqlite"
REDIS: Final = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """An open ledger and the journal beside it.

    Attributes:
        kind: `SQLITE` or `REDIS`, for `mesh7 status`.
        namespace: whose ledger it is.
    """

    ledger: Ledger
    journal: Journal
    kind: str
    namespace: str

    @property
    def is_shared(self) -> bool:
        """Whether other gateways may use the same ledger."""
        return self.kind == REDIS

    async def close(self) -> None:
        """Write what is not written, let go."""
        await self.ledger.close()
        await self.journal.close()


async def open_home(settings: Settings, held: Held, namespace: str, clock: Clock) -> Home:
    """Open both; a Redis that is away is tried again for as long as the gateway runs.

    Raises:
        SettingsError: a file is damaged or cannot be written, or the URL cannot be used.
    """
    journal = Journal(held.directory / JOURNAL_FILE, lambda: clock.wall_ns() / 1e9)
    try:
        if settings.redis is not None:
            ledger = await _redis(settings.redis, namespace, journal)
            return Home(ledger=ledger, journal=journal, kind=REDIS, namespace=namespace)
        path = held.directory / LEDGER_FILE
        kept = sqlite.open_ledger(path, lambda: clock.wall_ns() // 1_000_000)
    except BaseException:
        await journal.close()
        raise
    return Home(ledger=kept, journal=journal, kind=SQLITE, namespace=namespace)


async def _redis(settings: RedisSettings, namespace: str, journal: Journal) -> Ledger:
    # Imported here: a gateway that shares nothing does without the client.
    from mesh7_core.ledger import redis, redis_url  # noqa: PLC0415

    server = redis_url.parse_url(
        settings.url,
        password=settings.password or "",
        ca_file=str(settings.ca) if settings.ca is not None else None,
    )
    ledger = redis.RedisLedger(
        server,
        namespace,
        load=True,
        known_epoch=journal.known_epoch(),
        on_epoch=journal.remember_epoch,
    )
    await ledger.start()
    return ledger
