"""`python -m e2e.numbers`: what guarding costs, on a real node with the release installed.

Prints a table with the bounds of issues 6 and 7; exits 1 beyond one. Everything runs on the same
cores, so a busy machine says nothing: the load average is printed first. `approvals` or `guarding`
as an argument measures that part alone.
"""

import asyncio
import functools
import json
import os
import re
import secrets
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from e2e import approval_numbers, figures
from e2e.cluster import images, node
from e2e.cluster.clusters import Cluster
from e2e.cluster.node import NodeCluster
from e2e.figures import Figure
from e2e.stories import ground, inside, releases
from e2e.stories.ground import Story, calls, is_text, is_withheld
from e2e.stories.releases import Release

_RATE: Final = 20
_SECONDS: Final = 20
_PODS: Final = 8
_CHANGES: Final = 50
_LOST_CHANGES: Final = 2
_LABELS: Final = {"mesh7.dev/injection": "on-request"}


class Client:
    """The administrator over HTTPS, without a process for each request."""

    def __init__(self, cluster: Cluster) -> None:
        self._url = cluster.url
        self._tls = figures.trust(cluster)

    async def create(self, namespace: str, pods: Sequence[dict[str, Any]]) -> list[float]:
        """Make pods at an even rate without storing them; how long each took, in ms."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        url = f"{self._url}/api/v1/namespaces/{namespace}/pods?dryRun=All"
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(pod: dict[str, Any]) -> float:
                begun = time.perf_counter()
                async with session.post(url, json=pod) as answer:
                    text = await answer.text()
                    assert answer.status == 201, text
                return (time.perf_counter() - begun) * 1000

            tasks, begun = [], time.perf_counter()
            for number, pod in enumerate(pods):
                await asyncio.sleep(max(0.0, begun + number / _RATE - time.perf_counter()))
                tasks.append(asyncio.create_task(one(pod)))
            return await asyncio.gather(*tasks)


def _pod(name: str, *, is_guarded: bool) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"mesh7.dev/inject": str(is_guarded).lower()}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "agent",
                    "image": "localhost/pause:3",
                    "imagePullPolicy": "Never",
                }
            ],
        },
    }


def admissions(cluster: Cluster, story: Story) -> Iterator[Figure]:
    """20 pods/s for 20 s."""
    client = Client(cluster)
    for is_guarded in (False, True):
        pods = [
            _pod(f"load-{secrets.token_hex(4)}", is_guarded=is_guarded)
            for _ in range(_RATE * _SECONDS)
        ]
        took = asyncio.run(client.create(story.namespace, pods))
        word = "guarded" if is_guarded else "unguarded"
        yield Figure(
            what=f"creation of a pod, {word}, p50", value=ground.percentile(took, 0.5), unit="ms"
        )
        yield Figure(
            what=f"creation of a pod, {word}, p99", value=ground.percentile(took, 0.99), unit="ms"
        )
    yield from _webhook(cluster)


def _webhook(cluster: Cluster) -> Iterator[Figure]:
    """What the API server measured of the webhook's answers, its own part included."""
    text = cluster.kubectl("get", "--raw", "/metrics")
    name = "apiserver_admission_webhook_admission_duration_seconds_bucket"
    found = re.findall(rf'{name}\{{name="requested-pods[^}}]*le="([^"]+)"[^}}]*\}} (\d+)', text)
    buckets = sorted((float(most), int(count)) for most, count in found)
    total = max(count for _, count in buckets)
    within = next(most for most, count in buckets if count >= 0.99 * total)
    yield Figure(
        what="admission by the webhook, p99 is at most", value=within * 1000, unit="ms", most=50
    )


def starts(story: Story) -> Iterator[Figure]:
    """From creation to Ready, by turns unguarded and guarded."""
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(_PODS):
        for is_guarded in (False, True):
            name = f"start-{number}-{str(is_guarded).lower()}"
            took[is_guarded].append(ground.took(functools.partial(_start, story, name, is_guarded)))
            story.kubectl("delete", "pod", name, "-n", story.namespace, "--now", "--wait=false")
    middle = {key: ground.percentile(values, 0.5) for key, values in took.items()}
    yield Figure(what="unguarded pod, created to Ready, median", value=middle[False], unit="s")
    yield Figure(what="guarded pod, created to Ready, median", value=middle[True], unit="s")
    later = max(took[True]) - middle[False]
    yield Figure(what="a guarded pod is Ready later by, worst", value=later, unit="s", most=4)


def _start(story: Story, name: str, is_guarded: bool) -> None:
    story.cluster.apply(json.dumps(_pod(name, is_guarded=is_guarded)), story.namespace)
    story.ready(f"pod/{name}")


def sidecar(story: Story) -> Iterator[Figure]:
    """A new pod's sidecar, from its program's start to readiness; memory of one under calls."""
    story.cluster.apply(json.dumps(_pod("fresh", is_guarded=True)), story.namespace)
    story.until(lambda: _is_ready(story, "fresh"), "a sidecar is ready")
    uid = story.pod("fresh")["metadata"]["uid"]
    yield Figure(what="sidecar ready after its program's start", value=_age_s(_pid(uid)), unit="s",
                 most=2)  # fmt: skip
    status = Path(f"/proc/{_pid(story.pod('agent')['metadata']['uid'])}/status").read_text()
    [kib] = re.findall(r"VmRSS:\s+(\d+)", status)
    yield Figure(
        what="RSS of a sidecar under calls", value=int(kib) * 1024 / 1e6, unit="MB", most=95
    )


def _is_ready(story: Story, pod: str) -> bool:
    address = story.pod(pod)["status"].get("podIP")
    try:
        with urllib.request.urlopen(f"http://{address}:7008/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _age_s(pid: int) -> float:
    begun = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - begun / os.sysconf("SC_CLK_TCK")


def _pid(uid: str) -> int:
    [found] = inside.processes(uid, "mesh7_sidecar")
    return found


def changes(story: Story, count: int) -> list[float]:
    """Seconds from `kubectl apply`'s end to the first call that obeys."""
    took = []
    for number in range(count):
        action, claim = (
            ("Deny", is_withheld) if number % 2 == 0 else ("Allow", is_text("water the plants"))
        )
        begun = time.time()
        story.apply("policy", ACTION=action)
        applied = time.time()
        found = story.await_said(
            "agent", "files.read", claim, f"it obeys {action}", since=begun, timeout_s=150
        )
        took.append(max(0.0, found["at"] - applied))
    return took


def measured(cluster: Cluster, release: Release) -> Iterator[Figure]:
    """All of it, in order."""
    folder = Path(ground.__file__).with_name("changed")
    with ground.told(cluster, folder, _LABELS) as story:
        yield from admissions(cluster, story)
        yield from starts(story)
        story.apply("tools", "source")
        story.apply("policy", ACTION="Allow")
        wanted = calls({"source": "files", "tool": "read", "arguments": {"name": "notes.txt"}})
        story.apply("agent", NAME="agent", CALLS=wanted)
        story.ready("pod/agent")
        story.await_said("agent", "files.read", is_text("water the plants"), "an agent works")
        pushed = changes(story, _CHANGES)
        yield Figure(
            what="a change is obeyed in the pod, p50",
            value=ground.percentile(pushed, 0.5) * 1000,
            unit="ms",
        )
        yield Figure(
            what="a change is obeyed in the pod, p99",
            value=ground.percentile(pushed, 0.99) * 1000,
            unit="ms",
            most=1000,
        )
        yield from sidecar(story)
        release.scale("redis", 0)
        lost = changes(story, _LOST_CHANGES)
        yield Figure(
            what="a change is obeyed without Redis, worst", value=max(lost), unit="s", most=120
        )


def main() -> int:
    """Raise, install, measure, print; 1 when a bound is missed."""
    print(f"load average {os.getloadavg()[0]:.1f} before", flush=True)
    built = {
        "operator": images.operator_image(), "sidecar": images.sidecar_image(),
        "agent": images.agent_image(), "redis": images.redis_image(),
    }  # fmt: skip
    with node.raised(f"numbers-{os.getpid()}") as raised:
        _load(raised, [image.archive for image in built.values()])
        release = releases.install(
            raised.cluster, releases.values({key: image.name for key, image in built.items()})
        )
        found = []
        for figure in _chosen(raised.cluster, release):
            found.append(figure)
            print(figure, flush=True)
    print(f"load average {os.getloadavg()[0]:.1f} after")
    return 0 if all(figure.is_kept for figure in found) else 1


def _chosen(cluster: Cluster, release: Release) -> Iterator[Figure]:
    """The parts that are named, else all."""
    parts = {"approvals": approval_numbers.measured, "guarding": measured}
    for name in sys.argv[1:] or parts:
        yield from parts[name](cluster, release)


def _load(raised: NodeCluster, archives: Sequence[Path]) -> None:
    for archive in archives:
        raised.load(archive)


if __name__ == "__main__":
    sys.exit(main())
