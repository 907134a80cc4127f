"""Worlds to reconcile, and what becomes of one when a plan is carried out."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mesh7_core import names
from mesh7_core.delivery import envelopes, keys, payloads, stamps
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.reports import Origin, Report, SourceReport
from mesh7_operator.reconciling import config_map, network_policy
from mesh7_operator.reconciling.plan import (
    ApplyConfigMap,
    ApplyNetworkPolicy,
    DeleteConfigMap,
    DeleteNetworkPolicy,
    Plan,
)
from mesh7_operator.reconciling.reconcile import reconcile
from mesh7_operator.reconciling.world import (
    Delivered,
    Keys,
    NetworkPolicy,
    Published,
    StoreState,
    World,
    Written,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON_MS = 1_795_262_400_000
SHOP = "shop"
RELEASE = names.RELEASE_NAMESPACE
SIGNER = keys.SigningKey(b"\x01" * 32)
NEXT_SIGNER = keys.SigningKey(b"\x02" * 32)
STRANGER = keys.SigningKey(b"\x03" * 32)
STAMPER = keys.SigningKey(b"\x04" * 32)
KEYS = Keys(signer=SIGNER, links=(), stamps=(STAMPER.public,))

RULE: Mapping[str, object] = {"name": "refunds", "tools": ["billing.refund"], "action": "Allow"}
ASKING: Mapping[str, object] = {
    "name": "big",
    "tools": ["billing.refund"],
    "action": "RequireApproval",
    "approval": {"grantable": {"maxDuration": "2h", "maxUses": 20}},
}


def written(
    kind: str, name: str, spec: Mapping[str, object], *, namespace: str = SHOP, generation: int = 1
) -> Written:
    """An object as the API server has it, made an hour before noon."""
    return Written(
        kind=kind,
        namespace=namespace,
        name=name,
        uid=f"uid-of-{name}",
        generation=generation,
        value={
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {},
                "uid": f"uid-of-{name}",
                "generation": generation,
                "creationTimestamp": spelled(NOON - timedelta(hours=1)),
            },
            "spec": spec,
        },
    )


def policy(name: str = "support", *, namespace: str = SHOP, **spec: object) -> Written:
    """A policy that allows refunds, or says what `spec` says."""
    return written(
        names.AGENT_POLICY, name, {"selector": {}, "rules": [RULE], **spec}, namespace=namespace
    )


def broken_policy(name: str = "broken", *, namespace: str = SHOP) -> Written:
    """A policy that does not compile."""
    rule = {"name": "odd", "tools": ["billing.*"], "action": "Alow"}
    return policy(name, namespace=namespace, rules=[rule])


def source(name: str = "billing", **spec: object) -> Written:
    """A source of tools."""
    return written(names.TOOL_SOURCE, name, {"mcp": {"url": f"http://{name}.shop.svc/mcp"}, **spec})


def permission(
    name: str = "inc-4711", *, by: keys.SigningKey | None = STAMPER, **spec: object
) -> Written:
    """A standing grant, stamped, for the policy `support`."""
    meant: dict[str, object] = {
        "effect": "Allow",
        "subject": {"serviceAccount": "support"},
        "tools": ["billing.refund"],
        "policyRef": {"namespace": SHOP, "name": "support"},
        "expiresAt": spelled(NOON + timedelta(minutes=30)),
        "maxUses": 10,
        "reason": "INC-4711",
        "grantedBy": {"username": "ada", "stamp": ""},
        **spec,
    }
    unstamped = written(names.GRANT, name, meant)
    if by is None:
        return unstamped
    stamp = stamps.stamp(unstamped.value, by)
    return written(names.GRANT, name, {**meant, "grantedBy": {"username": "ada", "stamp": stamp}})


def veto(name: str = "stop", **spec: object) -> Written:
    """A veto of everything for one agent."""
    return written(
        names.GRANT,
        name,
        {"effect": "Deny", "subject": {"serviceAccount": "support"}, "reason": "no", **spec},
    )


def world(**changes: object) -> World:
    """An enrolled namespace with one policy and one source, of which nothing was delivered yet."""
    plain = World(
        namespace=SHOP,
        release_namespace=RELEASE,
        labels={names.INJECTION_LABEL: "enabled"},
        annotations={},
        is_enrolled=True,
        policies=(policy(),),
        baseline=(),
        sources=(source(),),
        grants=(),
        delivered=None,
        store=StoreState.CONNECTED,
        published=Published(),
        keys=KEYS,
        now=NOON,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def asking_world(**changes: object) -> World:
    """The same with a policy whose rule a grant may relax."""
    return world(policies=(policy(rules=[ASKING]),), **changes)


def sidecar(
    uid: str = "pod-1",
    *,
    bundle: int = 0,
    agent: str = "support",
    labels: Mapping[str, str] | None = None,
    sources: tuple[SourceReport, ...] = (),
) -> Report:
    """What one sidecar reports."""
    return Report(
        pod=f"name-of-{uid}",
        uid=uid,
        agent=agent,
        labels=labels or {},
        release=names.RELEASE,
        bundle=bundle,
        overlay=0,
        origin=Origin.REDIS,
        sources=sources,
    )


def reported(before: World, *found: Report) -> World:
    """The world with these reports in its store."""
    assert before.published is not None
    return replace(
        before, published=replace(before.published, reports={one.uid: one for one in found})
    )


def after(before: World, plan: Plan) -> World:
    """The world when the plan was carried out, at the same moment."""
    statuses = {(one.kind, one.name): one.status for one in plan.statuses}
    return replace(
        before,
        annotations={
            key: one
            for key, one in {**before.annotations, **plan.annotations}.items()
            if one is not None
        },
        policies=_with_statuses(before.policies, statuses),
        sources=_with_statuses(before.sources, statuses),
        grants=_with_statuses(before.grants, statuses),
        delivered=_delivered(before, plan),
        network_policy=_network_policy(before, plan),
        published=_published(before, plan),
    )


def settled(before: World) -> World:
    """The world after its plan."""
    return after(before, reconcile(before))


def later(before: World, span: timedelta) -> World:
    """The same world at another time."""
    return replace(before, now=before.now + span)


def is_empty(plan: Plan) -> bool:
    """Whether there is nothing to do."""
    return not (
        plan.publish
        or plan.forget
        or plan.config_map
        or plan.network_policy
        or plan.annotations
        or plan.statuses
        or plan.events
    )


def overlay_of(found: World) -> list[str]:
    """Names of the grants in force."""
    return sorted(one.name for one in overlay_content(found).documents)


def overlay_content(found: World) -> payloads.OverlayContent:
    """What the delivered overlay says."""
    return payloads.read_overlay(opened(found, Kind.OVERLAY).payload)


def bundle_of(found: World) -> payloads.BundleContent:
    """What the delivered bundle says."""
    return payloads.read_bundle(opened(found, Kind.BUNDLE).payload)


def opened(found: World, kind: Kind) -> envelopes.Opened:
    """The delivered envelope, as a sidecar with the current key opens it."""
    assert found.delivered is not None
    envelope = found.delivered.bundle if kind is Kind.BUNDLE else found.delivered.overlay
    assert envelope is not None
    answer = envelopes.unseal(envelope, kind, found.namespace, [found.keys.signer.public])
    assert isinstance(answer, envelopes.Opened), answer
    return answer


def condition(found: World, name: str, type_: str) -> tuple[str, str]:
    """Status and reason of a condition of the object with that name."""
    status = status_of(found, name)
    conditions = status["conditions"]
    assert isinstance(conditions, list)
    one = next(one for one in conditions if one["type"] == type_)
    return one["status"], one["reason"]


def message(found: World, name: str, type_: str) -> str:
    """What a condition says to people."""
    conditions = status_of(found, name)["conditions"]
    assert isinstance(conditions, list)
    return str(next(one["message"] for one in conditions if one["type"] == type_))


def status_of(found: World, name: str) -> Mapping[str, object]:
    """The status of the object with that name."""
    return next(
        one.status for one in (*found.policies, *found.sources, *found.grants) if one.name == name
    )


def spelled(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def sha1(envelope: bytes) -> str:
    return hashlib.sha1(envelope, usedforsecurity=False).hexdigest()


def in_base64(manifest: Mapping[str, object], key: str) -> bytes:
    """A key of a ConfigMap's `binaryData`."""
    binary = manifest["binaryData"]
    assert isinstance(binary, dict)
    return base64.b64decode(binary[key])


def _with_statuses(
    objects: tuple[Written, ...], statuses: Mapping[tuple[str, str], Mapping[str, object]]
) -> tuple[Written, ...]:
    return tuple(
        replace(one, status=statuses.get((one.kind, one.name), one.status)) for one in objects
    )


def _delivered(before: World, plan: Plan) -> Delivered | None:
    match plan.config_map:
        case ApplyConfigMap(manifest=manifest):
            return config_map.delivered_of(manifest)
        case DeleteConfigMap():
            return None
        case _:
            return before.delivered


def _network_policy(before: World, plan: Plan) -> NetworkPolicy | None:
    match plan.network_policy:
        case ApplyNetworkPolicy(manifest=manifest):
            return network_policy.found_of(manifest)
        case DeleteNetworkPolicy():
            return None
        case _:
            return before.network_policy


def _published(before: World, plan: Plan) -> Published | None:
    """As functions.lua has it: only a higher version is taken, unless it is forced."""
    found = before.published
    if found is None or before.store is not StoreState.CONNECTED:
        return found
    if plan.forget:
        return replace(found, bundle=0, overlay=0, bundle_sha1="", overlay_sha1="")
    for one in plan.publish:
        if one.kind is Kind.BUNDLE and (one.force or one.version > found.bundle):
            found = replace(found, bundle=one.version, bundle_sha1=sha1(one.content))
        if one.kind is Kind.OVERLAY and (one.force or one.version > found.overlay):
            found = replace(found, overlay=one.version, overlay_sha1=sha1(one.content))
    return found
