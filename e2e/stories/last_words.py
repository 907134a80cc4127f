"""What a namespace looks like when a wait was in vain: short enough to be read in a failed test."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import KubectlError

_WIDTH: Final = 220
_LINES: Final = 8
_TAIL: Final = 60
_NUMBERS: Final = re.compile(r'[0-9]+([.:T-][0-9]+)*Z?|"b2:[0-9a-f]+"')


def state(cluster: Cluster, namespace: str) -> str:
    """Pods, what events warn of, and the ends of all logs; equal lines once, long ones cut."""
    pods = cluster.kubectl.json("get", "pods", "-n", namespace)["items"]
    shown = [cluster.kubectl("get", "pods", "-n", namespace), *_warnings(cluster, namespace)]
    for pod in pods:
        name = pod["metadata"]["name"]
        for container in _containers(pod):
            with contextlib.suppress(KubectlError):
                log = cluster.kubectl(
                    "logs", name, "-c", container, "-n", namespace, f"--tail={_TAIL}"
                )
                shown.append(f"--- {name}, container {container}")
                shown.extend(_shortened(log.splitlines()))
    return "\n".join(shown)


def _containers(pod: dict[str, Any]) -> list[str]:
    spec = pod["spec"]
    return [one["name"] for one in (*spec.get("initContainers", ()), *spec["containers"])]


def _warnings(cluster: Cluster, namespace: str) -> Iterator[str]:
    found = cluster.kubectl.json("get", "events", "-n", namespace, "--field-selector=type=Warning")[
        "items"
    ]
    for event in found[-_LINES:]:
        about = event["involvedObject"]
        said = f"{event['reason']}: {event['message']}"
        yield f"! {about['kind'].lower()}/{about['name']}: {said}"[: 2 * _WIDTH]


def _shortened(lines: Sequence[str]) -> list[str]:
    """Lines in a row that differ in numbers only are one; the last of them is shown."""
    shown = []
    for _, alike in groupby(lines, key=lambda line: _NUMBERS.sub("#", line)):
        same = list(alike)
        times = f" (and {len(same) - 1} like it)" if len(same) > 1 else ""
        shown.append(f"{same[-1][:_WIDTH]}{times}")
    return shown[-_LINES:]
