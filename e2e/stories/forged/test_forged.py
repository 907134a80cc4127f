import json

import pytest
import yaml

from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.stories import plugin, refunds
from e2e.stories.ground import PROGRAMS, Line, Story
from e2e.stories.refunds import AGENT, Person, is_paid, name_of
from mesh7_core import names


@pytest.fixture
def agent(shop: Story) -> Kubectl:
    """Whoever holds the token of the agent's service account, which may approve by its role."""
    with_role = ("rolebinding", "agents-approve", "-n", shop.namespace)
    if not shop.kubectl("get", *with_role, "--ignore-not-found"):
        account = f"{shop.namespace}:default"
        shop.kubectl("create", *with_role, "--clusterrole=mesh7-approver",
                     f"--serviceaccount={account}")  # fmt: skip
    token = shop.cluster.token(shop.namespace, "default", pod=AGENT)
    return _by_token(shop.cluster, token)


@pytest.mark.promise("A12")
def test_an_agent_cannot_approve_itself_whatever_its_role_says(
    shop: Story, order: str, agent: Kubectl
) -> None:
    """Issue 7: service accounts of guarded namespaces are refused."""
    with refunds.asked(shop, order):
        request = refunds.await_request(shop, order, "Pending")
        with pytest.raises(KubectlError, match="service account"):
            agent("create", "-f", "-", stdin=_grant(shop, request))
        words = ("approve", name_of(request), "--reason", "mine", f"-n={shop.namespace}")
        done = plugin.run_by(shop.cluster, agent.kubeconfig, *words)
        assert done.returncode != 0, done
        assert refunds.grants(shop, request) == []
        assert name_of(refunds.await_request(shop, order, "Pending")) == name_of(request)
        assert refunds.paid(shop, order) == []


@pytest.mark.promise("K9")
def test_what_somebody_writes_into_redis_is_nobodys_word(
    shop: Story, order: str, jane: Person
) -> None:
    """Issue 7: a Redis writer forging a decision – ignored, counted; the operator undoes it."""
    with refunds.asked(shop, order) as call:
        request = refunds.await_request(shop, order, "Pending")
        told = f"the decision about request `{name_of(request)}` in Redis is ignored"
        forged: list[Line] = []

        def is_noticed() -> bool:
            # The operator may undo it before the sidecar has looked: then it is done again.
            forged.append(_forged(shop, name_of(request)))
            return told in _log(shop)

        shop.until(is_noticed, "the sidecar counts it")
        assert "approved" in [one["state"] for one in forged]
        assert not any(one["is_laid"] for one in forged)
        assert refunds.paid(shop, order) == []
        assert not call.is_over()
        # Nobody but people open it: it waits as before, and their word is heard.
        assert name_of(refunds.await_request(shop, order, "Pending")) == name_of(request)
        jane.does("approve", name_of(request), "--reason", "I really say so")
        assert is_paid(order)(call.answer())
    assert len(refunds.paid(shop, order)) == 1
    [said] = refunds.await_request(shop, order, "Used")["status"]["decisions"]
    assert said["reason"] == "I really say so"


def _grant(shop: Story, request: Line) -> str:
    """An exact one in which all is as it should be, but who makes it."""
    spec = {
        "effect": "Allow",
        "subject": {"pod": AGENT},
        "requestRef": {"name": name_of(request), "uid": request["metadata"]["uid"]},
        "digest": request["spec"]["digest"],
        "policyRef": {"namespace": shop.namespace, "name": "refunds"},
        "expiresAt": request["spec"]["expiresAt"],
        "reason": "mine",
    }
    about = {"name": f"{name_of(request)}-refunds-mine1", "namespace": shop.namespace}
    kind = {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": "Grant"}
    return json.dumps({**kind, "metadata": about, "spec": spec})


def _forged(shop: Story, request: str) -> Line:
    """What `forging.py` says."""
    into = ("exec", "-i", AGENT, "-c", names.SIDECAR_CONTAINER, "-n", shop.namespace)
    program = (PROGRAMS / "forging.py").read_text()
    said: Line = json.loads(shop.kubectl(*into, "--", "python3", "-", request, stdin=program))
    return said


def _log(shop: Story) -> str:
    return shop.kubectl("logs", AGENT, "-c", names.SIDECAR_CONTAINER, "-n", shop.namespace)


def _by_token(cluster: Cluster, token: str) -> Kubectl:
    kubeconfig = yaml.safe_load(cluster.admin.read_text())
    for one in kubeconfig["users"]:
        one["user"] = {"token": token}
    path = cluster.folder / "kubeconfigs" / "agent-by-token.yaml"
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(kubeconfig))
    return Kubectl(program=cluster.program, kubeconfig=path, home=cluster.folder)
