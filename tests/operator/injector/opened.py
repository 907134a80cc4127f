"""A door of the injector that a test may ask, its API server and its files."""

import asyncio
import base64
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import test_utils
from prometheus_client import CollectorRegistry

from mesh7_core import errors
from mesh7_core.injection import settings as injection
from mesh7_operator import metrics, settings, tracing
from mesh7_operator.injector import door, injecting
from mesh7_operator.injector.asking import Asking
from mesh7_operator.injector.given import Files
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.injector.places import Places
from mesh7_operator.injector.stamp_key import StampKey
from mesh7_operator.injector.surroundings import Surveyor
from mesh7_operator.injector.turns import Turns
from mesh7_operator.tracing import Tracer
from tests.operator.injector import asked
from tests.operator.injector.asked import RELEASE, SHOP, Table

SEED = bytes(range(32))
SETTINGS = """
apiVersion: mesh7.dev/v1alpha1
kind: Injection
image: registry.example/mesh7-sidecar:0.1.0
"""
API_SERVER = "10.96.0.1"
TRUST_KEY = base64.b64encode(bytes(range(32))).decode()
_TABLE = {
    ("AgentPolicy", SHOP, "support"): asked.policy(),
    ("Namespace", "", SHOP): {"metadata": {"labels": {"mesh7.dev/injection": "enabled"}}},
    ("Namespace", "", "argo"): {"metadata": {}},
    ("ConfigMap", RELEASE, "mesh7-stamp-public"): {},
    ("ToolSource", SHOP, "billing"): asked.source(),
}


class Door:
    """One door, its API server and its counts."""

    def __init__(
        self,
        client: test_utils.TestClient[Any, Any],
        table: Table,
        registry: CollectorRegistry,
        ending: asyncio.Event,
    ) -> None:
        self.client = client
        self.table = table
        self.ending = ending
        self._registry = registry

    async def ask(self, path: str, question: object) -> dict[str, Any]:
        """The response of a question that is answered."""
        async with self.client.post(path, data=io.BytesIO(json.dumps(question).encode())) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = (await answer.json())["response"]
            return found

    async def send(self, body: bytes, path: str = door.VALIDATE) -> tuple[int, str]:
        """Status and text of anything."""
        async with self.client.post(path, data=io.BytesIO(body)) as answer:
            return answer.status, await answer.text()

    def count(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    *,
    places: Places | None = None,
    pod_places: Places | None = None,
    patience_s: float = 2.0,
    tracer: Tracer = tracing.OFF,
) -> AsyncIterator[Door]:
    """A door whose stamp key is published, with what lies in the folder."""
    table = Table(dict(_TABLE))
    (folder / "seed").write_bytes(SEED)
    key = StampKey(folder / "seed", table, RELEASE)
    await key.refresh()
    ending = asyncio.Event()
    registry = metrics.registry()
    clock_s = asyncio.get_running_loop().time
    measured = InjectorMetrics(registry)
    files = files_in(folder)
    for look in files.looks:
        with contextlib.suppress(errors.SettingsError):
            await look.refresh()
    pods = injecting.Parts(
        files=files,
        surveyor=Surveyor(table, patience_s),
        turns=Turns(clock_s, judge="injection"),
        metrics=measured,
        places=pod_places or injecting.places(),
    )
    parts = door.Parts(
        asking=Asking(table, RELEASE, patience_s),
        stamp_key=key,
        release_namespace=RELEASE,
        turns=Turns(clock_s),
        metrics=measured,
        monotonic_s=clock_s,
        is_ending=ending.is_set,
        tracer=tracer,
        pods=pods,
        places=places or Places(),
    )
    async with test_utils.TestClient(test_utils.TestServer(door.application(parts))) as client:
        yield Door(client, table, registry, ending)


def files_in(folder: Path) -> Files:
    """What the injector is given there, whether it lies there or not."""
    return Files(
        settings.Injector(
            cluster=settings.Cluster(),
            listen=settings.Address("127.0.0.1", 0),
            certificate=folder / "tls.crt",
            private_key=folder / "tls.key",
            stamp_key=folder / "seed",
            injection=folder / injection.KEY,
            trust=folder,
            authorities=folder / "ca.crt",
            api_server=API_SERVER,
        )
    )


def give(folder: Path, text: str = SETTINGS) -> None:
    """Lay down what pods get."""
    (folder / injection.KEY).write_text(text)
    (folder / "key").write_text(TRUST_KEY + "\n")


def patch_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """What an answer changes; empty = nothing."""
    found: list[dict[str, Any]] = json.loads(base64.b64decode(answer.get("patch", "W10=")))
    return found
