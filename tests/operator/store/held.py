"""Held calls for tests of the operator's Redis: opened by a namespace's own user, and decided."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from mesh7_core.delivery import decisions
from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Request, Verdict, Vote
from mesh7_core.ledger.protocol import Caps, Opened
from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator.approving.steps import Settle
from tests.core.ledger.contract import request
from tests.operator.store.parts import user_of
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
    found = await ledger.open(asked, CAPS)
    assert found == Opened(asked.id), found
    read = await ledger.request(asked.id)
    assert isinstance(read, Request)
    return read


def approved(before: Request, now_ms: int, decision: bytes = b"signed") -> Settle:
    """What a plan says when jane has approved."""
    after = approvals.vote(before, JANE, now_ms)
    assert isinstance(after, Request)
    return Settle(before=before, after=after, decision=decision)


assert decisions.REQUEST_ID.fullmatch(request(1).id), "ids of the tests are those of mesh7"
