"""`kubectl mesh7 status`: how namespaces are guarded, and what this person may not see."""

import json

import pytest
import yaml

from mesh7_cli import plugin, reading
from mesh7_cli.cluster import kubectl as kubectls
from mesh7_cli.overview import gathering
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Fake, Near, Object

_REGISTRY = "registry.example/sidecar:old"


def _world() -> list[Object]:
    ended = worlds.pod("done", "shop", phase="Succeeded")
    asking = worlds.pod("asks", "lab")
    asking["metadata"]["labels"] = {"mesh7.dev/inject": "true"}
    return [
        *worlds.installed(),
        worlds.namespace("shop", injection="enabled", enforcement="Guarded"),
        worlds.namespace("lab", injection="on-request"),
        worlds.namespace("plain"),
        worlds.delivered("shop"),
        worlds.fence("shop", "open"),
        worlds.policy("support", "shop", pods=(1, 2)),
        worlds.policy("all", "shop", pods=(2, 2)),
        worlds.policy("broken", "shop", "Invalid"),
        worlds.guarded("web-1", "shop"),
        worlds.guarded("web-2", "shop", "Cooperative", _REGISTRY),
        worlds.pod("old", "shop"),
        ended,
        worlds.pod("free", "lab"),
        asking,
        worlds.pod("elsewhere", "plain"),
    ]


@pytest.mark.promise("K13")
def test_the_table_has_a_line_for_each_enrolled_namespace(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6 and promise K13: the level shown is the one achieved, beside the one asked for."""
    kubectl.tell(_world())
    assert plugin.exit_code(["status", "-A"]) == 0
    assert capsys.readouterr() == (
        (
            "NAMESPACE  INJECTION   LEVEL        PODS  ACHIEVED                 STALE  "
            "BUNDLE         POLICIES  CURRENT  EGRESS\n"
            "lab        on-request  Cooperative  0/1   -                        0      "
            "-              0/0       -        -\n"
            "shop       enabled     Guarded      2/3   Cooperative:1,Guarded:1  1      "
            "1763712000000  2/3       1/2      open\n"
        ),
        "",
    )


def test_wide_has_a_line_for_each_pod(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell(_world())
    assert plugin.exit_code(["status", "-n", "shop", "-o", "wide", "--no-headers"]) == 0
    image = worlds.image()
    lines = [line.split(maxsplit=7) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["shop", "web-1", "support", "yes", "Guarded", "yes", image, "-"],
        ["shop", "web-2", "support", "yes", "Cooperative", "yes", _REGISTRY, "stale"],
        ["shop", "old", "support", "no", "-", "-", "-", "would be refused: must-drop-net-raw"],
    ]


def test_names_alone_are_for_scripts(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell(_world())
    assert plugin.exit_code(["status", "-A", "-o", "name"]) == 0
    assert capsys.readouterr().out == "namespace/lab\nnamespace/shop\n"


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_read_everything(
    form: str, read: "type[object]", kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell(_world())
    assert plugin.exit_code(["status", "-n", "shop", "-o", form]) == 0
    found = read(capsys.readouterr().out)  # type: ignore[call-arg]
    assert isinstance(found, dict)
    (shop,) = found["namespaces"]
    pods = shop.pop("pods")
    assert [(one["name"], one["isGuarded"], one["isStale"]) for one in pods] == [
        ("web-1", True, False),
        ("web-2", True, True),
        ("old", False, False),
    ]
    assert shop == {
        "namespace": "shop",
        "injection": "enabled",
        "level": "Guarded",
        "levels": {"Guarded": 1, "Cooperative": 1},
        "image": worlds.image(),
        "bundleVersion": "1763712000000",
        "policies": {
            "total": 3, "ready": 2, "troubled": {"broken": "Invalid"},
            "sidecarsCurrent": 1, "sidecarsMatched": 2,
        },
        "egress": "open",
    }  # fmt: skip


def test_what_may_not_be_seen_is_a_question_mark_and_a_note(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: works with a viewer's rights; what is forbidden is unknown, never guessed."""
    kubectl.tell(_world(), forbidden=["networkpolicies", "configmap", "namespace"])
    assert plugin.exit_code(["status", "-n", "shop"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == [
        "shop", "?", "?", "2/2", "Cooperative:1,Guarded:1", "?", "1763712000000", "2/3", "1/2", "?",
    ]  # fmt: skip
    assert [line.partition(" in namespace")[0] for line in err.splitlines()] == [
        "mesh7: `jane` may not list configmap",
        (
            "mesh7: `jane` may not list namespace in the whole cluster – ask an administrator of "
            "the cluster, or let them run it"
        ),
        "mesh7: `jane` may not list networkpolicies",
    ]


def test_who_is_guarded_is_decided_by_containers_and_who_is_about_to_end_is_left_out() -> None:
    """As the controller counts (core/injection/existing.py)."""
    unmarked, forged = worlds.guarded("unmarked", "shop"), worlds.pod("forged", "shop")
    del unmarked["metadata"]["labels"]
    forged["metadata"]["labels"] = {"mesh7.dev/injected": "true"}
    ending = worlds.pod("ending", "shop")
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    shop = worlds.namespace("shop", injection="enabled")
    near = Near([*worlds.installed(), shop, unmarked, forged, ending])
    (found,) = gathering.gather(near, None, worlds.RELEASE).overviews
    assert [one.name for one in found.guarded] == ["unmarked"]
    assert [one.name for one in found.unguarded] == ["forged"]


class _Counted(dict[str, object]):
    """A pod that knows how often it was looked at."""

    looks = 0

    def get(self, key: str, default: object = None, /) -> object:
        type(self).looks += 1
        return super().get(key, default)


class _Counting(Near):
    def listed(self, *arguments: str) -> kubectls.Object:
        found = super().listed(*arguments)
        if "pods" not in arguments:
            return found
        return {"items": [_Counted(one) for one in reading.objects(found, "items")]}


def _looks_at_each_pod(namespaces: int) -> float:
    names = [f"shop-{number}" for number in range(namespaces)]
    objects = [worlds.namespace(name, injection="enabled") for name in names]
    _Counted.looks = 0
    guarded = [worlds.guarded("web", name) for name in names]
    near = _Counting([*worlds.installed(), *objects, *guarded])
    assert len(gathering.gather(near, None, worlds.RELEASE).overviews) == namespaces
    return _Counted.looks / namespaces


def test_a_pod_is_looked_at_as_often_among_many_namespaces_as_among_few() -> None:
    """500 namespaces with 10,000 pods: the cost grows with the pods alone."""
    assert _looks_at_each_pod(40) == _looks_at_each_pod(4)


def test_without_the_kinds_it_says_so(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.tell(
        [worlds.namespace("shop", injection="enabled")], unknown=["agentpolicies.mesh7.dev"]
    )
    assert plugin.exit_code(["status", "-n", "shop"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == [
        "shop", "enabled", "?", "0/0", "-", "?", "-", "?", "?", "-",
    ]  # fmt: skip
    assert "the API server has no kind `agentpolicies.mesh7.dev`" in err


def test_a_cluster_without_enrolled_namespaces_says_how_to_begin(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.tell(worlds.installed())
    assert plugin.exit_code(["status", "-A"]) == 0
    assert capsys.readouterr() == (
        "",
        (
            "mesh7: no namespace is enrolled – `kubectl label namespace NAME "
            "mesh7.dev/injection=enabled`\n"
        ),
    )


def test_who_may_not_list_namespaces_is_not_told_that_none_is_enrolled(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defect A12: `status -A` without rights said what it cannot know."""
    kubectl.tell(
        worlds.installed(),
        forbidden=["namespaces", "pods", "agentpolicies.mesh7.dev", "configmaps"],
    )
    assert plugin.exit_code(["status", "-A"]) == 0
    out, err = capsys.readouterr()
    assert (out, "no namespace is enrolled" in err) == ("", False)
    assert err.endswith("mesh7: which namespaces are enrolled cannot be seen – name one with -n\n")


def test_a_namespace_that_is_not_there_is_an_error(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl.tell(worlds.installed())
    assert plugin.exit_code(["status", "-n", "nowhere"]) == 1
    assert capsys.readouterr().err == (
        "error: there is no namespace `nowhere` – `kubectl get namespaces`\n"
    )
