"""kubectl's own flags: taken as Go programs take them, and given on unchanged."""

from collections.abc import Sequence

import pytest

from mesh7_cli import plugin
from mesh7_cli.cluster import flags
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Fake


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["status", "-o=json"], ["status", "-ojson"]),
        (["-n=shop", "status"], ["-nshop", "status"]),
        (["status", "--all-namespaces=true"], ["status", "--all-namespaces"]),
        (["status", "--insecure-skip-tls-verify=false"], ["status"]),
        (["status", "--context=a=b"], ["status", "--context=a=b"]),
        (["inject", "--", "-o=x"], ["inject", "--", "-o=x"]),
    ],
)
def test_flags_mean_what_they_mean_to_kubectl(given: Sequence[str], meant: list[str]) -> None:
    """docs/reference/kubectl-mesh7.md."""
    assert flags.normalised(given) == meant


def test_flags_go_through_to_kubectl_from_before_and_after_the_command(kubectl: Fake) -> None:
    """Issue 6: kubectl's flags after the name; what stands later wins."""
    kubectl.tell([worlds.namespace("shop")])
    given = [
        "--context=one", "--as", "jane", "status", "--context", "two", "--as-group=a",
        "--as-group=b", "--insecure-skip-tls-verify", "-n", "shop",
    ]  # fmt: skip
    assert plugin.exit_code(given) == 0
    for call in kubectl.calls():
        assert call[:6] == [
            "--context=two", "--as=jane", "--as-group=a", "--as-group=b",
            "--insecure-skip-tls-verify", "--request-timeout=15s",
        ]  # fmt: skip


def test_a_time_limit_that_is_given_is_given_on(kubectl: Fake) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell([worlds.namespace("shop")])
    assert plugin.exit_code(["status", "-n", "shop", "--request-timeout=3s"]) == 0
    assert {call[0] for call in kubectl.calls()} == {"--request-timeout=3s"}


def test_without_n_the_kubeconfigs_namespace_counts(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """As kubectl does."""
    kubectl.tell([worlds.namespace("shop")], namespace="shop")
    assert plugin.exit_code(["status", "-o", "name"]) == 0
    assert capsys.readouterr().out == "namespace/shop\n"


def test_what_stands_nowhere_is_default(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """As kubectl does."""
    kubectl.tell([worlds.namespace("default")])
    assert plugin.exit_code(["status", "-o", "name"]) == 0
    assert capsys.readouterr().out == "namespace/default\n"
