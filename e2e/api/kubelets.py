"""Stands in for the kubelet: brings what Secrets and ConfigMaps hold into files, late."""

import base64
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from e2e.api import controllers
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError

LOOK_S = 0.3


def content(cluster: Cluster, kind: str, name: str) -> dict[str, bytes]:
    """What an object of the release namespace holds; nothing when it is not there."""
    try:
        found = cluster.kubectl.json("get", kind, name, "-n", controllers.RELEASE)
    except KubectlError as error:
        if "NotFound" in error.stderr:
            return {}
        raise
    data = found.get("data", {})
    if kind == "configmap":
        return {key: text.encode() for key, text in data.items()}
    return {key: base64.b64decode(text) for key, text in data.items()}


def bring(held: dict[str, bytes], folder: Path) -> None:
    """Swap them in, file by file."""
    folder.mkdir(exist_ok=True)
    for name, written in held.items():
        fresh = folder / f"{name}.new"
        fresh.write_bytes(written)
        fresh.replace(folder / name)


@contextlib.contextmanager
def mounting(cluster: Cluster, folder: Path, lag_s: float) -> Iterator[None]:
    """Keep an injector's certificate as the Secret has it, `lag_s` late, while the block runs."""
    ended = threading.Event()
    waiting: list[tuple[float, dict[str, bytes]]] = []
    last: dict[str, bytes] = {}

    def keep() -> None:
        nonlocal last
        while not ended.wait(LOOK_S):
            found = content(cluster, "secret", "mesh7-injector-certificate")
            if found and found != last:
                last = found
                waiting.append((time.monotonic() + lag_s, found))
            while waiting and waiting[0][0] <= time.monotonic():
                bring(waiting.pop(0)[1], folder)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
