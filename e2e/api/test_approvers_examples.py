"""The examples of roles for approvers, applied to a real API server and asked what they give."""

from collections.abc import Iterator

import pytest

from e2e.api import approvals
from e2e.api.approvals import RELEASE, Court, made, refusal, said
from e2e.api.controllers import ROOT
from e2e.cluster.clusters import Cluster
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl, KubectlError

pytestmark = [pytest.mark.promise("A12"), pytest.mark.promise("C5")]
EXAMPLES = ROOT / "examples" / "kubernetes" / "approvers"
_PLACE = "mesh7-example"


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    need("api")
    with approvals.sitting(tmp_path_factory.mktemp("examples")) as found:
        for path in sorted(EXAMPLES.glob("*.yaml")):
            found.cluster.apply(path.read_text().replace(_PLACE, found.shop))
        yield found


def _of(cluster: Cluster, user: str, *groups: str) -> Kubectl:
    return cluster.kubectl_of(user, groups)


def test_finance_approves_refunds_and_nothing_else(court: Court) -> None:
    """Issue 7: its example, by a Role with `resourceNames`."""
    jane = _of(court.cluster, "jane", "finance")
    stored = made(jane, court.answer(court.held()))
    assert stored["spec"]["grantedBy"]["groups"] == ["finance"]
    for namespace, name in ((court.shop, "orders"), (RELEASE, "refunds")):
        ref = {"namespace": namespace, "name": name}
        told = refusal(jane, court.answer(policyRef=ref))
        assert f"`jane` has no verb `approve` on agentpolicy `{name}`" in told
    court.cluster.apply(_veto(court, "stays"))
    assert "whoever lifts a veto" in said(jane, "delete", "grant", "stays", "-n", court.shop)
    name = stored["metadata"]["name"]
    assert said(jane, "delete", "grant", name, "-n", court.shop) == ""
    seen = jane("get", "approvalrequests,grants,agentpolicies", "-n", court.shop, "-o", "name")
    assert "agentpolicy.mesh7.dev/refunds" in seen


def _veto(court: Court, name: str) -> str:
    return (
        "{apiVersion: mesh7.dev/v1alpha1, kind: Grant, "
        f"metadata: {{name: {name}, namespace: {court.shop}}}, "
        "spec: {effect: Deny, subject: {}}}"
    )


def test_owners_approve_all_of_their_namespace_and_nothing_of_the_baseline(court: Court) -> None:
    otto = _of(court.cluster, "otto", "agent-owners")
    for name in ("refunds", "orders"):
        ref = {"namespace": court.shop, "name": name}
        assert refusal(otto, court.answer(policyRef=ref)) == ""
    baseline = {"namespace": RELEASE, "name": "refunds"}
    assert "has no verb `approve`" in refusal(otto, court.answer(policyRef=baseline))


def test_security_answers_what_the_baseline_asks_and_nothing_else(court: Court) -> None:
    sue = _of(court.cluster, "sue", "security")
    baseline = {"namespace": RELEASE, "name": "refunds"}
    assert refusal(sue, court.answer(policyRef=baseline)) == ""
    assert "has no verb `approve`" in refusal(sue, court.answer())


def test_the_glass_is_broken_by_a_binding_and_mended_by_its_end(court: Court) -> None:
    """Bound to nobody; what it takes and who did it is in the audit log."""
    admin, nick = court.cluster.kubectl, _of(court.cluster, "nick")
    with pytest.raises(KubectlError, match="forbidden"):
        nick("get", "approvalrequests", "-n", court.shop)
    binding = ["rolebinding", "break-glass-inc-4711", "-n", court.shop]
    admin("create", *binding, "--clusterrole=break-glass-approver", "--user=nick")
    stored = made(nick, court.answer(court.held(), reason="INC-4711"))
    admin("delete", *binding)
    told = refusal(nick, court.answer())
    assert "forbidden" in told
    events = [
        (one["user"]["username"], one["verb"], one["objectRef"]["resource"])
        for one in court.server.audit()
        if one.get("objectRef", {}).get("name") in {binding[1], stored["metadata"]["name"]}
    ]
    root = _name_of(court)
    assert (root, "create", "rolebindings") in events
    assert ("nick", "create", "grants") in events
    assert (root, "delete", "rolebindings") in events


def _name_of(court: Court) -> str:
    """The administrator's, as the API server has it."""
    found = court.cluster.kubectl.json("auth", "whoami")
    return str(found["status"]["userInfo"]["username"])


def test_no_example_gives_more_than_it_says(court: Court) -> None:
    """None of them writes policies, statuses or requests, nor gives rights away."""
    people = {"jane": ["finance"], "otto": ["agent-owners"], "sue": ["security"]}
    verbs = [
        "create agentpolicies", "patch agentpolicies", "create approvalrequests",
        "patch grants --subresource=status", "accept toolsources", "debug pods.mesh7.dev",
        "create rolebindings", "impersonate users", "create pods",
    ]  # fmt: skip
    given = [
        (who, verb)
        for who, groups in people.items()
        for verb in verbs
        if _can(court, who, groups, verb)
    ]
    assert given == []


def _can(court: Court, who: str, groups: list[str], verb: str) -> bool:
    try:
        asked = ["auth", "can-i", *verb.split(), "-n", court.shop]
        return _of(court.cluster, who, *groups)(*asked).strip() == "yes"
    except KubectlError as error:
        if error.code == 1 and not error.stderr.startswith("error"):
            return False
        raise
