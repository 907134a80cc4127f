"""What people wait for when they answer held calls: a part of `python -m e2e.numbers`."""

import asyncio
import contextlib
import itertools
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import aiohttp

from e2e import figures
from e2e.cluster.clusters import Cluster
from e2e.figures import Figure
from e2e.stories import ground, plugin, refunds
from e2e.stories.ground import Story
from e2e.stories.refunds import AGENT, FOLDER, Person, name_of
from e2e.stories.releases import Release
from mesh7_core import names

_APPROVALS: Final = 60
_AT_ONCE: Final = 5
_STARTS: Final = 20
_NAMESPACES: Final = 100
_EACH: Final = 20
_LISTINGS: Final = 5
_LABELS: Final = {names.INJECTION_LABEL: "on-request"}
_CONTROLLER: Final = f"system:serviceaccount:{names.RELEASE_NAMESPACE}:mesh7-controller"
_KIND: Final = {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": "ApprovalRequest"}


def measured(cluster: Cluster, release: Release) -> Iterator[Figure]:
    """All of it, in order."""
    with ground.told(cluster, FOLDER, _LABELS) as story:
        story.apply("billing", "policy", "people")
        story.ready("pod/billing")
        refunds.add_agent(story, AGENT)
        jane = Person(cluster=cluster, namespace=story.namespace, name="jane", groups=("finance",))
        took = [one for _ in range(_APPROVALS // _AT_ONCE) for one in _approved(story, jane)]
        for share in (0.5, 0.99):
            yield Figure(
                what=f"`approve` returned to the call at its tool, p{share * 100:g}",
                value=ground.percentile(took, share) * 1000,
                unit="ms",
                most=500 if share > 0.5 else None,
            )
        yield from _starts(cluster, story)
    with release.without("controller"), _pending(cluster):
        yield from _listings(cluster)


def _approved(story: Story, jane: Person) -> list[float]:
    """Seconds from the end of each `approve` to its refund; some calls wait at a time."""
    orders = [f"order-{secrets.token_hex(4)}" for _ in range(_AT_ONCE)]
    with contextlib.ExitStack() as calls:
        waiting = {one: calls.enter_context(refunds.asked(story, one)) for one in orders}
        # All of them first: agents that start take the cores.
        asked = {one: refunds.await_request(story, one, "Pending") for one in orders}
        returned = {}
        for order, request in asked.items():
            jane.does("approve", name_of(request), "--reason", "measured")
            returned[order] = time.time()
            waiting[order].answer()
    paid = {order: refunds.paid(story, order) for order in orders}
    assert all(len(one) == 1 for one in paid.values()), paid
    return [max(0.0, paid[order][0]["at"] - returned[order]) for order in orders]


def _starts(cluster: Cluster, story: Story) -> Iterator[Figure]:
    """The same list by kubectl and by the plugin, by turns.

    Kubectl starts twice for the plugin: to find it, and to ask for it.
    """
    kubectl, where = story.kubectl, ("-n", story.namespace)
    bare, alone, ours = [], [], []
    for _ in range(_STARTS):
        bare.append(ground.took(lambda: kubectl("version", "--client")))
        alone.append(ground.took(lambda: kubectl("get", "approvalrequests", *where)))
        ours.append(ground.took(lambda: _listed(cluster, *where)))
    start, asked, listed = (median(one) * 1000 for one in (bare, alone, ours))
    yield Figure(what="`kubectl` starts in, median", value=start, unit="ms")
    yield Figure(what="`kubectl get approvalrequests`, median", value=asked, unit="ms")
    yield Figure(what="`kubectl mesh7 requests`, median", value=listed, unit="ms")
    yield Figure(what="of that the plugin's own", value=listed - asked - start, unit="ms", most=150)


def _listings(cluster: Cluster) -> Iterator[Figure]:
    took = [ground.took(lambda: _listed(cluster, "-A")) for _ in range(_LISTINGS)]
    many = f"{_NAMESPACES * _EACH:,} pending in {_NAMESPACES} namespaces"
    assert len(json.loads(_listed(cluster, "-A", "-o", "json"))) > 0
    shown = len(_listed(cluster, "-A").splitlines())
    assert shown >= _NAMESPACES * _EACH, shown
    yield Figure(what=f"{many}, listed, worst", value=max(took), unit="s", most=2)


def _listed(cluster: Cluster, *words: str) -> str:
    done = plugin.run(cluster, "requests", *words)
    assert done.returncode == 0, done
    return done.stdout


@contextlib.contextmanager
def _pending(cluster: Cluster) -> Iterator[None]:
    """Many ApprovalRequests, as the controller makes them."""
    with ThreadPoolExecutor(4) as aside:
        made = list(aside.map(lambda _: cluster.new_namespace("many"), range(_NAMESPACES)))
    try:
        asyncio.run(_make(cluster, made))
        yield
    finally:
        cluster.kubectl("delete", "namespace", *made, "--wait=false")


async def _make(cluster: Cluster, namespaces: list[str]) -> None:
    connector = aiohttp.TCPConnector(ssl=figures.trust(cluster), limit=8)
    as_controller = {"Impersonate-User": _CONTROLLER}
    async with aiohttp.ClientSession(connector=connector, headers=as_controller) as session:

        async def one(namespace: str, number: int) -> None:
            where = (
                f"{cluster.url}/apis/{_KIND['apiVersion']}/namespaces/{namespace}/approvalrequests"
            )
            async with session.post(where, json=_request(number)) as answer:
                assert answer.status == 201, await answer.text()
                made = await answer.json()
            status = f"{where}/{made['metadata']['name']}/status"
            waits = json.dumps({"status": {"state": "Pending"}})
            merged = {"Content-Type": "application/merge-patch+json"}
            async with session.patch(status, data=waits, headers=merged) as kept:
                assert kept.status == 200, await kept.text()

        both = itertools.product(namespaces, range(_EACH))
        await asyncio.gather(*(one(*each) for each in both))


def _request(number: int) -> dict[str, Any]:
    """One of about 1 KiB."""
    now = datetime.now(UTC).replace(microsecond=0)
    spec = {
        "tool": "billing.create_refund",
        "agent": {"serviceAccount": "default"},
        "pod": {"name": f"agent-{number}", "uid": secrets.token_hex(16)},
        "arguments": json.dumps({"order": secrets.token_hex(200), "amount": 700 + number}),
        "argumentsSize": 440,
        "digest": f"sha256:{secrets.token_hex(32)}",
        "rules": [{"rule": "many/refunds/big", "groups": ["finance"], "count": 1}],
        "openedAt": now.isoformat(),
        "expiresAt": (now + timedelta(hours=1)).isoformat(),
    }
    name = "r-" + "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(26))
    return {**_KIND, "metadata": {"name": name}, "spec": spec}
