"""What people ask of held calls by `kubectl mesh7`, with a real controller, injector and Redis."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from e2e.api import held_calls
from e2e.api.controllers import Controller
from e2e.api.held_calls import Scene, Shop
from e2e.api.plugins import Answer, Plugin
from e2e.cluster.fixtures import need
from e2e.cluster.waiting import until
from mesh7_core.ledger.asked import State

PATIENT = "--wait=60s"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A court and a Redis, for this module alone."""
    need("api")
    with held_calls.staged(tmp_path_factory.mktemp("asked")) as scene:
        yield scene


@pytest.fixture(scope="module")
def controller(scene: Scene) -> Iterator[Controller]:
    with scene.controlling("controller") as controller:
        controller.await_line("everything is listed", held_calls.PATIENCE_S)
        yield controller


@pytest.fixture
def shop(scene: Scene, controller: Controller) -> Shop:
    return scene.shop(controller)


class Person:
    """Somebody at a terminal, in the shop's namespace."""

    def __init__(self, shop: Shop, user: str, *groups: str, role: str = "mesh7-approver") -> None:
        court = shop.scene.court
        bound = court.person(user, role, namespace=shop.name, groups=groups or ("hr",))
        self._kubeconfig = bound.kubeconfig
        self._plugin = Plugin(cluster=court.cluster)
        self._namespace = shop.name

    def __call__(self, *arguments: str) -> Answer:
        """What `kubectl mesh7 …` says."""
        return self._plugin(*arguments, "-n", self._namespace, kubeconfig=self._kubeconfig)

    def json(self, *arguments: str) -> Any:
        """The same with `-o json`, read."""
        answer = self(*arguments, "-o", "json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)


def grants(shop: Shop) -> list[dict[str, Any]]:
    found = shop.kubectl.json("get", "grants", "-n", shop.name)["items"]
    assert isinstance(found, list)
    return found


@pytest.mark.promise("C3")
def test_jane_sees_what_waits_and_approves_it_once(shop: Shop) -> None:
    """Issue 7: jane (finance) approves with the plugin, and the sidecar has her decision."""
    asked = shop.opens()
    shop.until_mirrored(asked)
    jane = Person(shop, "jane", "finance")
    (listed,) = jane.json("requests")
    assert (listed["id"], listed["state"], listed["namespace"]) == (asked.id, "pending", shop.name)
    card = jane("show", asked.id).out
    assert f"tool        {asked.tool}\n" in card
    assert f"{shop.name}/payments/big: 1 of finance; nobody said yes yet" in card
    answer = jane("approve", asked.id, "--reason", "charged twice", PATIENT)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(
        f"approved `{asked.id}`: {asked.tool} for {shop.name}/default – usable once, until 2"
    )
    shop.until_state(asked, State.APPROVED)
    decided = shop.decision(asked)
    assert decided is not None
    assert decided.by == ("jane",)
    (said,) = jane.json("show", asked.id)["decisions"]
    assert (said["name"], said["groups"], said["reason"]) == ("jane", ["finance"], "charged twice")
    (grant,) = jane.json("grants", "--all")
    assert (grant["request"], grant["by"], grant["phase"]) == (asked.id, "jane", "Active")
    late = jane("deny", asked.id)
    assert late.code == 1
    assert late.err.startswith(f"error: request `{asked.id}` was approved by `jane` at ")


@pytest.mark.promise("A12")
def test_bob_is_refused_by_name_and_told_what_is_missing(shop: Shop) -> None:
    """Issue 7: bob is refused by name; what to bind is said, whatever he lacks."""
    asked = shop.opens()
    shop.until_mirrored(asked)
    viewer = Person(shop, "vera", "finance", role="mesh7-viewer")("approve", asked.id, PATIENT)
    assert (viewer.code, viewer.out) == (1, "")
    assert viewer.err == (
        f"error: `vera` may not create grants.mesh7.dev in namespace `{shop.name}` – have an "
        f"administrator bind ClusterRole `mesh7-approver` (kubectl create rolebinding in "
        f"`{shop.name}`)\n"
    )
    editor = Person(shop, "bob", "finance", role="mesh7-policy-editor")(
        "approve", asked.id, PATIENT
    )
    assert (editor.code, editor.out) == (1, "")
    question = f"auth can-i approve agentpolicies.mesh7.dev/payments -n {shop.name}"
    assert editor.err.startswith(
        f"error: `bob` may not approve for policy `{shop.name}/payments`: the verb `approve` on it "
        f"is missing, as `kubectl {question}` says – "
    )
    assert grants(shop) == []
    outsider = Person(shop, "olga", "sales")("approve", asked.id, PATIENT)
    assert (outsider.code, outsider.out) == (1, "")
    assert "`olga` is in none of the groups that policy" in outsider.err
    assert shop.mirror(asked)["status"]["state"] == "Pending"


def test_two_people_are_counted_and_the_first_is_told_who_is_missing(shop: Shop) -> None:
    """Issue 7: `count` by distinct usernames."""
    asked = shop.opens("all", "wire.all")
    shop.until_mirrored(asked)
    jane, joe = Person(shop, "jane", "finance"), Person(shop, "joe", "finance")
    first = jane("approve", asked.id, PATIENT)
    assert first.code == 0, first.err
    assert first.out.startswith(f"your yes is counted for `{asked.id}`: ")
    assert f" – still missing: 1 more by finance for `{shop.name}/payments/all`; " in first.out
    assert first.out.endswith(" (needs `delete` on grants) takes it back\n")
    again = jane("approve", asked.id, PATIENT)
    assert (again.code, again.out) == (1, "")
    assert "`jane` approved it already" in again.err
    assert joe("approve", asked.id, PATIENT).out.startswith(f"approved `{asked.id}`")


@pytest.mark.promise("A6")
def test_of_a_yes_and_a_no_at_once_one_wins_and_the_other_is_told(shop: Shop) -> None:
    """Issue 7: two approvers racing approve and deny."""
    asked = shop.opens()
    shop.until_mirrored(asked)
    people = [
        (Person(shop, "jane", "finance"), "approve"),
        (Person(shop, "joe", "finance"), "deny"),
    ]
    with ThreadPoolExecutor(len(people)) as pool:
        yes, no = pool.map(lambda pair: pair[0](pair[1], asked.id, PATIENT), people)
    state = shop.mirror(asked)["status"]["state"]
    assert sorted([yes.code, no.code]) == [0, 1]
    if state == "Approved":
        assert "was approved by `jane`" in no.err
    else:
        assert state == "Denied"
        assert "was denied by `joe`" in yes.err


def test_an_administrator_acts_for_somebody_with_the_right_to(shop: Shop) -> None:
    """Issue 7: `--as` with the right; the Grant names whom the API server took it for."""
    asked = shop.opens()
    shop.until_mirrored(asked)
    Person(shop, "jane", "finance")
    admin = Plugin(cluster=shop.scene.court.cluster)
    who = ("--as=jane", "--as-group=finance", "--as-group=system:authenticated")
    answer = admin("deny", asked.id, "-n", shop.name, PATIENT, "--reason", "no", *who)
    assert answer.out == f"denied `{asked.id}`: {asked.tool} for {shop.name}/default\n", answer.err
    assert [one["spec"]["grantedBy"]["username"] for one in grants(shop)] == ["jane"]
    refused = Person(shop, "mallory", "finance")("deny", asked.id, "--as=jane")
    assert (refused.code, refused.out) == (1, "")
    assert "mallory" in refused.err


def test_a_dry_run_has_everything_checked_and_stores_nothing(shop: Shop) -> None:
    """Issue 7: `--dry-run=client|server`."""
    asked = shop.opens()
    shop.until_mirrored(asked)
    jane = Person(shop, "jane", "finance")
    drafted = jane("approve", asked.id, "--dry-run=client")
    checked = jane("approve", asked.id, "--dry-run=server")
    assert "grantedBy" not in yaml.safe_load(drafted.out)["spec"]
    stamped = yaml.safe_load(checked.out)["spec"]["grantedBy"]
    assert (stamped["username"], stamped["groups"]) == ("jane", ["finance"])
    assert stamped["stamp"]
    assert grants(shop) == []


def test_a_kill_is_in_force_and_lifted_by_whoever_may(shop: Shop) -> None:
    """Design 6.7: lifting a veto needs the verb `approve` on all policies, and the role's right."""
    jane = Person(shop, "jane", "finance")
    killed = jane("kill", "default", "--reason", "it loops", PATIENT)
    assert killed.code == 0, killed.err
    (veto,) = jane.json("grants")
    assert (veto["effect"], veto["agent"], veto["by"]) == ("Deny", "default", "jane")
    assert killed.out == (
        "killed: every call of `default` is refused – lift it with `kubectl mesh7 revoke "
        f"{veto['name']} -n {shop.name}` (needs `delete` on grants)\n"
    )
    refused = jane("revoke", veto["name"])
    assert (refused.code, refused.out) == (1, "")
    assert "`jane` may not delete grants.mesh7.dev" in refused.err
    admin = Person(shop, "ada", role="mesh7-admin")
    assert (
        admin("revoke", veto["name"]).out
        == f"lifted `{veto['name']}`: its calls are judged again\n"
    )
    assert grants(shop) == []


_GRANTABLE = """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: orders}
spec:
  selector: {}
  rules:
  - name: cancel
    tools: [orders.cancel]
    action: RequireApproval
    approval: {groups: [finance], grantable: {maxDuration: 1h, maxUses: 20}}
"""


def test_a_standing_permission_finds_the_policy_that_asks(shop: Shop) -> None:
    """Brief: which policy: the one asking policy whose rules match; bounds are told beforehand."""
    shop.scene.court.cluster.apply(_GRANTABLE, shop.name)
    jane = Person(shop, "jane", "finance")
    wish = ("grant", "orders.cancel", "--agent", "default", "--reason", "INC-1", PATIENT)

    def granted() -> bool:
        # The controller may not have compiled the policy yet.
        return jane(*wish, "--for", "30m", "--uses", "5").code == 0

    until(granted, "it is granted", timeout_s=held_calls.PATIENCE_S)
    found = [one for one in jane.json("grants") if one["phase"] == "Active"]
    assert (found[0]["policy"], found[0]["maxUses"]) == (f"{shop.name}/orders", 5)
    long = jane(*wish, "--for", "2h", "--uses", "5")
    assert (long.code, long.out) == (1, "")
    assert "lets a grant last 1h at most" in long.err
    nobody = jane("grant", "wire.send", "--agent", "default", "--reason", "x", "--for", "1m")
    assert "cannot be relaxed" in nobody.err


def test_a_viewer_sees_everything_and_changes_nothing(shop: Shop) -> None:
    """Roles: viewer; by pages, over all namespaces, too."""
    asked = shop.opens()
    shop.until_mirrored(asked)
    cluster = shop.scene.court.cluster
    cluster.kubectl(
        "create", "clusterrolebinding", f"v-{shop.name}", "--clusterrole=mesh7-viewer",
        f"--user=vera-{shop.name}",
    )  # fmt: skip
    vera = cluster.kubeconfig(f"vera-{shop.name}")
    everywhere = Plugin(cluster=cluster)("requests", "-A", "--no-headers", kubeconfig=vera)
    assert everywhere.code == 0, everywhere.err
    assert [shop.name, asked.id] in [line.split()[:2] for line in everywhere.out.splitlines()]
    nobody = cluster.kubeconfig("nobody")
    hidden = Plugin(cluster=cluster)("requests", "-A", kubeconfig=nobody)
    assert (hidden.code, hidden.out) == (1, "")
    assert hidden.err == (
        "error: `nobody` may not list approvalrequests.mesh7.dev in the whole cluster – have an "
        "administrator bind ClusterRole `mesh7-viewer` (kubectl create clusterrolebinding)\n"
    )
