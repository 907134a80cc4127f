"""What TAB offers where a command about held calls wants a name."""

import pytest

from mesh7_cli import plugin_completing
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, OTHER, Fake

NO_FILES = 4
GRANT = ["grant", "billing.create_refund"]


@pytest.mark.promise("C3")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["show", ""], [f"{ID}\tbilling.create_refund shop/support"]),
        (["approve", "--reason", "x", "r-0"], [f"{ID}\tbilling.create_refund shop/support"]),
        (["deny", ID, ""], [f"{ID}\tbilling.create_refund shop/support"]),
        (["approve", "r-1"], []),
        (["revoke", ""], ["hand-abcde\tAllow INC-1"]),
        (["grant", ""], ["billing.create_refund\tbig money looks"]),
        ([*GRANT, "--policy", "s"], ["shop/refunds"]),
    ],
)
def test_names_come_from_the_cluster(kubectl: Fake, words: list[str], found: list[str]) -> None:
    """docs/reference/kubectl-mesh7.md: names of what can be decided, and of nothing else."""
    policy = worlds.policy()
    policy["spec"]["rules"][0]["reason"] = "big money looks"
    decided = worlds.held(OTHER) | {"status": worlds.APPROVED}
    kubectl.tell([worlds.held(), decided, worlds.granted(), worlds.answer("g-1"), policy])
    assert plugin_completing.complete(words) == (found, NO_FILES)


def test_names_are_those_of_the_flags_so_far(kubectl: Fake) -> None:
    """Another namespace and another context have other requests."""
    kubectl.tell([worlds.held(), worlds.held(OTHER, "lab")])
    words = ["--context", "x", "approve", "-n", "lab", ""]
    names = [one.partition("\t")[0] for one in plugin_completing.complete(words)[0]]
    assert names == [OTHER]
    assert kubectl.calls() == [
        [
            "--context=x", "--request-timeout=2s", "get", "--raw",
            "/apis/mesh7.dev/v1alpha1/namespaces/lab/approvalrequests?limit=2000",
        ]
    ]  # fmt: skip


def test_accounts_and_pods_are_named(kubectl: Fake) -> None:
    """Whom to stop, and for whom to grant."""
    kubectl.tell([], names=["serviceaccounts/support", "serviceaccounts/report"])
    assert plugin_completing.complete(["kill", "s"]) == (["support"], NO_FILES)
    assert plugin_completing.complete([*GRANT, "--agent", ""])[0] == ["support", "report"]
    assert plugin_completing.complete([*GRANT, "--pod", "r"])[0] == ["report"]


def test_a_cluster_that_refuses_completes_nothing(kubectl: Fake) -> None:
    """Whoever presses TAB has not said anything yet."""
    kubectl.tell([], forbidden=["list approvalrequests", "list grants"])
    assert plugin_completing.complete(["approve", ""]) == ([], NO_FILES)
    assert plugin_completing.complete(["revoke", ""]) == ([], NO_FILES)
