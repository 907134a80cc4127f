"""The injector as a whole: files, the API server over HTTP, TLS, probes, and a quiet end."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from e2e.cluster import keys as certificates
from mesh7_core.injection import settings as injection
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources
from mesh7_operator.injector import door, program
from tests.fakes import api_server as fakes
from tests.operator.injector import asked, opened
from tests.operator.injector.asked import RELEASE, SHOP
from tests.peers import ports

_CLOCK = Clock(wall_ns=lambda: 1_795_251_600_000_000_000, monotonic_s=time.monotonic)


@dataclass(slots=True)
class Running:
    """The program while it runs."""

    chosen: settings.Injector
    session: aiohttp.ClientSession
    stopping: asyncio.Event
    task: asyncio.Task[None]

    async def ask(self, pod: dict[str, Any]) -> dict[str, Any]:
        """The response to the question about a new pod."""
        url = f"https://{self.chosen.listen}{door.INJECT}"
        async with self.session.post(url, json=asked.question(pod)) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = (await answer.json())["response"]
            return found

    async def ready(self) -> dict[str, Any]:
        """What `/readyz` says; nothing while nobody listens."""
        try:
            async with self.session.get(f"http://{self.chosen.metrics}/readyz") as answer:
                found: dict[str, Any] = await answer.json()
                return found
        except aiohttp.ClientConnectionError:
            return {}

    async def until(self, claim: Callable[[], Awaitable[bool]]) -> None:
        """Wait for it, as long as the program runs."""
        async with asyncio.timeout(30):
            while not await claim():
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.01)

    async def is_ready(self) -> bool:
        """Whether it may be sent questions."""
        return (await self.ready()).get("ok", False) is True


@asynccontextmanager
async def running(folder: Path, *, is_patient: bool = False) -> AsyncIterator[Running]:
    """The program with an API server; it is given whatever lies in the folder.

    Args:
        is_patient: told to end it serves on, for longer than any test takes.
    """
    authority = certificates.authority("injector")
    pair = certificates.server(authority, ["127.0.0.1"])
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    (folder / "seed").write_bytes(opened.SEED)
    listen, probes = _free()
    async with fakes.serving() as server:
        _fill(server)
        (folder / "kubeconfig").write_text(json.dumps(_kubeconfig(server.url)))
        chosen = settings.Injector(
            cluster=settings.Cluster(kubeconfig=folder / "kubeconfig"),
            listen=listen,
            certificate=folder / "tls.crt",
            private_key=folder / "tls.key",
            stamp_key=folder / "seed",
            injection=folder / injection.KEY,
            trust=folder,
            metrics=probes,
            grace_s=600.0 if is_patient else 0.0,
        )
        stopping = asyncio.Event()
        task = asyncio.create_task(program.run(chosen, _CLOCK, stopping))
        trusted = ssl.create_default_context(cadata=authority.certificate.decode())
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as session:
            yield Running(chosen, session, stopping, task)
            stopping.set()
            if is_patient:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _fill(server: fakes.ApiServer) -> None:
    labels = {"mesh7.dev/injection": "enabled"}
    server.put(resources.NAMESPACES, {"metadata": {"name": SHOP, "labels": labels}})
    server.put(resources.NAMESPACES, {"metadata": {"name": RELEASE}})
    named = {"name": "mesh7-stamp-public", "namespace": RELEASE}
    server.put(resources.CONFIG_MAPS, {"metadata": named})
    server.put(resources.TOOL_SOURCES, asked.source())


def _kubeconfig(url: str) -> dict[str, object]:
    return {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": {"token": "of-the-injector"}}],
    }


def _free() -> tuple[settings.Address, settings.Address]:
    """Two that nobody holds."""
    one, two = ports.free(), ports.free()
    return settings.Address("127.0.0.1", one), settings.Address("127.0.0.1", two)


async def test_it_is_ready_when_it_has_all_that_pods_need_and_serves_over_tls(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as injector:

        async def has_stamp_key() -> bool:
            return (await injector.ready()).get("has_stamp_key", False) is True

        await injector.until(has_stamp_key)
        assert await injector.ready() == {
            "ok": False, "has_certificate": True, "has_stamp_key": True, "has_settings": False,
            "has_trust_key": False, "has_authorities": False, "stopping": False,
        }  # fmt: skip
        opened.give(tmp_path)
        await injector.until(injector.is_ready)
        answer = await injector.ask(asked.pod())
        assert "MESH7_MCP_BILLING_URL" in json.dumps(opened.patch_of(answer))
        assert (await injector.ask(asked.pod(hostNetwork=True)))["allowed"] is False


async def test_other_settings_hold_without_a_restart(tmp_path: Path) -> None:
    opened.give(tmp_path)
    async with running(tmp_path) as injector:
        await injector.until(injector.is_ready)
        opened.give(tmp_path, opened.SETTINGS.replace(":0.1.0", ":0.2.0"))

        async def is_newer() -> bool:
            answer = await injector.ask(asked.pod())
            return "mesh7-sidecar:0.2.0" in json.dumps(opened.patch_of(answer))

        await injector.until(is_newer)


async def test_it_serves_on_when_it_is_told_to_end(tmp_path: Path) -> None:
    """Services learn late: a rollout costs no admission."""
    opened.give(tmp_path)
    async with running(tmp_path, is_patient=True) as injector:
        await injector.until(injector.is_ready)
        injector.stopping.set()
        await asyncio.sleep(0)
        assert (await injector.ready())["stopping"] is True
        assert (await injector.ask(asked.pod()))["allowed"] is True


async def test_a_certificate_that_cannot_be_used_keeps_nobody_from_asking(tmp_path: Path) -> None:
    opened.give(tmp_path)
    async with running(tmp_path) as injector:
        await injector.until(injector.is_ready)
        (tmp_path / "tls.crt").write_text("none")
        (tmp_path / injection.KEY).write_text("none")
        assert (await injector.ask(asked.pod()))["allowed"] is True
        assert await injector.is_ready()
