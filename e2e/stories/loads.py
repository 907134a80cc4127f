"""Pods asked for at a steady rate, and what admission answers; none of them is stored."""

import base64
import contextlib
import http.client
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import yaml

from e2e.cluster.clusters import Cluster

_AT_ONCE = 4
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request came to.

    Attributes:
        at: when it was made, Unix time.
        took_s: until it was answered.
        trouble: why no guarded pod would have come of it; empty when one would have.
    """

    at: float
    took_s: float
    trouble: str


@dataclass(slots=True, kw_only=True)
class Load:
    """Requests of a time; may be read while they go on."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def troubles(self) -> list[str]:
        """Of those that failed."""
        return [one.trouble for one in self.answers if one.trouble]


@contextlib.contextmanager
def creating(cluster: Cluster, namespace: str, *, per_second: float) -> Iterator[Load]:
    """Ask for pods that want a guard, as the administrator, while the block runs.

    Over connections that stay, for a process of kubectl each would cost more than the admission.
    """
    load, ended = Load(), threading.Event()
    context = _context(cluster)

    def ask() -> None:
        period_s = _AT_ONCE / per_second
        place = urllib.parse.urlsplit(cluster.url)
        connection = http.client.HTTPSConnection(
            place.hostname or "", place.port, context=context, timeout=_PATIENCE_S
        )
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + period_s, time.monotonic())
            load.answers.append(_asked(connection, namespace))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _asked(connection: http.client.HTTPSConnection, namespace: str) -> Answer:
    at, begun = time.time(), time.monotonic()
    try:
        connection.request(
            "POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", _POD,
            {"Content-Type": "application/json"},
        )  # fmt: skip
        answer = connection.getresponse()
        trouble = _trouble(answer.status, answer.read())
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        trouble = repr(error)
    return Answer(at=at, took_s=time.monotonic() - begun, trouble=trouble)


def _trouble(status: int, body: bytes) -> str:
    if status != HTTPStatus.CREATED:
        return f"{status}: {body[:400].decode(errors='replace')}"
    inits = json.loads(body)["spec"].get("initContainers", [])
    return "" if [one["name"] for one in inits] == ["mesh7"] else "it is not guarded"


def _context(cluster: Cluster) -> ssl.SSLContext:
    """Of the administrator's certificate."""
    user = yaml.safe_load(cluster.admin.read_text())["users"][0]["user"]
    pair = cluster.folder / "load.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(
        b"\n".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key"))
    )
    context = ssl.create_default_context(cafile=str(cluster.ca))
    context.load_cert_chain(pair)
    return context


_POD = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "load-", "labels": {"mesh7.dev/inject": "true"}},
        "spec": {
            "containers": [
                {"name": "agent", "image": "localhost/pause:3", "imagePullPolicy": "Never"}
            ]
        },
    }
)
