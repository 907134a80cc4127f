"""The operator's Redis for tests: a store on servers of this machine, and its users there."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import hiredis

from mesh7_core.ledger import functions
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.store import passwords
from mesh7_operator.store.store import Store
from tests.peers import redis_servers

MASTER = b"a secret of the controller and the exchange"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LIBRARY = functions.library_of(functions.written()).name
PATIENCE_S = 30.0
CLOCK = Clock(wall_ns=lambda: int(NOW.timestamp() * 1e9), monotonic_s=time.monotonic)


@asynccontextmanager
async def storing(
    *servers: redis_servers.Server | redis_servers.Proxy,
    mode: settings.RedisMode = settings.RedisMode.MANAGED,
    master: bytes = MASTER,
    password_file: Path | None = None,
    user: str = "",
    own: Sequence[str] = (),
    clock: Clock = CLOCK,
) -> AsyncIterator[Store]:
    """A store whose address is the first server and whose nodes are all of them."""
    urls = [f"redis://{user and user + '@'}127.0.0.1:{one.port}" for one in servers]
    chosen = settings.RedisSettings(
        url=urls[0], nodes=tuple(urls), password_file=password_file, mode=mode
    )
    store = Store(chosen, lambda: master, clock, own=own)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def user_of(namespace: str, now: datetime = NOW) -> RedisServer:
    """Who a sidecar of that namespace is; host and port are to be replaced."""
    found = passwords.credential(MASTER, namespace, "uid", now)
    return RedisServer(host="127.0.0.1", user=found.user, password=found.password)


def link_of(
    server: redis_servers.Server, namespace: str, now: datetime = NOW
) -> redis_servers.Link:
    """A connection as that namespace's user."""
    who = user_of(namespace, now)
    link = redis_servers.Link(server.port)
    assert link.ask("AUTH", who.user, who.password) == b"OK", "the user is not there"
    return link


def users(server: redis_servers.Server) -> set[str]:
    """The names of all users there."""
    found = server.tell("ACL", "USERS")
    assert isinstance(found, list)
    return {one.decode() for one in found}


def is_refused(answer: object) -> bool:
    """Whether it was refused for lack of rights."""
    return isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOPERM")


def is_dead(link: redis_servers.Link) -> bool:
    """Whether the other side has ended the connection; ours is closed then too."""
    try:
        link.ask("PING")
    except ConnectionError:
        link.close()
        return True
    return False


def libraries(server: redis_servers.Server) -> dict[str, str]:
    """Names and texts of the functions there."""
    return functions.codes(server.tell("FUNCTION", "LIST", "WITHCODE"))


async def until_well(store: Store, namespaces: Sequence[str], now: datetime = NOW) -> None:
    """Tend until every node is as it should be, at most half a minute."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (await store.tend(namespaces, now)).is_kept:
        if time.monotonic() > deadline_s:
            raise TimeoutError(store.trouble)
        await asyncio.sleep(0.02)


def generations(namespaces: Sequence[str], now: datetime = NOW) -> set[str]:
    """The users that there should be."""
    return {
        passwords.user_name(passwords.Owner(namespace, generation))
        for namespace in namespaces
        for generation in passwords.kept_generations(now)
    }
