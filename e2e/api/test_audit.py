"""The cluster's audit: a real sidecar's records in Redis, anchored by a real controller."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.api import controllers, held_calls, sidecars
from e2e.api.controllers import RELEASE, Controller
from e2e.api.held_calls import PATIENCE_S, Scene, Shop
from e2e.api.sidecars import Sidecar
from e2e.api.test_rights import refused
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import KubectlError
from mesh7_core.ledger import audit_entries
from mesh7_core.ledger.asked import State
from mesh7_core.ledger.audit_entries import Entry
from mesh7_operator.anchoring import writing
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.verifying import Verified, verify

MADE = ["made.first", "made.second", "made.third"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A court and a Redis, for this module alone."""
    need("api")
    with held_calls.staged(tmp_path_factory.mktemp("audited")) as scene:
        yield scene


@pytest.fixture
def controller(scene: Scene) -> Iterator[Controller]:
    with scene.controlling("controller") as controller:
        controller.await_line("everything is listed", PATIENCE_S)
        yield controller


@contextlib.contextmanager
def _guarding(shop: Shop, folder: Path) -> Iterator[Sidecar]:
    """A real sidecar of the shop's namespace, with real credentials."""
    cluster = shop.scene.court.cluster
    url = f"redis://127.0.0.1:{shop.scene.redis.port}"
    environment = {
        **sidecars.of_pod(shop.name, controllers.operator(cluster, "keys", "show").strip()),
        **sidecars.with_redis(cluster, shop.name, url, folder / "given"),
        **sidecars.LOOPBACK,
    }
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(sidecars.guarding(folder, environment))
        stack.enter_context(sidecars.mounting(cluster, shop.name, sidecar.bundle_directory))
        sidecar.await_ready()
        yield sidecar


def _anchor(shop: Shop) -> Anchor | None:
    """As somebody reads it who has today's key; None = there is none (yet)."""
    name = writing.name_of(shop.name)
    try:
        found = shop.kubectl.json("get", "configmap", name, "-n", RELEASE)
    except KubectlError:
        return None
    key = controllers.operator(shop.scene.court.cluster, "keys", "show").strip()
    anchor = writing.read(found["data"], shop.name, (base64.b64decode(key),))
    assert anchor is not None, "it is not signed"
    return anchor


def _entries(shop: Shop) -> list[Entry]:
    found = shop.scene.redis.tell("XRANGE", f"m7a:{{{shop.name}}}:audit", "-", "+")
    assert isinstance(found, list)
    read = [audit_entries.read_entry(one) for one in found]
    return [one for one in read if one is not None]


def _records(shop: Shop) -> list[dict[str, Any]]:
    bodies = [one.segment.body for one in _entries(shop) if one.segment is not None]
    return [json.loads(line) for body in bodies for line in body.splitlines()]


def _verified(shop: Shop) -> Verified:
    anchor = _anchor(shop)
    assert anchor is not None
    return verify(_entries(shop), anchor)


def _is_anchored(shop: Shop, chains: int, *, ended: int = 0) -> bool:
    """Whether as many chains of sidecars are anchored, to their ends as they lie in Redis."""
    anchor = _anchor(shop)
    if anchor is None:
        return False
    theirs = [one for one in anchor.chains.values() if not one.is_operators]
    is_done = sum(one.is_ended for one in theirs) >= ended
    entries = _entries(shop)
    return len(theirs) >= chains and is_done and bool(entries) and anchor.last == entries[-1].id


def _refuses(sidecar: Sidecar, tool: str) -> None:
    assert sidecar.call(tool, {}) is None


@pytest.mark.promise("T5")
def test_a_sidecars_records_are_anchored_and_go_on_after_restarts(
    scene: Scene, controller: Controller, tmp_path: Path
) -> None:
    """Design 11, and nothing that the chart's rights and admission do not give."""
    shop = scene.shop(controller)
    with _guarding(shop, tmp_path / "pod") as sidecar:
        _refuses(sidecar, "made.first")
        sidecar.until(lambda: _is_anchored(shop, 1), "its chain is anchored", PATIENCE_S)
        assert {"made.first"} <= {one.get("tool") for one in _records(shop)}
        controller.end()
        _refuses(sidecar, "made.second")
        with scene.controlling("successor") as successor:
            successor.await_line("everything is listed", PATIENCE_S)
            _refuses(sidecar, "made.third")
            sidecar.end()
            successor.until(
                lambda: _is_anchored(shop, 1, ended=1), "its end is anchored", PATIENCE_S
            )
            tools = [one["tool"] for one in _records(shop) if one.get("tool") in MADE]
            assert tools == MADE
            found = _verified(shop)
            assert (found.findings, found.is_whole) == ((), True)
            anchor = _anchor(shop)
            assert anchor is not None
            assert anchor.findings == ()
            metrics = successor.metrics()
            assert not [name for name in metrics if name.startswith("mesh7_audit_findings_total")]
    assert refused(scene.court.server) == []


@pytest.mark.promise("T5")
def test_a_persons_decision_stands_in_the_controllers_own_chain(
    scene: Scene, controller: Controller
) -> None:
    """The brief of issue 8: verdict, authenticated name, reason, request, Grant and its uid."""
    shop = scene.shop(controller)
    asked = shop.opens()
    mirror = shop.until_mirrored(asked)
    grant = shop.answer(shop.person("jane", "finance"), mirror)
    shop.until_state(asked, State.APPROVED)
    controller.until(
        lambda: any(one.get("deed") == "approve" for one in _records(shop)),
        "what she said is recorded",
        PATIENCE_S,
    )
    (said,) = [one for one in _records(shop) if one.get("deed") == "approve"]
    found = shop.kubectl.json("get", "grant", grant, "-n", shop.name)
    assert (said["by"]["person"], said["requestId"], said["tool"]) == (
        "jane", asked.id, "wire.send",
    )  # fmt: skip
    assert (said["grant"], said["grantUid"]) == (grant, found["metadata"]["uid"])
    assert said["groups"] == ["finance"]
    assert "bundle" in {key for one in _records(shop) for key in one}
    controller.until(lambda: _anchor(shop) is not None and _verified(shop).is_whole, "it is sound")


@pytest.mark.promise("T5")
def test_what_somebody_cut_from_redis_is_told(
    scene: Scene, controller: Controller, tmp_path: Path
) -> None:
    """Issue 8, faults: audit stream trimmed."""
    shop = scene.shop(controller)
    with _guarding(shop, tmp_path / "pod") as sidecar:
        _refuses(sidecar, "made.first")
        sidecar.until(lambda: _is_anchored(shop, 1), "its chain is anchored", PATIENCE_S)
        scene.redis.tell("XTRIM", f"m7a:{{{shop.name}}}:audit", "MAXLEN", 0)
        assert not _verified(shop).is_whole
        _refuses(sidecar, "made.second")
        name = f'mesh7_audit_findings_total{{kind="cut",namespace="{shop.name}"}}'
        controller.until(lambda: controller.metrics().get(name, 0.0) >= 1.0, "it is counted")
        controller.until(lambda: _is_told(shop), "people are told")


def _is_told(shop: Shop) -> bool:
    events = shop.kubectl.json("get", "events", "-n", RELEASE)["items"]
    return any(
        one["reason"] == "AuditCut" and one["involvedObject"]["name"].endswith(shop.name)
        for one in events
    )
