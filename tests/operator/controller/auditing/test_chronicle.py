"""The controller's own records: what people decided and made, each once, and nothing else."""

from collections.abc import Mapping
from typing import Any

import orjson

from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.controller.auditing.chronicle import MOST_CLAIMED, Chronicle
from mesh7_operator.reconciling.plan import Plan, Publish
from mesh7_operator.reconciling.world import Written

BEGAN = "2026-11-21T10:00:00Z"


class _Lines:
    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def note(self, _: str, line: bytes) -> None:
        self.found.append(orjson.loads(line))

    def note_fact(self, _: str, name: str, said: Mapping[str, object]) -> None:
        self.found.append({name: dict(said)})


def _grant(name: str, made: str, effect: str = "Allow", **more: object) -> Written:
    spec = {"effect": effect, "reason": "nightly", "grantedBy": {"username": "jane"}, **more}
    return Written(
        kind="Grant", namespace="shop", name=name, uid=f"uid-of-{name}", generation=1,
        value={"metadata": {"creationTimestamp": made}, "spec": spec},
    )  # fmt: skip


def _plan(version: int, *, publishes: bool = True) -> Plan:
    publish = (Publish(kind=Kind.BUNDLE, version=version, content=b""),) if publishes else ()
    return Plan(namespace="shop", publish=publish, bundle_version=version, overlay_version=7)


def test_grants_and_vetoes_are_recorded_when_they_are_made_and_when_they_are_gone() -> None:
    """The brief of issue 8: standing grants, vetoes and kills made or removed."""
    lines = _Lines()
    chronicle = Chronicle(lines, lambda: 0)
    old, new = _grant("old", "2026-11-20T10:00:00Z"), _grant("new", "2026-11-21T10:00:01Z")
    chronicle.stand("shop", [old, new], BEGAN)
    veto = _grant("stop", "2026-11-21T10:00:05Z", "Deny")
    chronicle.stand("shop", [new, veto], BEGAN)
    chronicle.stand("shop", [new, veto], BEGAN)
    said = [(one.get("deed"), one.get("grant"), one.get("removed")) for one in lines.found]
    assert said == [
        ("grant", "new", None),
        ("kill", "stop", None),
        (None, None, {"name": "old", "uid": "uid-of-old", "by": "jane"}),
    ]
    assert lines.found[0]["by"]["person"] == "jane"
    assert (lines.found[0]["grantUid"], lines.found[0]["reason"]) == ("uid-of-new", "nightly")


def test_answers_to_held_calls_are_no_standing_grants() -> None:
    lines = _Lines()
    exact = _grant("yes", "2026-11-21T10:00:01Z", requestRef={"name": "r-1"})
    Chronicle(lines, lambda: 0).stand("shop", [exact], BEGAN)
    assert lines.found == []


def test_another_version_is_recorded_once() -> None:
    """Issue 8: every bundle change."""
    lines = _Lines()
    chronicle = Chronicle(lines, lambda: 0)
    for plan in (_plan(1, publishes=False), _plan(2), _plan(2), _plan(3)):
        chronicle.delivered(plan)
    assert [(one["bundle"]["from"], one["bundle"]["to"]) for one in lines.found] == [
        ("1", "2"), ("2", "3"),
    ]  # fmt: skip


def test_what_a_tenant_claims_without_end_is_bounded() -> None:
    lines = _Lines()
    doubted = {f"r-{place}": "x" * 10_000 for place in range(1000)}
    Chronicle(lines, lambda: 0).doubted("shop", doubted)
    assert len(lines.found) == 20
    assert max(len(one["doubted"]["why"]) for one in lines.found) == 300


def test_what_tenants_claim_hour_by_hour_leaves_room_for_what_people_do() -> None:
    """Their lines stand in the chain of people's decisions."""
    lines, now_ns = _Lines(), [0]
    chronicle = Chronicle(lines, lambda: now_ns[0])
    for look in range(100):
        chronicle.doubted("shop", {f"r-{look}": "x"})
    chronicle.doubted("bank", {"r-1": "x"})
    assert len(lines.found) == MOST_CLAIMED + 1
    now_ns[0] = 3_600_000_000_001
    chronicle.doubted("shop", {"r-100": "x"})
    assert lines.found[-2]["doubted"] == {"leftOut": 100 - MOST_CLAIMED}
    assert lines.found[-1]["doubted"]["requestId"] == "r-100"
