"""`kubectl mesh7 inject`: manifests in, guarded ones out; refused ones named with their place."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from mesh7_cli import plugin
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import KEY, Fake

_WEB = """\
# Kept as it is.
apiVersion: v1
kind: ConfigMap
metadata: {name: words, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: agent, image: agent:1}]
"""
_BAD = """\
apiVersion: batch/v1
kind: Job
metadata: {name: report, namespace: shop}
spec:
  template:
    spec:
      hostNetwork: true
      containers: [{name: agent, image: agent:1}]
"""
_SOURCE = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: my-billing, namespace: shop}
spec: {mcp: {url: "https://billing.example.com/mcp"}}
---
"""
_REMINDER = "mesh7: admission decides again when pods are made, whatever these manifests say\n"


@pytest.fixture
def web(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(_WEB)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (found,) = [one for one in worlds.installed() if one["metadata"]["name"] == "mesh7-injection"]
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


def _offline(settings: Path, *further: str) -> list[str]:
    return ["inject", "--offline", "--settings", str(settings), "--trust-key", KEY, *further]


@pytest.mark.promise("K5")
def test_offline_manifests_become_guarded_ones(
    kubectl: Fake, web: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: the same function behind `kubectl mesh7 inject -f`, without a cluster."""
    assert plugin.exit_code(_offline(settings, "-f", str(web))) == 0
    out, err = capsys.readouterr()
    first, second = out.split("---\n")
    assert first == _WEB.split("---\n", maxsplit=1)[0]
    template = yaml.safe_load(second)["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "web", "mesh7.dev/injected": "true"}
    assert [one["name"] for one in template["spec"]["initContainers"]] == ["mesh7"]
    assert template["spec"]["containers"][0]["image"] == "agent:1"
    assert err == (
        "mesh7: namespace `shop` is taken as enrolled: mesh7.dev/injection=enabled\n"
        "mesh7: NetworkPolicy `mesh7-guarded` is taken as being there\n" + _REMINDER
    )
    assert kubectl.calls() == []


@pytest.mark.promise("K5")
def test_what_was_injected_stays_as_it_is(
    kubectl: Fake, web: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise K5: injecting twice changes nothing."""
    assert plugin.exit_code(_offline(settings, "-f", str(web))) == 0
    once = capsys.readouterr().out
    web.write_text(once)
    assert plugin.exit_code(_offline(settings, "-f", str(web))) == 0
    assert capsys.readouterr().out == once
    assert kubectl.calls() == []


def test_one_refused_pod_and_nothing_is_printed_but_why(
    kubectl: Fake, web: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: file, document, path, reason; fail closed: a pipe into kubectl applies nothing."""
    del kubectl
    web.write_text(f"{_WEB}---\n{_BAD}")
    assert plugin.exit_code(_offline(settings, "-f", str(web))) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith(f"{web}:15: job/report: spec.template.spec.hostNetwork: ")
    assert err.splitlines()[0].endswith("(host-network)")


def test_a_check_shows_a_line_for_each_pod(
    kubectl: Fake, web: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md."""
    del kubectl
    web.write_text(f"{_WEB}---\n{_BAD}")
    assert plugin.exit_code(_offline(settings, "-f", str(web), "--check")) == 1
    assert capsys.readouterr().out == (
        "NAMESPACE  OBJECT          OUTCOME  LEVEL        REASON\n"
        "shop       deployment/web  guarded  Cooperative  -\n"
        "shop       job/report      refused  -            host-network\n"
    )


def test_a_check_in_json_has_the_paths(
    kubectl: Fake, web: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md."""
    del kubectl
    web.write_text(_BAD)
    assert plugin.exit_code(_offline(settings, "-f", str(web), "--check", "-o", "json")) == 1
    (found,) = json.loads(capsys.readouterr().out)
    (problem,) = found.pop("problems")
    assert found == {
        "file": str(web), "line": 1, "kind": "Job", "name": "report", "namespace": "shop",
        "outcome": "refused", "reason": "host-network",
    }  # fmt: skip
    assert problem["path"] == "spec.template.spec.hostNetwork"


def test_offline_needs_settings_and_key(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be known is not guessed."""
    del kubectl
    assert plugin.exit_code(["inject", "--offline", "-f", str(web)]) == 1
    assert capsys.readouterr().err == (
        "error: --offline: needs --settings and --trust-key – save both with `kubectl get "
        "configmap mesh7-injection mesh7-trust -n mesh7-system -o yaml`\n"
    )


def test_the_cluster_gives_settings_key_authorities_and_the_namespaces_labels(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: read from the cluster by kubectl."""
    shop = worlds.namespace("shop", injection="enabled", enforcement="Cooperative")
    kubectl.tell([*worlds.installed(), shop])
    web.write_text(_SOURCE + _WEB)
    assert plugin.exit_code(["inject", "-f", str(web)]) == 0
    out, err = capsys.readouterr()
    template = list(yaml.safe_load_all(out))[2]["spec"]["template"]
    assert template["metadata"]["annotations"]["mesh7.dev/enforcement"] == "Cooperative"
    (sidecar,) = template["spec"]["initContainers"]
    told = {one["name"]: one.get("value") for one in sidecar["env"]}
    assert told["MESH7_TRUST_KEY"] == KEY
    assert told["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert told["MESH7_EXCHANGE_AUTHORITIES"] == worlds.authority().public.decode()
    agent = template["spec"]["containers"][0]["env"]
    assert "MESH7_MCP_MY_BILLING_URL" in {one["name"] for one in agent}
    assert err == _REMINDER


def _told_authorities(out: str) -> str:
    (template,) = [one["spec"]["template"] for one in yaml.safe_load_all(out) if "spec" in one]
    (sidecar,) = template["spec"]["initContainers"]
    told = {one["name"]: one.get("value") for one in sidecar["env"]}
    return str(told["MESH7_EXCHANGE_AUTHORITIES"])


def test_the_exchanges_authorities_are_those_of_its_secret(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/administrator/certificates.md: with `external` the webhooks may have others."""
    shop = worlds.namespace("shop", injection="enabled", enforcement="Cooperative")
    theirs = worlds.certificate("mesh7-exchange", vouching="theirs")
    there = [
        one for one in worlds.installed() if one["metadata"]["name"] != theirs["metadata"]["name"]
    ]
    kubectl.tell([*there, theirs, shop])
    assert plugin.exit_code(["inject", "-f", str(web)]) == 0
    out, err = capsys.readouterr()
    assert _told_authorities(out) == base64.b64decode(theirs["data"]["ca.crt"]).decode()
    assert err == _REMINDER


def test_who_may_not_see_that_secret_reads_whose_authorities_were_taken(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md: those of the webhooks, with a note."""
    shop = worlds.namespace("shop", injection="enabled", enforcement="Cooperative")
    kubectl.tell([*worlds.installed(), shop], forbidden=["secrets"])
    assert plugin.exit_code(["inject", "-f", str(web)]) == 0
    out, err = capsys.readouterr()
    assert _told_authorities(out) == worlds.authority().public.decode()
    assert "`jane` may not list secrets" in err
    assert "; the webhooks' authorities are taken for the exchange's" in err


def test_a_namespace_that_is_not_enrolled_leaves_pods_alone(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is changed that admission would not change."""
    kubectl.tell([*worlds.installed(), worlds.namespace("shop")])
    assert plugin.exit_code(["inject", "-f", str(web)]) == 0
    assert capsys.readouterr().out == _WEB


def test_a_level_can_be_tried_before_the_namespace_asks_for_it(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--level`: what would become of these pods."""
    shop = worlds.namespace("shop", injection="enabled")
    kubectl.tell([*worlds.installed(), shop])
    assert plugin.exit_code(["inject", "-f", str(web), "--level", "Guarded", "--check"]) == 1
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[:3] == ["shop", "deployment/web", "refused"]
    assert row.endswith("no-network-policy")


@pytest.mark.parametrize(
    ("forbidden", "told"),
    [
        ("configmap", "or give --settings"),
        ("namespace", "`jane` may not list namespace"),
    ],
)
def test_what_is_needed_and_may_not_be_seen_ends_it(
    forbidden: str, told: str, kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: who may not what, and what to do."""
    shop = worlds.namespace("shop", injection="enabled")
    kubectl.tell([*worlds.installed(), shop], forbidden=[forbidden])
    assert plugin.exit_code(["inject", "-f", str(web)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err


def test_who_may_not_see_the_api_servers_service_reads_that_it_comes_later(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md."""
    shop = worlds.namespace("shop", injection="enabled")
    kubectl.tell([*worlds.installed(), shop], forbidden=["service"])
    assert plugin.exit_code(["inject", "-f", str(web)]) == 0
    out, err = capsys.readouterr()
    assert "KUBERNETES_SERVICE_HOST" not in out
    assert "; sidecars get `KUBERNETES_SERVICE_HOST` when they are made\n" in err


def test_a_namespace_that_is_not_there_is_told(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.tell(worlds.installed())
    assert plugin.exit_code(["inject", "-f", str(web)]) == 1
    assert capsys.readouterr().err == (
        "error: there is no namespace `shop` – create it first, or put its manifest beside the "
        "others with -f\n"
    )


def test_without_an_installation_it_says_where_it_looked(
    kubectl: Fake, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.tell([worlds.namespace("shop", injection="enabled")])
    assert plugin.exit_code(["inject", "-f", str(web), "--release-namespace", "tools"]) == 1
    assert capsys.readouterr().err == (
        "error: there is no ConfigMap `mesh7-injection` in namespace `tools` – name where mesh7 is "
        "installed with --release-namespace, or give --settings\n"
    )


def test_a_level_is_not_asked_of_a_namespaces_own_path(
    kubectl: Fake, settings: Path, web: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with the Namespace is named as the Namespace's."""
    del kubectl
    place = "kind: Namespace\nmetadata: {name: shop, labels: {mesh7.dev/injection: sometimes}}\n"
    web.write_text(f"{place}---\n{_WEB}")
    assert plugin.exit_code(_offline(settings, "-f", str(web), "--check")) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[2:] == ["refused", "-", "invalid-value"]
    assert ": namespace: metadata.labels" in err.splitlines()[0]
