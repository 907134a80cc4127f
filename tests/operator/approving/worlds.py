"""Namespaces with held calls, and what becomes of one when steps are carried out."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mesh7_core import names
from mesh7_core.compiling import compiler
from mesh7_core.delivery import decisions, keys, stamps
from mesh7_core.ledger import approvals
from mesh7_core.ledger.asked import Asking, Request, State, Verdict, Vote
from mesh7_core.policy import canonical, destination, exact
from mesh7_core.policy.bundle import Bundle
from mesh7_core.policy.destination import Destination
from mesh7_core.policy.rules import Policy, RuleId
from mesh7_operator.approving.ground import MOST_MIRRORED_BYTES, MOST_OPEN, Ground, InLedger
from mesh7_operator.approving.plan import plan
from mesh7_operator.approving.steps import Mirror, Settle, Steps
from mesh7_operator.reconciling.world import Written

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
SHOP = "shop"
POD = "support-1"
UID = "11111111-2222-3333-4444-555555555555"
SIGNER = keys.SigningKey(b"\x01" * 32)
STRANGER = keys.SigningKey(b"\x03" * 32)
STAMPER = keys.SigningKey(b"\x04" * 32)
FINANCE = "shop/refunds/big"
BASELINE = "mesh7-system/refunds/money"
MINUTE = 60_000

POLICIES = {
    "refunds.yaml": """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: refunds, namespace: shop}
spec:
  selector: {}
  record: {redact: ["$.card"]}
  rules:
  - name: big
    tools: ["billing.refund"]
    action: RequireApproval
    reason: money leaves
    approval: {groups: [finance], timeout: 5m, useWithin: 2m}
  - name: huge
    tools: ["billing.wire"]
    action: RequireApproval
    approval: {groups: [finance, board], count: 2, timeout: 5m, useWithin: 2m}
  - name: look
    tools: ["billing.look"]
    action: Allow
""",
    "baseline/refunds.yaml": """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: refunds}
spec:
  selector: {}
  rules:
  - name: money
    tools: ["billing.pay"]
    action: RequireApproval
    approval: {timeout: 10m}
""",
}

SOURCE = """
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: billing, namespace: shop}
spec: {mcp: {url: "https://billing.shop.svc/live"}}
"""


def policies(files: Mapping[str, str] = POLICIES) -> Mapping[str, Policy]:
    """Compiled, by id."""
    return {one.id: one for one in _compiled(files).policies}


def sources(text: str = SOURCE) -> Mapping[str, Destination]:
    """Compiled, by name: where calls go."""
    compiled = _compiled({"sources.yaml": text})
    return {name: destination.destination(one) for name, one in compiled.sources.items()}


def _compiled(files: Mapping[str, str]) -> Bundle:
    written = {name: text.encode() for name, text in files.items()}
    compiled = compiler.compile_files(written, namespace=SHOP)
    assert compiled.bundle is not None, compiled.diagnostics
    return compiled.bundle


COMPILED = policies()
SOURCES = sources()
SALT = "5a17" * 8


@dataclass(frozen=True, kw_only=True)
class World:
    """A namespace in Redis and the API server; `sealed` lies where tenants only read."""

    requests: Mapping[str, Request] = field(default_factory=dict)
    sealed: Mapping[str, bytes] = field(default_factory=dict)
    mirrors: tuple[Written, ...] = ()
    grants: tuple[Written, ...] = ()
    pods: Mapping[str, str] | None = field(default_factory=lambda: {POD: UID})
    policies: Mapping[str, Policy] | None = field(default_factory=lambda: COMPILED)
    sources: Mapping[str, Destination] = field(default_factory=lambda: SOURCES)
    is_lost: bool = False
    now: datetime = NOON
    room: int = MOST_OPEN
    most_bytes: int = MOST_MIRRORED_BYTES
    gone: Collection[str] = ()
    left_out: Collection[str] = ()
    made: int = 0
    stamps: tuple[bytes, ...] = (STAMPER.public,)

    @property
    def store_ms(self) -> int:
        """Redis's clock goes a second after the cluster's."""
        return int(self.now.timestamp() * 1000) - 1000

    def ground(self) -> Ground:
        """What the controller gathers of it."""
        held = {
            name: InLedger(
                request=approvals.at(one, self.store_ms), decision=self.sealed.get(name, b"")
            )
            for name, one in self.requests.items()
            if name not in self.left_out
        }
        return Ground(
            namespace=SHOP,
            ledger=None if self.is_lost else held,
            store_ms=0 if self.is_lost else self.store_ms,
            mirrors=self.mirrors,
            grants=self.grants,
            policies=self.policies,
            sources=self.sources,
            pods=self.pods,
            stamps=self.stamps,
            signer=SIGNER,
            now=self.now,
            room=self.room,
            most_bytes=self.most_bytes,
            gone=self.gone,
            left_out=self.left_out,
        )


def request(
    number: int = 1,
    *,
    tool: str = "billing.refund",
    rules: tuple[str, ...] = (FINANCE,),
    arguments: object = None,
    opened_at_ms: int = NOON_MS - MINUTE,
    known: Mapping[str, Policy] = COMPILED,
    **changes: object,
) -> Request:
    """One as a sidecar opens it."""
    text = canonical.written({"amount": number} if arguments is None else arguments)
    voices = []
    for rule in rules:
        voice = exact.asking_voice(known[rule.rpartition("/")[0]], RuleId(rule))
        assert voice is not None
        voices.append(voice)
    spoken = [one.approval for one in voices if one.approval is not None]
    plain = Request(
        id=f"r-{number:026d}",
        digest="",
        agent=f"{SHOP}/support",
        pod=POD,
        tool=tool,
        arguments=text,
        definition="sha256:" + "d" * 64,
        asking=tuple(
            Asking(rule=one.id, groups=said.groups, count=said.count, text=one.text)
            for one, said in zip(voices, spoken, strict=True)
        ),
        timeout_ms=min(one.timeout for one in spoken) // timedelta(milliseconds=1),
        use_within_ms=min(one.use_within for one in spoken) // timedelta(milliseconds=1),
        opened_at_ms=opened_at_ms,
        trace_id="a" * 32,
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        uid=UID,
        source_host="billing.shop.svc",
        source=SOURCES["billing"].digest,
        mark=exact.mark_of("arguments", text),
        salt=SALT,
    )
    return digested(replace(plain, **changes), known)  # type: ignore[arg-type]


MANY_PODS = {f"{POD}-{number}": f"{UID}-{number}" for number in range(2_000)}


def of_another_pod(number: int, **changes: object) -> Request:
    """One of a pod that asks for nothing else; `MANY_PODS` has it."""
    name = f"{POD}-{number % len(MANY_PODS)}"
    return request(number, pod=name, uid=MANY_PODS[name], **changes)  # type: ignore[arg-type]


def digested(one: Request, known: Mapping[str, Policy] = COMPILED) -> Request:
    """The same with the digest of what it says."""
    namespace, _, account = one.agent.partition("/")
    call = exact.ExactCall(
        namespace=namespace, service_account=account, pod=one.pod, uid=one.uid, family=one.family,
        tool=one.tool, source_kind=one.source_kind, source_host=one.source_host,
        source=one.source, mark=one.mark, definition=one.definition, salt=one.salt,
    )  # fmt: skip
    voices = [
        voice
        for rule in one.asking
        if (policy := known.get(rule.policy)) is not None
        and (voice := exact.asking_voice(policy, RuleId(rule.rule))) is not None
    ]
    asking = exact.asked_rules(known.values(), voices)
    return replace(one, digest=exact.digest(call, asking))


def world(*requests: Request, **changes: object) -> World:
    """A namespace whose Redis holds these."""
    plain = World(requests={one.id: one for one in requests})
    return replace(plain, **changes)  # type: ignore[arg-type]


def mirrored(*requests: Request, **changes: object) -> World:
    """The same after a round."""
    return settled(world(*requests, **changes))


def grant(  # noqa: PLR0913 - one each of what differs
    found: World,
    name: str = "yes",
    *,
    to: str = "",
    by: str = "jane",
    groups: tuple[str, ...] = ("finance",),
    made_s: int = 0,
    stamper: keys.SigningKey | None = STAMPER,
    **spec: object,
) -> Written:
    """An exact Grant, stamped, for the one request there is (or `to`)."""
    mirror = next(one for one in found.mirrors if not to or one.name == to)
    asked = mirror.value["spec"]
    assert isinstance(asked, dict)
    policy_namespace, policy_name, _ = asked["rules"][0]["rule"].split("/")
    meant: dict[str, object] = {
        "effect": "Allow",
        "subject": {"pod": asked["pod"]["name"]},
        "requestRef": {"name": mirror.name, "uid": mirror.uid},
        "digest": asked["digest"],
        "policyRef": {"namespace": policy_namespace, "name": policy_name},
        "reason": "INC-4711",
        "grantedBy": {"username": by, "groups": list(groups)},
        **spec,
    }
    plain = _object(names.GRANT, name, meant, f"uid-of-{name}", found.now, made_s)
    if stamper is None:
        return plain
    granted_by = {**_mapping(meant["grantedBy"]), "stamp": stamps.stamp(plain.value, stamper)}
    return _object(
        names.GRANT, name, {**meant, "grantedBy": granted_by}, plain.uid, found.now, made_s
    )


def granted(found: World, *more: Written) -> World:
    """The world with these Grants."""
    return replace(found, grants=(*found.grants, *more))


def later(found: World, **span: float) -> World:
    """The same at another time."""
    return replace(found, now=found.now + timedelta(**span))


def settled(found: World) -> World:
    """The world after its plan."""
    return after(found, plan(found.ground()))


def after(found: World, steps: Steps) -> World:
    """The world when the steps were carried out, in their order, at the same moment."""
    for settle in steps.settle:
        found = _settled(found, settle)
    for mirror in steps.mirror:
        found = _mirrored(found, mirror)
    new = {(one.kind, one.name): one.status for one in steps.statuses}
    gone = dict(steps.deleted)
    mirrors = tuple(
        replace(one, status=_stored(new.get((one.kind, one.name), one.status)))
        for one in found.mirrors
        if gone.get(one.name) != one.uid
    )
    grants = tuple(
        replace(one, status=_stored(new.get((one.kind, one.name), one.status)))
        for one in found.grants
        if not _is_owned_by(one, gone)
    )
    return replace(found, mirrors=mirrors, grants=grants, gone=(*found.gone, *steps.gone))


def is_empty(steps: Steps) -> bool:
    """Whether there is nothing to do."""
    return not (steps.settle or steps.mirror or steps.statuses or steps.deleted or steps.events)


def state(found: World, name: str = "") -> str:
    """Of the one request, or of that name: `Approved APPROVED` as state and reason."""
    status = status_of(found.mirrors, name)
    return f"{status['state']} {_conditions(status)[0]['reason']}"


def message(found: World, name: str = "") -> str:
    """What its condition says to people."""
    return str(_conditions(status_of(found.mirrors, name))[0]["message"])


def heard(found: World, name: str = "yes") -> str:
    """Phase and reason of a Grant."""
    status = status_of(found.grants, name)
    return f"{status['phase']} {_conditions(status)[0]['reason']}"


def heard_message(found: World, name: str = "yes") -> str:
    """What a Grant's condition says to people."""
    return str(_conditions(status_of(found.grants, name))[0]["message"])


def spec(one: Written) -> dict[str, Any]:
    """What is written in it."""
    found = one.value["spec"]
    assert isinstance(found, dict)
    return found


def is_counted(one: Written) -> bool:
    """Whether a Grant's status says that it counted."""
    return one.status.get("phase") == "Active"


def status_of(objects: Iterable[Written], name: str = "") -> Mapping[str, object]:
    """The status of the one object, or of that name."""
    return next(one.status for one in objects if not name or one.name == name)


def decision(found: World, name: str) -> decisions.Decision | None:
    """What a sidecar reads there."""
    read = decisions.unseal(found.sealed.get(name, b""), [SIGNER.public])
    return read if isinstance(read, decisions.Decision) else None


def forged(one: Request, told: State, at_ms: int = NOON_MS - MINUTE // 2) -> Request:
    """What a Redis writer makes of it: whatever they like, with people who said so."""
    verdict = Verdict.DENY if told is State.DENIED else Verdict.APPROVE
    vote = Vote(person="eve", name="eve", groups=("finance", "board"), verdict=verdict, at_ms=at_ms)
    return replace(
        one,
        state=told,
        votes=() if told is State.WITHDRAWN else (vote,),
        decided_at_ms=at_ms,
        used_at_ms=at_ms if told is State.USED else 0,
        version=one.version + 1,
    )


def used(found: World, name: str, outcome: str = "succeeded") -> World:
    """The sidecar claimed it and ran the call."""
    one = found.requests[name]
    assert one.state is State.APPROVED, one
    claimed = approvals.claim(one, one.digest, found.store_ms)
    assert isinstance(claimed, Request), claimed
    finished = approvals.finish(claimed, outcome)
    assert isinstance(finished, Request), finished
    return with_request(found, finished)


def with_request(found: World, one: Request) -> World:
    """The world with this in its Redis."""
    return replace(found, requests={**found.requests, one.id: one})


def without_request(found: World, name: str) -> World:
    """The world whose Redis forgot it."""
    return replace(
        found,
        requests={key: one for key, one in found.requests.items() if key != name},
        sealed={key: one for key, one in found.sealed.items() if key != name},
    )


def _settled(found: World, settle: Settle) -> World:
    one = settle.before.id
    assert found.requests[one].version == settle.before.version
    assert settle.after.version == settle.before.version + 1
    assert approvals.decode(approvals.encode(settle.after)) == settle.after
    sealed = {**found.sealed, one: settle.decision} if settle.decision else found.sealed
    return replace(found, requests={**found.requests, one: settle.after}, sealed=sealed)


def _mirrored(found: World, mirror: Mirror) -> World:
    assert mirror.name not in {one.name for one in found.mirrors}
    made = found.made + 1
    spec = _mapping(_stored(mirror.manifest)["spec"])
    assert len(str(spec["arguments"])) <= 16384
    shown = {key: one for key, one in spec.items() if key != "arguments"}
    one = _object(names.APPROVAL_REQUEST, mirror.name, shown, f"uid-{made}", found.now)
    return replace(
        found,
        mirrors=(*found.mirrors, replace(one, status=_stored(mirror.status))),
        made=made,
        room=found.room - 1,
    )


def _is_owned_by(one: Written, gone: Mapping[str, str]) -> bool:
    ref = _mapping(_mapping(one.value["spec"])["requestRef"])
    return gone.get(str(ref["name"])) == ref["uid"]


def _stored(value: Mapping[str, object]) -> Mapping[str, object]:
    """As it comes back from the API server."""
    return _mapping(json.loads(json.dumps(value)))


def _conditions(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = status["conditions"]
    assert isinstance(found, list)
    return found


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value


def _object(
    kind: str, name: str, spec: Mapping[str, object], uid: str, now: datetime, made_s: int = 0
) -> Written:
    made = now + timedelta(seconds=made_s)
    return Written(
        kind=kind,
        namespace=SHOP,
        name=name,
        uid=uid,
        generation=1,
        value={
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": SHOP,
                "labels": {},
                "uid": uid,
                "generation": 1,
                "creationTimestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "spec": spec,
        },
    )
