"""The ledger's whole contract, kept as a namespace's user of Redis and not as an administrator."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mesh7_core.ledger.redis import RedisLedger
from mesh7_operator.store import rules
from tests.core.ledger.contract import Home
from tests.core.ledger.redis_homes import START_MS, StandingRedisHome, server, standing_library
from tests.core.ledger.test_contract_counts import *  # noqa: F403 - the suite, on one more home
from tests.core.ledger.test_contract_grants import *  # noqa: F403
from tests.core.ledger.test_contract_people import *  # noqa: F403
from tests.operator.store.parts import user_of
from tests.peers import redis_servers

pytestmark = pytest.mark.promise("K14")
_numbers = itertools.count(1)


@pytest.fixture(params=sorted(redis_servers.programs()))
async def home(request: pytest.FixtureRequest) -> AsyncIterator[Home]:
    """A server where the user has its own rules, and the clock's key that the test moves."""
    behind = server(request.param)
    behind.tell("FLUSHALL")
    behind.tell("SET", "test:clock", START_MS)
    behind.tell("FUNCTION", "LOAD", "REPLACE", standing_library().text)
    namespace = f"tenant-{next(_numbers)}"
    who = user_of(namespace)
    words = rules.rules_of(namespace, who.password)
    behind.tell("ACL", "SETUSER", who.user, "reset", *words, "~test:*")
    ledger = RedisLedger(
        replace(who, port=behind.port),
        namespace,
        load=False,
        library=standing_library(),
        delivers=True,
    )
    await ledger.start()
    try:
        yield StandingRedisHome(ledger, behind)
    finally:
        await ledger.close()
        behind.tell("ACL", "DELUSER", who.user)
