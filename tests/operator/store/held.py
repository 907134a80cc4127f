"""Held calls for tests of the operator's Redis: opened by a namespace's own user, and decided."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from mesh7_core.delivery import decisions
from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Request, State, Verdict, Vote
from mesh7_core.ledger.protocol import LOST, Caps, Full, Lost, Opened
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator.approving.steps import Settle
from tests.core.ledger.contract import request
from tests.operator.store.parts import PATIENCE_S, user_of
from tests.peers import redis_servers

CAPS = Caps(per_pod=1_000, per_namespace=1_000)
DIGEST = "sha256:" + "a" * 64
JANE = Vote(person="jane", name="jane", groups=(), verdict=Verdict.APPROVE)


@asynccontextmanager
async def ledger_of(server: redis_servers.Server, namespace: str) -> AsyncIterator[RedisLedger]:
    """A sidecar's ledger, as its namespace's user."""
    who = replace(user_of(namespace), port=server.port)
    ledger = RedisLedger(who, namespace, load=False)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


async def opened(ledger: RedisLedger, number: int = 1, arguments: str = "") -> Request:
    """A request that waits there."""
    asked = request(number, digest=f"sha256:{number:064x}")
    if arguments:
        asked = replace(asked, arguments=arguments)
    found = await patiently_opened(ledger, asked, CAPS)
    assert found == Opened(asked.id), found
    return await read(ledger, asked.id)


async def patiently_opened(ledger: RedisLedger, asked: Request, caps: Caps) -> Opened | Full | Lost:
    """What it says once it answers in time: whoever opens twice joins."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await ledger.open(asked, caps)
            if found is not LOST:
                return found
            await asyncio.sleep(0.02)


async def read(ledger: RedisLedger, request_id: str) -> Request:
    """What it is now, once the ledger answers in time."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await ledger.request(request_id)
            if isinstance(found, Request):
                return found
            await asyncio.sleep(0.02)


async def withdrawn(ledger: RedisLedger, request_id: str) -> Request:
    """Nobody needs an answer any more, and the ledger says so."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await read(ledger, request_id)).state is State.PENDING:
            await ledger.withdraw(request_id)
    return found


def approved(before: Request, now_ms: int, decision: bytes = b"signed") -> Settle:
    """What a plan says when jane has approved."""
    after = approvals.vote(before, JANE, now_ms)
    assert isinstance(after, Request)
    return Settle(before=before, after=after, decision=decision)


assert decisions.REQUEST_ID.fullmatch(request(1).id), "ids of the tests are those of mesh7"
