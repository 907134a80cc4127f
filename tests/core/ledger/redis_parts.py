"""Gateways' ledgers on real servers, for the tests of what goes wrong there."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh7_core.ledger import functions
from mesh7_core.ledger.protocol import Observation, Observed, Seen
from mesh7_core.ledger.redis import RedisLedger
from mesh7_core.ledger.redis_url import RedisServer
from tests.core.ledger.contract import PATIENCE_S, observed, plain, window
from tests.peers import redis_servers

EVERY_SERVER = pytest.mark.parametrize(
    "program", [pytest.param(path, id=kind) for kind, path in redis_servers.programs().items()]
)
"""Valkey, and the distribution's Redis when it is installed."""

NAMESPACE = "shop"
SECRET = "correct-horse"  # noqa: S105 - of a server that lives for one test
WRONG = "wrong-horse"
_STEP_S = 0.01


@asynccontextmanager
async def connected(  # noqa: PLR0913 - what a gateway is started with
    port: int,
    *,
    namespace: str = NAMESPACE,
    load: bool = True,
    user: str = "",
    password: str = "",
    known_epoch: str = "",
    on_epoch: Callable[[str], None] | None = None,
    ca_file: Path | None = None,
    authorities: str | None = None,
    library: functions.Library | None = None,
) -> AsyncIterator[RedisLedger]:
    """The ledger of a gateway on a server of this machine."""
    ledger = RedisLedger(
        RedisServer(
            host="127.0.0.1",
            port=port,
            user=user,
            password=password,
            is_tls=ca_file is not None or authorities is not None,
            ca_file=None if ca_file is None else str(ca_file),
            authorities=authorities,
        ),
        namespace,
        load=load,
        known_epoch=known_epoch,
        on_epoch=on_epoch,
        library=library,
    )
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


async def seen(ledger: RedisLedger, observation: Observation | None = None) -> Seen:
    """What one more call of the usual window (three a minute) comes to."""
    return (await observed(ledger, observation or plain(window()))).seen


async def comes_back(ledger: RedisLedger) -> Observed:
    """Ask on until the store answers; the ledger's own pauses are at most two seconds."""
    probe = plain(window(key="probe", maximum=1_000_000))
    return await asked_until(ledger, probe, lambda found: found.seen is not Seen.LOST)


async def asked_until(
    ledger: RedisLedger, observation: Observation, claim: Callable[[Observed], bool]
) -> Observed:
    """Ask on until the answer is as claimed; no event tells of what the server's clock does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not claim(found := await observed(ledger, observation)):
        assert time.monotonic() < deadline_s, found.seen
        await asyncio.sleep(_STEP_S)
    return found
