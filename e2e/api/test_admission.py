"""Admission on a real API server: what is refused, by field; who made a grant; what holds alone."""

import base64
import dataclasses
import datetime as dt
import functools
import json
import secrets
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.api import controllers, installed
from e2e.api.forwarding import Endpoint, forwarding
from e2e.api.installed import Files, Injector
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.delivery import keys, stamps
from mesh7_operator.injector import judging, reviews

RELEASE = controllers.RELEASE
GOLDEN = controllers.ROOT / "tests" / "golden"
Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A cluster whose API server asks an injector.

    Attributes:
        shop: an enrolled namespace with the policies `support` (grantable) and `strict`.
        kubeconfig: the injector's.
    """

    cluster: Cluster
    injector: Injector
    files: Files
    shop: str
    kubeconfig: Path

    def lead(self, url: str) -> None:
        """Have the API server ask there."""
        authority = self.files.authority.certificate
        kinds = installed.WEBHOOKS
        self.cluster.apply(installed.admission(kinds=kinds, url=url, authority=authority))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    need("api")
    folder = tmp_path_factory.mktemp("admission")
    with api_servers.raised("admission", Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        cluster.apply(installed.admission(kinds=installed.POLICIES))
        shop = controllers.enrol(cluster, "shop")
        kubeconfig = installed.account(cluster, "mesh7-injector", folder)
        files = Files(folder)
        with installed.injecting(kubeconfig, files, "first") as injector:
            found = Guarded(
                cluster=cluster, injector=injector, files=files, shop=shop, kubeconfig=kubeconfig
            )
            found.lead(injector.url)
            _await_asked(found)
            cluster.apply(yaml.safe_dump_all(_policies(shop)))
            yield found


def _await_asked(there: Guarded) -> None:
    broken = controllers.policy(there.shop, "broken").replace(
        'tools: ["billing.*"]', 'tools: ["x"]'
    )
    until(lambda: "no dot" in _refusal(there.cluster.kubectl, broken), "it is asked", timeout_s=60)
    grant = yaml.safe_dump(_grant(there.shop, "early"))
    words = "verb `approve`"
    nobody = _person(there.cluster, there.shop, "nora", "mesh7-policy-editor")
    until(lambda: words in _refusal(nobody, grant), "policies are in force", timeout_s=60)


def _policies(namespace: str) -> list[Object]:
    documents = yaml.safe_load_all((GOLDEN / "broken" / "grant.yaml").read_text())
    return [_placed(one, namespace) for one in documents if one["kind"] == names.AGENT_POLICY]


def _placed(document: Object, namespace: str) -> Object:
    """The same in another namespace, and made now: the API server says when."""
    text = json.dumps(document, default=_moment)
    placed: Object = json.loads(
        text.replace('"namespace": "default"', f'"namespace": "{namespace}"')
    )
    placed["metadata"] = {"name": placed.get("metadata", {}).get("name"), "namespace": namespace}
    return placed


def _moment(value: object) -> str:
    assert isinstance(value, dt.datetime | dt.date)
    return value.isoformat().replace("+00:00", "Z")


def _grant(namespace: str, name: str, **spec: object) -> Object:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=30)
    written = {
        "effect": "Allow",
        "subject": {"serviceAccount": "support"},
        "tools": ["billing.create_refund"],
        "policyRef": {"namespace": namespace, "name": "support"},
        "expiresAt": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "maxUses": 5,
        "reason": "INC-4711",
        **spec,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GRANT,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {key: value for key, value in written.items() if value is not None},
    }


def _refusal(kubectl: Kubectl, manifest: str) -> str:
    """What the API server says against it; empty = it would store it."""
    try:
        kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest)
    except KubectlError as error:
        return error.stderr
    return ""


def _person(cluster: Cluster, namespace: str, name: str, role: str) -> Kubectl:
    manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{name}-{role}", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    cluster.apply(yaml.safe_dump(manifest))
    return cluster.kubectl_of(name, ["finance", "hr"])


def _documents(folder: str) -> Iterator[tuple[str, Object]]:
    for path in sorted((GOLDEN / folder).glob("*.yaml")):
        try:
            found = list(yaml.safe_load_all(path.read_text()))
        except (yaml.YAMLError, UnicodeDecodeError, ValueError):
            continue
        for number, document in enumerate(found):
            is_ours = isinstance(document, dict) and document.get("kind") in names.WRITTEN_KINDS
            if is_ours and document.get("apiVersion") == names.API_VERSION:
                yield f"{path.stem}-{number}", document


def _judged(document: Object, namespace: str) -> reviews.Verdict:
    """What the compiler says of it alone, or with the policy that it names."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = {**document, "metadata": {**document["metadata"], "creationTimestamp": now}}
    review = reviews.Review(
        uid="u", group=names.GROUP, kind=document["kind"], namespace=namespace,
        name=str(document["metadata"]["name"]), value=made, before=None,
        maker=reviews.Maker(username="jane"),
    )  # fmt: skip
    ref = judging.policy_of(review, RELEASE)
    known = {one["metadata"]["name"]: one for one in _policies(namespace)}
    return judging.judge(review, RELEASE, known.get(ref.name) if ref else None)


def _manifests(folder: str, *, allowed: bool) -> Sequence[tuple[str, Object]]:
    return [
        (name, placed)
        for name, document in _documents(folder)
        for placed in [_placed(document, "shop")]
        if isinstance(_judged(placed, "shop"), reviews.Allowed) is allowed
    ]


@pytest.mark.promise("K1")
def test_what_the_compiler_refuses_the_api_server_refuses_by_field(there: Guarded) -> None:
    """Issue 5: forty broken manifests, refused by the schema, by CEL, or by the injector."""
    broken = _manifests("broken", allowed=False)
    assert len(broken) >= 40
    accepted, without_field = [], []
    for name, document in broken:
        refusal = _refusal(there.cluster.kubectl, yaml.safe_dump(document))
        if not refusal:
            accepted.append(name)
        elif "spec" not in refusal and "metadata" not in refusal:
            without_field.append((name, refusal))
    assert (accepted, without_field) == ([], [])


@pytest.mark.promise("K1")
def test_what_compiles_is_accepted(there: Guarded) -> None:
    refused = {}
    for number, (name, document) in enumerate(_manifests("good", allowed=True)):
        document["metadata"]["name"] = f"good-{number}"
        if refusal := _refusal(there.cluster.kubectl, yaml.safe_dump(document)):
            refused[name] = refusal
    assert refused == {}


_RULES = [
    ("when: 'args.amount <'", "spec.rules[0].when"),
    ("when: 'arg.amount < 5'", "spec.rules[0].when"),
]


@pytest.mark.promise("K1")
@pytest.mark.parametrize(("line", "field"), _RULES)
def test_the_injector_names_the_field_in_a_cause(there: Guarded, line: str, field: str) -> None:
    """What kubectl prints, and what programs read: `status.details.causes`."""
    manifest = controllers.policy(there.shop, "causes").replace(
        "action: Allow}", f"action: Allow, {line}}}"
    )
    refusal = _refusal(there.cluster.kubectl, manifest)
    assert f'The AgentPolicy "causes" is invalid: {field}: ' in refusal


@pytest.mark.parametrize("way", [[], ["--server-side"]])
def test_an_unfinished_condition_is_refused_whichever_way_it_is_applied(
    there: Guarded, way: list[str]
) -> None:
    """Else it would mean "always": kubectl drops it, but its annotation still says it."""
    name = f"unfinished-{secrets.token_hex(4)}"
    whole = controllers.policy(there.shop, name).replace(
        "action: Allow}", "action: Allow, when: 'args.amount < 5'}"
    )
    unfinished = whole.replace("'args.amount < 5'", "null")
    refused = r"spec\.rules\[0\]\.when: has no value, write one or remove the key"
    with pytest.raises(KubectlError, match=refused):
        there.cluster.kubectl.apply(unfinished, *way)
    there.cluster.kubectl.apply(whole, *way)
    with pytest.raises(KubectlError, match=refused):
        there.cluster.kubectl.apply(unfinished, *way)
    stored = there.cluster.kubectl.json("get", "agentpolicy", name, "-n", there.shop)
    assert stored["spec"]["rules"][0]["when"] == "args.amount < 5"
    there.cluster.kubectl("delete", "agentpolicy", name, "-n", there.shop)


def test_a_dead_rule_is_refused(there: Guarded) -> None:
    """Design 4: an earlier rule without `when` covers it."""
    rule = '{name: again, tools: ["billing.x"], action: Deny}'
    manifest = controllers.policy(there.shop, "dead").replace(
        "action: Allow}", f"action: Allow}}, {rule}"
    )
    assert "spec.rules[1]: rule `again` can never speak" in _refusal(
        there.cluster.kubectl, manifest
    )


def test_warnings_reach_people(there: Guarded) -> None:
    tools = ["billing.create_refund", "git.push"]
    grant = yaml.safe_dump(_grant(there.shop, "wide", tools=tools))
    create = ["create", "--dry-run=server", "--warnings-as-errors", "-f", "-"]
    with pytest.raises(KubectlError, match=r"Warning: spec.tools\[1\]: no grantable rule"):
        there.cluster.kubectl(*create, stdin=grant)


def _trusted(there: Guarded) -> list[bytes]:
    found = there.cluster.kubectl.json("get", "configmap", "mesh7-stamp-public", "-n", RELEASE)
    return [base64.b64decode(one) for one in found["data"].values()]


def test_a_grant_is_stamped_with_who_made_it(there: Guarded) -> None:
    """Design 6.4: whatever was written there is overwritten."""
    jane = _person(there.cluster, there.shop, "jane", "mesh7-admin")
    name = f"forged-{secrets.token_hex(4)}"
    forged = {"username": "boss", "groups": ["admins"], "stamp": "AAAA"}
    jane("create", "-f", "-", stdin=yaml.safe_dump(_grant(there.shop, name, grantedBy=forged)))
    stored = there.cluster.kubectl.json("get", "grant", name, "-n", there.shop)
    assert stored["spec"]["grantedBy"]["username"] == "jane"
    assert "groups" not in stored["spec"]["grantedBy"]
    assert _trusted(there) == [keys.SigningKey(there.files.seed).public]
    assert stamps.is_stamped(stored, _trusted(there))
    jane("label", "grant", name, "-n", there.shop, "seen=yes")
    jane("delete", "grant", name, "-n", there.shop)


@pytest.mark.parametrize("way", [[], ["--server-side"]])
def test_a_grant_that_is_applied_again_stays_as_it_is(there: Guarded, way: list[str]) -> None:
    """GitOps applies the same for ever; what admission filled in is nobody's to take away."""
    name = f"again-{secrets.token_hex(4)}"
    manifest = yaml.safe_dump(_grant(there.shop, name))
    there.cluster.kubectl.apply(manifest, *way)
    before = there.cluster.kubectl.json("get", "grant", name, "-n", there.shop)
    there.cluster.kubectl.apply(manifest, *way)
    after = there.cluster.kubectl.json("get", "grant", name, "-n", there.shop)
    assert after["spec"] == before["spec"]
    assert stamps.is_stamped(after, _trusted(there))


def test_the_controller_honours_what_was_stamped(there: Guarded, tmp_path: Path) -> None:
    """From kubectl to the overlay that sidecars obey, each program with its own rights."""
    kubeconfig = installed.account(there.cluster, "mesh7-controller", tmp_path)
    controller = controllers.Controller(kubeconfig, tmp_path / "log")
    jane = _person(there.cluster, there.shop, "jane", "mesh7-admin")
    try:
        controller.await_line("everything is listed")
        jane("create", "-f", "-", stdin=yaml.safe_dump(_grant(there.shop, "friday")))
        delivered = controllers.Delivered(there.cluster, there.shop)
        controller.until(lambda: "friday" in delivered.grants(), "the grant is delivered")
    finally:
        controller.end(signal.SIGKILL)


def test_only_groups_that_the_policy_names_are_kept(there: Guarded) -> None:
    approval = {"groups": ["finance"], "grantable": {"maxDuration": "1h", "maxUses": 20}}
    rule = {"name": "r", "tools": ["billing.*"], "action": "RequireApproval", "approval": approval}
    policy = yaml.safe_load(controllers.policy(there.shop, "asks"))
    policy["spec"]["rules"] = [rule]
    there.cluster.apply(yaml.safe_dump(policy))
    jane = _person(there.cluster, there.shop, "jane", "mesh7-admin")
    ref = {"namespace": there.shop, "name": "asks"}
    grant = yaml.safe_dump(_grant(there.shop, "grouped", policyRef=ref))
    jane("create", "-f", "-", stdin=grant)
    stored = there.cluster.kubectl.json("get", "grant", "grouped", "-n", there.shop)
    assert stored["spec"]["grantedBy"]["groups"] == ["finance"]
    assert stamps.is_stamped(stored, _trusted(there))


def test_who_may_not_approve_grants_nothing(there: Guarded) -> None:
    """The verb `approve` on the policy, asked by the injector, and by the API server itself."""
    ed = _person(there.cluster, there.shop, "ed", "mesh7-policy-editor")
    refusal = _refusal(ed, yaml.safe_dump(_grant(there.shop, "mine")))
    assert "`ed` has no verb `approve` on agentpolicy `support`" in refusal
    kill = _grant(there.shop, "kill", effect="Deny", policyRef=None, expiresAt=None, maxUses=None)
    ed("create", "-f", "-", stdin=yaml.safe_dump(kill))
    stored = there.cluster.kubectl.json("get", "grant", "kill", "-n", there.shop)
    assert stored["spec"]["grantedBy"] == {"username": "ed"}


def test_who_may_not_approve_lifts_no_veto(there: Guarded) -> None:
    """Design 6.7; the stock verb `delete` is not enough."""
    kill = _grant(there.shop, "halt", effect="Deny", policyRef=None, expiresAt=None, maxUses=None)
    there.cluster.apply(yaml.safe_dump(kill))
    rights = ["--verb=get,delete", "--resource=grants.mesh7.dev"]
    there.cluster.kubectl("create", "role", "deleter", "-n", there.shop, *rights)
    bind = ["--role=deleter", "--user=dora"]
    there.cluster.kubectl("create", "rolebinding", "deleter", "-n", there.shop, *bind)
    dora = there.cluster.kubectl_of("dora")
    with pytest.raises(KubectlError, match="whoever lifts a veto"):
        dora("delete", "grant", "halt", "-n", there.shop)
    ada = _person(there.cluster, there.shop, "ada", "mesh7-admin")
    ada("delete", "grant", "halt", "-n", there.shop)


def test_a_namespace_goes_with_its_vetoes(there: Guarded) -> None:
    """Who removes a namespace is the API server's own controller, which approves nothing."""
    gone = controllers.enrol(there.cluster, f"gone-{secrets.token_hex(4)}")
    kill = _grant(gone, "halt", effect="Deny", policyRef=None, expiresAt=None, maxUses=None)
    there.cluster.apply(yaml.safe_dump(kill))
    there.cluster.kubectl("delete", "namespace", gone, "--timeout=60s", timeout_s=70)


def test_an_agents_account_grants_nothing(there: Guarded) -> None:
    """Design 6.4: even one that may create grants and approve."""
    user = f"system:serviceaccount:{there.shop}:support"
    _person(there.cluster, there.shop, user, "mesh7-admin")
    agent = there.cluster.kubectl_of(user, ["system:serviceaccounts"])
    refusal = _refusal(agent, yaml.safe_dump(_grant(there.shop, "own")))
    assert "agents approve nothing" in refusal


def _source(name: str, pinning: Object | None, url: str = "https://billing.example.com/mcp") -> str:
    spec: Object = {"mcp": {"url": url}}
    if pinning is not None:
        spec["pinning"] = pinning
    about = {"apiVersion": names.API_VERSION, "kind": names.TOOL_SOURCE}
    return yaml.safe_dump({**about, "metadata": {"name": name, "namespace": "shop"}, "spec": spec})


def test_only_who_has_the_verb_accepts_definitions(there: Guarded) -> None:
    """Design 8: on CREATE, on UPDATE, and what makes an accepted list mean less counts, too."""
    ed = _person(there.cluster, there.shop, "ed", "mesh7-policy-editor")
    ada = _person(there.cluster, there.shop, "ada", "mesh7-admin")
    accepted = [{"tool": "refund", "digest": "sha256:" + "0" * 64}]
    with_it = {"mode": "Enforce", "accepted": accepted}
    with pytest.raises(KubectlError, match="needs the verb `accept`"):
        ed.apply(_source("pinned", with_it))
    ed.apply(_source("pinned", {"mode": "Enforce"}))
    with pytest.raises(KubectlError, match="needs the verb `accept`"):
        ed.apply(_source("pinned", with_it))
    ada.apply(_source("pinned", with_it))
    for pinning in ({**with_it, "mode": "Warn"}, {**with_it, "mode": "Ignore"},
                    {"mode": "Enforce"}, {"mode": "Enforce", "accepted": []}, None):  # fmt: skip
        with pytest.raises(KubectlError, match="needs the verb `accept`"):
            ed("replace", "-f", "-", stdin=_source("pinned", pinning))


def test_who_accepts_nothing_leads_no_accepted_source_elsewhere(there: Guarded) -> None:
    """Found by an adversarial review: the list stayed, and another server stood behind it."""
    ed = _person(there.cluster, there.shop, "ed", "mesh7-policy-editor")
    ada = _person(there.cluster, there.shop, "ada", "mesh7-admin")
    pinned = {"mode": "Enforce", "accepted": [{"tool": "a", "digest": "sha256:" + "0" * 64}]}
    evil = "https://evil.example.com/mcp"
    ada.apply(_source("led", pinned))
    with pytest.raises(KubectlError, match="how a source is reached whose definitions are accept"):
        ed.apply(_source("led", pinned, evil))
    with pytest.raises(KubectlError, match="needs the verb `accept`"):
        ed("delete", "toolsource", "led", "-n", there.shop)
    with pytest.raises(KubectlError, match="needs the verb `accept`"):
        ed("replace", "--force", "-f", "-", stdin=_source("led", None, evil))
    ed("label", "toolsource", "led", "-n", there.shop, "team=finance")
    ada.apply(_source("led", pinned, evil))
    ada("delete", "toolsource", "led", "-n", there.shop)


def test_who_accepts_nothing_works_on_sources_that_nobody_accepted(there: Guarded) -> None:
    ed = _person(there.cluster, there.shop, "ed", "mesh7-policy-editor")
    ed.apply(_source("free", None))
    ed.apply(_source("free", {"mode": "Warn"}, "https://other.example.com/mcp"))
    ed.apply(_source("free", {"mode": "Enforce"}))
    with pytest.raises(KubectlError, match=r"spec\.pinning\.mode: whoever weakens or deletes it"):
        ed("replace", "-f", "-", stdin=_source("free", None))
    with pytest.raises(KubectlError, match=r"spec\.pinning\.mode: whoever weakens or deletes it"):
        ed("delete", "toolsource", "free", "-n", there.shop)
    ed.apply(_source("plain", None))
    ed("delete", "toolsource", "plain", "-n", there.shop)


_NOT_YOURS = "written and deleted by mesh7's controller alone"


@pytest.mark.promise("K10")
def test_nobody_but_the_controller_deletes_or_freezes_a_bundle(
    there: Guarded, tmp_path: Path
) -> None:
    """Found by an adversarial review: by deleting it an editor kept news from new pods."""
    space = controllers.enrol(there.cluster, f"bundled-{secrets.token_hex(4)}")
    kubeconfig = installed.account(there.cluster, "mesh7-controller", tmp_path)
    controller = dataclasses.replace(there.cluster.kubectl, kubeconfig=kubeconfig)
    apply = functools.partial(controller, "apply", "--server-side", "--validate=false")
    there.cluster.kubectl("create", "configmap", "other", "-n", space)
    bundle = yaml.safe_dump({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": names.BUNDLE_CONFIG_MAP, "namespace": space},
    })  # fmt: skip
    apply("-f", "-", stdin=bundle)
    bind = ["rolebinding", "editor", "-n", space, "--clusterrole=edit", "--user=edna"]
    there.cluster.kubectl("create", *bind)
    edna = there.cluster.kubectl_of("edna")
    for which in (names.BUNDLE_CONFIG_MAP, "--all"):
        with pytest.raises(KubectlError, match=_NOT_YOURS):
            edna("delete", "configmaps", which, "-n", space)
    frozen = '{"immutable":true}'
    with pytest.raises(KubectlError, match=_NOT_YOURS):
        edna("patch", "configmap", names.BUNDLE_CONFIG_MAP, "-n", space, "-p", frozen)
    with pytest.raises(KubectlError, match="is never frozen"):
        apply("-f", "-", stdin=bundle + "immutable: true\n")
    with pytest.raises(KubectlError, match="not found"):
        edna("get", "configmap", "other", "-n", space)
    controller("delete", "configmap", names.BUNDLE_CONFIG_MAP, "-n", space)


@pytest.mark.promise("K10")
def test_a_namespace_goes_with_its_bundle_and_its_pinned_sources(
    there: Guarded, tmp_path: Path
) -> None:
    gone = controllers.enrol(there.cluster, f"gone-{secrets.token_hex(4)}")
    kubeconfig = installed.account(there.cluster, "mesh7-controller", tmp_path)
    bundle = yaml.safe_dump({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": names.BUNDLE_CONFIG_MAP, "namespace": gone},
    })  # fmt: skip
    controller = dataclasses.replace(there.cluster.kubectl, kubeconfig=kubeconfig)
    controller("apply", "--server-side", "--validate=false", "-f", "-", stdin=bundle)
    pinned = {"mode": "Enforce", "accepted": [{"tool": "a", "digest": "sha256:" + "0" * 64}]}
    there.cluster.apply(_source("pinned", pinned).replace("namespace: shop", f"namespace: {gone}"))
    there.cluster.kubectl("delete", "namespace", gone, "--timeout=60s", timeout_s=70)


@pytest.mark.promise("K1")
def test_policies_made_to_take_long_keep_no_one_else_waiting(there: Guarded) -> None:
    """Found by an adversarial review: four took the injector out for the whole cluster."""
    globs = [[f"*.*q{at:03d}x{no:02d}*y?z*" for no in range(60)] for at in range(200)]
    rules = [{"name": f"r{at}", "tools": each, "action": "Allow"} for at, each in enumerate(globs)]
    slow = yaml.safe_load(controllers.policy(there.shop, "slow"))
    slow["spec"]["rules"] = rules
    for _ in range(4):
        assert _refusal(there.cluster.kubectl, json.dumps(slow)) == ""
    assert _refusal(there.cluster.kubectl, controllers.policy(there.shop, "fine")) == ""
    assert json.loads(there.injector.ask("/healthz")) == {"ok": True, "is_stuck": False}


def test_without_the_injector_nothing_is_stored_but_a_veto_is(there: Guarded) -> None:
    """Fail closed; and whoever stops something waits for nobody (design 6.7)."""
    there.lead("https://127.0.0.1:1")
    try:
        policy = controllers.policy(there.shop, "closed")
        until(
            lambda: "failed calling webhook" in _refusal(there.cluster.kubectl, policy),
            "it is refused", timeout_s=60,
        )  # fmt: skip
        grant = yaml.safe_dump(_grant(there.shop, "closed"))
        assert "failed calling webhook" in _refusal(there.cluster.kubectl, grant)
        kill = _grant(there.shop, "dark", effect="Deny", policyRef=None, expiresAt=None)
        assert _refusal(there.cluster.kubectl, yaml.safe_dump(kill)) == ""
        forged = _grant(there.shop, "dark", effect="Deny", grantedBy={"username": "boss"})
        assert "is not who makes this grant" in _refusal(
            there.cluster.kubectl, yaml.safe_dump(forged)
        )
    finally:
        there.lead(there.injector.url)
        until(lambda: not _refusal(there.cluster.kubectl, policy), "it is back", timeout_s=60)


def test_without_the_configurations_no_permission_is_stored(there: Guarded) -> None:
    """The emergency of docs/administrator/admission.md: policies hold by themselves."""
    grant = yaml.safe_dump(_grant(there.shop, "unstamped"))
    forged = _grant(there.shop, "unstamped", grantedBy={"username": "boss", "stamp": "AAAA"})
    both = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
    there.cluster.kubectl("delete", both, "mesh7")
    try:
        until(
            lambda: "spec.grantedBy" in _refusal(there.cluster.kubectl, grant),
            "the stamp is missed", timeout_s=60,
        )  # fmt: skip
        assert "is not who makes" in _refusal(there.cluster.kubectl, yaml.safe_dump(forged))
    finally:
        there.lead(there.injector.url)
        until(lambda: not _refusal(there.cluster.kubectl, grant), "it is back", timeout_s=60)


def test_the_policies_have_no_fault_that_the_api_server_finds(there: Guarded) -> None:
    """It checks their expressions against the kinds' schemas, and says so in status."""

    def checked() -> dict[str, Object]:
        found = there.cluster.kubectl.json("get", "validatingadmissionpolicies")
        return {one["metadata"]["name"]: one.get("status", {}) for one in found["items"]}

    until(lambda: all("typeChecking" in one for one in checked().values()), "checked", timeout_s=60)
    rendered = yaml.safe_load_all(installed.admission(kinds=installed.POLICIES[:1]))
    assert set(checked()) == {one["metadata"]["name"] for one in rendered}
    assert {
        name: one["typeChecking"] for name, one in checked().items() if one["typeChecking"]
    } == {}


class _Applying(threading.Thread):
    """Somebody who creates one policy after another, and remembers what was refused."""

    def __init__(self, there: Guarded) -> None:
        super().__init__()
        self._there = there
        self.stopping = threading.Event()
        self.refused: list[str] = []
        self.done = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            manifest = controllers.policy(self._there.shop, "again")
            if refusal := _refusal(self._there.cluster.kubectl, manifest):
                self.refused.append(refusal)
            self.done += 1


def test_certificates_and_injectors_change_without_a_lost_admission(there: Guarded) -> None:
    """Design 9: certificates rotate without a lost admission; a drained one serves on."""
    files, kubeconfig = there.files, there.kubeconfig
    with (
        installed.injecting(kubeconfig, files, "a", "--grace=3") as first,
        installed.injecting(kubeconfig, files, "b", "--grace=3") as second,
        forwarding([Endpoint(one.port, one.is_ready) for one in (first, second)]) as port,
    ):
        there.lead(f"https://127.0.0.1:{port}")
        applying = _Applying(there)
        applying.start()
        try:
            _swap_and_drain(there, first, second, applying)
        finally:
            applying.stopping.set()
            applying.join()
            there.lead(there.injector.url)
        assert (applying.refused, applying.done > 10) == ([], True)
        assert second.ask("/metrics").count('door="validate",kind="AgentPolicy"')


def _swap_and_drain(there: Guarded, first: Injector, second: Injector, applying: _Applying) -> None:
    authority = there.files.authority.certificate
    for _ in range(3):
        before, done = second.served(authority), applying.done
        there.files.renew()
        until(lambda b=before: second.served(authority) != b, "it is served", timeout_s=60)  # type: ignore[misc]
        until(lambda d=done: applying.done > d, "admissions go on", timeout_s=60)  # type: ignore[misc]
    first.process.send_signal(signal.SIGTERM)
    until(lambda: not first.is_ready(), "it is not ready", timeout_s=20)
    assert first.process.poll() is None
    assert first.process.wait(60) == 0
    done = applying.done
    until(lambda: applying.done > done + 3, "admissions go on", timeout_s=60)
