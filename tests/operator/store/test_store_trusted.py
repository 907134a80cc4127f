"""Who vouches for the Redis of the release: known from a Secret, which may come late and change."""

import ssl
from pathlib import Path

from mesh7_operator import settings
from mesh7_operator.reconciling.world import StoreState
from mesh7_operator.store.store import Store
from tests.conftest import Eventually
from tests.core.ledger.redis_parts import EVERY_SERVER
from tests.operator.exchange.certificates import write_pair
from tests.operator.store.parts import CLOCK, MASTER, NOW
from tests.peers import redis_servers


@EVERY_SERVER
async def test_nobody_is_trusted_before_it_is_known_and_a_change_ends_no_connection(
    program: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """docs/administrator/redis.md, The embedded one."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    its, another = write_pair(*paths), write_pair(tmp_path / "other.pem", tmp_path / "other.key")
    known = [""]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)
    with redis_servers.running(program, tmp_path / "server") as server:
        async with redis_servers.proxying(server.port, tls=context) as proxy:
            url = f"rediss://127.0.0.1:{proxy.port}"
            chosen = settings.RedisSettings(url=url, nodes=(url,))
            store = Store(chosen, lambda: MASTER, CLOCK, authorities=lambda: known[0])

            def greetings() -> int:
                return sum(b"HELLO" in written for written in proxy.writes)

            try:
                await store.start()
                assert "who vouches for its certificate is not known yet" in store.trouble
                assert not (await store.tend(["shop"], NOW)).is_kept
                assert proxy.writes == []
                known[0] = its
                await store.tend(["shop"], NOW)
                await eventually(lambda: store.state is StoreState.CONNECTED)
                assert (await store.tend(["shop"], NOW)).is_kept
                assert greetings() == 1
                # Another one is published beside it.
                known[0] = its + another
                assert (await store.tend(["shop"], NOW)).is_kept
                assert store.state is StoreState.CONNECTED
                assert greetings() == 1
            finally:
                await store.close()
