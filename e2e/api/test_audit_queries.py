"""The audit of a namespace asked by `kubectl mesh7`, with a real controller, API server and Redis.

The sidecar is a stand-in: it seals lines into a chain and appends them where sidecars do.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.api import approvals, held_calls
from e2e.api.controllers import RELEASE, Controller
from e2e.api.held_calls import Scene
from e2e.api.plugins import Answer, Plugin
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.audit import chain, moments
from mesh7_core.delivery.keys import KEY_BYTES, SigningKey
from mesh7_core.ledger import audit_entries, audit_writers
from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_core.ledger.redis_layout import Layout
from tests.operator.querying.trails import line

BEGAN_MS = 1_795_258_936_000
PATIENT = "--wait=50s"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A court and a Redis, for this module alone."""
    need("api")
    with held_calls.staged(tmp_path_factory.mktemp("audited")) as scene:
        yield scene


@pytest.fixture(scope="module")
def controller(scene: Scene) -> Iterator[Controller]:
    with scene.controlling("controller") as controller:
        controller.await_line("everything is listed", held_calls.PATIENCE_S)
        yield controller


@dataclass(slots=True, kw_only=True)
class Shop:
    """An enrolled namespace with an auditor, and one sidecar's chain."""

    scene: Scene
    controller: Controller
    name: str
    auditor: Path
    key: SigningKey = field(default_factory=lambda: SigningKey(secrets.token_bytes(KEY_BYTES)))
    written: chain.Chain = field(init=False)

    def __post_init__(self) -> None:
        self.written = chain.new(audit_writers.name_of(self.key.public))

    @property
    def kubectl(self) -> Kubectl:
        return self.scene.court.cluster.kubectl

    def write(self, *tools: str, **fields: Any) -> None:
        """Calls, sealed and appended as one segment."""
        first = self.written.head.block + 1
        lines = [line(BEGAN_MS + first * 1000, tool, **fields) for tool in tools]
        sealed = self.written.seal(lines, moments.written((BEGAN_MS + first * 1000) * 10**6))
        self.written.keep(sealed)
        head = self.written.head
        segment = Segment(
            kind=Kind.BLOCKS, chain=head.chain, first=first, last=head.block, hash=head.hash,
            records=len(lines), uid="3f0c", pod="support-0", body=sealed.content,
        )  # fmt: skip
        segment = audit_writers.signed(segment, self.key, self.name)
        inbox = Layout(self.name).audit_inbox
        self.scene.redis.tell("RPUSH", inbox, audit_entries.written(segment))

    def asks(self, *words: str, kubeconfig: Path | None = None) -> Answer:
        """The auditor, by the plugin; or somebody else."""
        plugin = Plugin(cluster=self.scene.court.cluster)
        return plugin(*words, "-n", self.name, kubeconfig=kubeconfig or self.auditor)

    def finds(self, *words: str) -> dict[str, Any]:
        """What `audit -o json` has; of calls alone."""
        answer = self.asks("audit", "--tool", "*.*", *words, "-o", "json", PATIENT)
        assert answer.code == 0, answer.err
        found: dict[str, Any] = json.loads(answer.out)
        return found

    def until_anchored(self) -> None:
        """The controller has signed what was written."""
        where = ("get", "configmap", f"mesh7-audit-{self.name}", "-n", RELEASE)
        self.controller.until(lambda: self._is_anchored(where), "it is anchored")

    def _is_anchored(self, where: tuple[str, ...]) -> bool:
        found = self.kubectl(*where, "--ignore-not-found", "-o", "jsonpath={.data.anchor}")
        return self.written.head.hash in found

    def queries(self) -> list[str]:
        """Those that are there."""
        return self.kubectl("get", "m7a", "-n", self.name, "-o", "name").split()


@pytest.fixture
def shop(scene: Scene, controller: Controller) -> Shop:
    cluster = scene.court.cluster
    name = cluster.new_namespace("audited", {names.INJECTION_LABEL: "on-request"})
    person = scene.court.person("olga", "mesh7-auditor", namespace=name)
    return Shop(scene=scene, controller=controller, name=name, auditor=person.kubeconfig)


def _tools(found: dict[str, Any]) -> list[str]:
    return [one["tool"] for one in found["records"]]


@pytest.mark.promise("T5", "C3")
def test_an_auditor_reads_what_was_called_newest_first_and_page_by_page(shop: Shop) -> None:
    shop.write("a.one", "a.two")
    shop.write("a.three", decision="Deny")
    first = shop.finds("--limit", "2")
    assert _tools(first) == ["a.three", "a.two"]
    # What comes meanwhile moves no cursor.
    shop.write("a.four")
    rest = shop.finds("--limit", "2", "--cursor", first["cursor"])
    assert _tools(rest) == ["a.one"]
    assert _tools(shop.finds("--decision", "deny")) == ["a.three"]
    assert shop.queries() == []


@pytest.mark.promise("T5", "C3")
def test_a_decision_is_explained_and_a_trace_drawn_from_the_records_alone(shop: Shop) -> None:
    trace = "0123456789abcdef0123456789abcdef"
    shop.write("a.one", traceId=trace, durationMs=12.5)
    identifier = f"{shop.written.head.chain}-1"
    told = shop.asks("explain", identifier, PATIENT)
    assert (told.code, "a.one" in told.out) == (0, True), told.err
    drawn = shop.asks("trace", trace, PATIENT)
    assert (drawn.code, drawn.out.splitlines()[0]) == (0, f"trace {trace}, 1 call"), drawn.err


@pytest.mark.promise("T5")
def test_that_somebody_read_the_audit_stands_in_the_audit(shop: Shop) -> None:
    """With the name that the API server knows: admission takes no other."""
    shop.write("a.one")
    shop.finds("--decision", "Allow")
    seen: list[Any] = []

    def is_recorded() -> bool:
        answer = shop.asks("audit", "--deeds", "-o", "json", PATIENT)
        seen[:] = json.loads(answer.out)["records"] if answer.code == 0 else []
        return any("decision=Allow" in one["reason"] for one in seen)

    until(is_recorded, "it is recorded", timeout_s=held_calls.PATIENCE_S)
    assert {(one["deed"], one["by"]["person"]) for one in seen} == {("audit", "olga")}


@pytest.mark.promise("T5", "C3")
def test_a_sound_audit_is_vouched_for_here_and_there(shop: Shop) -> None:
    shop.write("a.one", "a.two")
    shop.until_anchored()
    # Without the right to read the anchor it is the controller's word.
    assert "this is the controller's word" in shop.asks("audit", "verify", PATIENT).out
    answer = shop.asks("audit", "verify", PATIENT, kubeconfig=shop.scene.court.cluster.admin)
    assert answer.code == 0, answer.out + answer.err
    assert answer.out.startswith(f"{shop.name}: sound\n")
    assert "  here      the anchor is signed by a key of this release\n" in answer.out


@pytest.mark.promise("T5")
@pytest.mark.parametrize("how", ["cut", "edited"])
def test_attack_whoever_rules_redis_changes_the_audit_and_is_found(shop: Shop, how: str) -> None:
    """With more rights than any sidecar; what was signed lies elsewhere."""
    shop.write("a.one")
    shop.write("a.two")
    shop.until_anchored()
    key, redis = Layout(shop.name).audit, shop.scene.redis
    entries = redis.tell("XRANGE", key, "-", "+")
    assert isinstance(entries, list)
    ours = [one for one in entries if shop.written.head.chain.encode() in one[1]]
    identifier = ours[-1][0]
    if how == "cut":
        redis.tell("XDEL", key, identifier)
    else:
        _replace(redis, key, entries, identifier)
    answer = shop.asks("audit", "verify", PATIENT, "-o", "json")
    assert answer.code == 1, answer.out + answer.err
    (found,) = json.loads(answer.out)["namespaces"]
    assert found["sound"] is False
    kinds = {one["kind"] for one in found["controller"]["findings"]}
    assert how in kinds
    where = [one["where"] for one in found["controller"]["findings"]]
    assert any(f"chain {shop.written.head.chain}, block 2" in one for one in where), where


_REWRITE = """
redis.call('DEL', KEYS[1])
local at = 1
while at <= #ARGV do
  local many = tonumber(ARGV[at + 1])
  redis.call('XADD', KEYS[1], ARGV[at], unpack(ARGV, at + 2, at + 1 + many))
  at = at + 2 + many
end
"""


def _replace(redis: Any, key: str, entries: list[Any], edited: bytes) -> None:
    """At once: the controller writes there, too."""
    words: list[Any] = []
    for identifier, fields in entries:
        kept = [one.replace(b"a.two", b"a.six") if identifier == edited else one for one in fields]
        words += [identifier, len(kept), *kept]
    redis.tell("EVAL", _REWRITE, 1, key, *words)


@pytest.mark.promise("K10", "T5")
@pytest.mark.parametrize("role", ["edit", "admin", "mesh7-viewer", "mesh7-admin"])
def test_attack_a_tenant_without_the_auditors_role_reads_nothing(shop: Shop, role: str) -> None:
    """Whoever may change pods, or policies, does not thereby see what everybody's agents do."""
    shop.write("a.secret")
    mallory = shop.scene.court.person(f"mallory-{role}", role, namespace=shop.name)
    answer = shop.asks("audit", kubeconfig=mallory.kubeconfig)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"error: `mallory-{role}` may not create auditqueries.mesh7.dev in namespace "
        f"`{shop.name}` – have an administrator bind ClusterRole `mesh7-auditor` (kubectl create "
        f"rolebinding in `{shop.name}`)\n"
    )
    said = approvals.said(mallory, "get", "auditqueries", "-n", shop.name)
    assert 'cannot list resource "auditqueries"' in said


def _query(name: str, person: str = "olga", **spec: Any) -> str:
    return yaml.safe_dump({
        "apiVersion": names.API_VERSION,
        "kind": names.AUDIT_QUERY,
        "metadata": {"name": name},
        "spec": {"requestedBy": person, **spec},
    })  # fmt: skip


@pytest.mark.promise("T5")
def test_attack_nobody_asks_in_anothers_name_and_nobody_answers_but_the_controller(
    shop: Shop,
) -> None:
    olga = shop.scene.court.person("olga", "mesh7-auditor", namespace=shop.name)
    where = ("-n", shop.name, "-f", "-")
    said = approvals.said(olga, "create", *where, stdin=_query("q", "jane"))
    assert "spec.requestedBy: is not who asks" in said
    status = '{"status": {"phase": "Done", "records": []}}'
    assert approvals.said(olga, "create", *where, stdin=_query("q", verify=True)) == ""
    patch = ("patch", "m7a", "q", "-n", shop.name, "--subresource=status", "--type=merge")
    assert "forbidden" in approvals.said(olga, *patch, "-p", status)
    said = approvals.said(shop.kubectl, *patch, "-p", status)
    assert "status: is written by mesh7's controller alone" in said


@pytest.mark.promise("T5")
def test_attack_a_flood_of_questions_ends_and_keeps_no_other_waiting(shop: Shop) -> None:
    shop.write("a.one")
    many = [f"q-{number:03d}" for number in range(120)]
    olga = shop.scene.court.person("olga", "mesh7-auditor", namespace=shop.name)
    texts = "---\n".join(_query(name, limit=1) for name in many)
    olga("create", "-n", shop.name, "-f", "-", stdin=texts)
    other = shop.scene.court.cluster.new_namespace("beside")
    plugin = Plugin(cluster=shop.scene.court.cluster)
    answer = plugin("audit", "-n", other, PATIENT)
    assert (answer.code, answer.out) == (0, "there are no records\n"), answer.err

    def phases() -> set[str]:
        listed = shop.kubectl.json("get", "m7a", "-n", shop.name)["items"]
        return {one.get("status", {}).get("phase", "") for one in listed}

    shop.controller.until(lambda: phases() <= {"Done", "Failed"}, "all are answered or refused")
    # Of answers a few are kept, each for five minutes.
    shop.controller.until(lambda: len(shop.queries()) < len(many), "the oldest go")


def test_all_enrolled_namespaces_are_asked_at_once(shop: Shop) -> None:
    shop.write("a.one")
    plugin = Plugin(cluster=shop.scene.court.cluster)
    answer = plugin("audit", "-A", "--tool", "a.one", "-o", "json", PATIENT)
    assert answer.code == 0, answer.err
    assert "a.one" in _tools(json.loads(answer.out))
