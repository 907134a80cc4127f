"""`kubectl mesh7 explain`: why a pod's call would be allowed, by the bundle that it really has."""

import json
from collections.abc import Sequence

import pytest

from mesh7_cli import plugin, plugin_completing
from mesh7_core import names
from mesh7_core.api.manifests import Document
from tests.cli.plugin import delivering, worlds
from tests.cli.plugin.worlds import Fake, Object
from tests.core.compiling import clustered
from tests.core.delivery import parts

_LATER = delivering.VERSION + 1
_KILL = clustered.an_object(names.GRANT, "kill-1", {
    "effect": "Deny", "subject": {"serviceAccount": "support"}, "tools": ["*"], "reason": "INC-1",
})  # fmt: skip
_STANDING = clustered.a_grant("writes", {
    "effect": "Allow", "subject": {"serviceAccount": "support"}, "tools": ["notes.write"],
    "policyRef": {"namespace": "shop", "name": "support"}, "expiresAt": "2026-11-21T10:00:00Z",
    "maxUses": 10, "reason": "INC-2",
    "grantedBy": {"username": "jane", "groups": ["finance"], "stamp": "0"},
})  # fmt: skip


def _world(*further: Object, config_map: Object | None = None) -> list[Object]:
    return [
        delivering.place(parts.FIRST),
        delivering.config_map() if config_map is None else config_map,
        delivering.pod(),
        *further,
    ]


def _explained(
    capsys: pytest.CaptureFixture[str], *words: str, pod: str = "web-1"
) -> tuple[int, Object, str]:
    code = plugin.exit_code(["explain", pod, *words, "-n", "shop", "-o", "json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


def test_a_pods_call_is_explained_by_the_bundle_that_it_obeys(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 7: `explain POD TOOL [JSON]`, the bundle that pod really has."""
    kubectl.tell(_world(), raw=delivering.readiness("web-1"))
    code, told, err = _explained(capsys, "notes.read", '{"path": "a"}')
    assert (code, err) == (0, "")
    versions = {"bundle": delivering.VERSION, "overlay": delivering.VERSION}
    assert {key: told[key] for key in told if key != "rungs"} == {
        "pod": "web-1",
        "agent": "shop/support",
        "versions": versions,
        "obeyed": versions,
        "tool": "notes.read",
        "decision": "Allow",
        "reason": "allowed-by-rule",
        "rules": ["shop/support/read"],
        "text": "",
        "notes": [],
    }


def test_the_table_is_that_of_the_laptop(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """Design 12: laptop and cluster share engine, words and output."""
    kubectl.tell(_world(), raw=delivering.readiness("web-1"))
    assert plugin.exit_code(["explain", "web-1", "notes.write", "-n", "shop"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["STEP", "WHO", "OUTCOME", "WHY"]
    assert lines[-1].split()[:3] == ["decision", "shop/support/write", "Hold"]


@pytest.mark.parametrize(
    ("path", "decision"), [("/own", "Allow"), ("/other", "Deny")], ids=["own", "other"]
)
def test_a_plain_call_is_explained_by_its_request_line(
    kubectl: Fake, capsys: pytest.CaptureFixture[str], path: str, decision: str
) -> None:
    """docs/reference/kubectl-mesh7.md: --http."""
    kubectl.tell(_world(), raw=delivering.readiness("web-1"))
    _, told, _ = _explained(capsys, "api", "--http", f"POST {path}")
    assert told["decision"] == decision


@pytest.mark.parametrize(
    ("grant", "tool", "rung"),
    [
        (_KILL, "notes.read", ("veto", "shop/kill-1", "refuses")),
        # Over by now: what counts is that it was looked at.
        (_STANDING, "notes.write", ("grant", "shop/writes", "silent")),
    ],
    ids=["kill", "standing grant"],
)
def test_grants_and_vetoes_of_the_overlay_count(
    kubectl: Fake,
    capsys: pytest.CaptureFixture[str],
    grant: Document,
    tool: str,
    rung: tuple[str, str, str],
) -> None:
    """Issue 7: the overlay is part of what a pod is judged by."""
    kubectl.tell(
        _world(config_map=delivering.config_map(grants=[grant])), raw=delivering.readiness("web-1")
    )
    _, told, _ = _explained(capsys, tool)
    assert rung in {(one["step"], one["subject"], one["outcome"]) for one in told["rungs"]}


def test_a_pod_that_no_policy_selects_is_told_so(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pod's own labels decide, not those of its deployment."""
    kubectl.tell(_world(delivering.pod("odd", app="odd")), raw=delivering.readiness("odd"))
    _, told, _ = _explained(capsys, "notes.read", pod="odd")
    assert (told["decision"], told["reason"]) == ("Deny", "no-policy")


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ((_LATER - 2, delivering.VERSION), "the pod obeys an older bundle, 1763711999999"),
        ((delivering.VERSION, _LATER), "the pod obeys a newer overlay, 1763712000001"),
        ((0, 0), "the pod obeys no bundle yet: every call is denied with no-bundle"),
    ],
)
def test_a_pod_on_another_version_is_named_as_such(
    kubectl: Fake, capsys: pytest.CaptureFixture[str], says: tuple[int, int], told: str
) -> None:
    """Issue 7: when the versions differ it says so."""
    kubectl.tell(_world(), raw=delivering.readiness("web-1", *says))
    _, answer, _ = _explained(capsys, "notes.read")
    assert answer["notes"][0].startswith(told)


_UNASKED = "the pod could not be asked which bundle it obeys;"
_COUNTING = worlds.policy("support", "shop", pods=(2, 3))
_COUNTING["status"]["bundleVersion"] = delivering.VERSION


@pytest.mark.parametrize(
    ("further", "forbidden", "told"),
    [
        (
            [_COUNTING],
            (),
            f"{_UNASKED} policy `support` counts 2 of 3 sidecars on bundle 1763712000000 or later",
        ),
        (
            [],
            (),
            f"{_UNASKED} no policy that selects it counts its sidecars",
        ),
        (
            [],
            ("agentpolicies.mesh7.dev",),
            "which bundle the pod obeys is not known: it could not be asked",
        ),
    ],
    ids=["counted", "not counted", "hidden"],
)
def test_where_the_pod_cannot_be_asked_the_statuses_tell(
    kubectl: Fake,
    capsys: pytest.CaptureFixture[str],
    further: Sequence[Object],
    forbidden: Sequence[str],
    told: str,
) -> None:
    """Issue 7: else from statuses, or it says that it is not known."""
    kubectl.tell(_world(*further), forbidden=list(forbidden))
    code, answer, _ = _explained(capsys, "notes.read")
    assert (code, answer["obeyed"], answer["notes"]) == (0, None, [told])


@pytest.mark.parametrize(
    ("config_map", "why"),
    [
        (delivering.config_map(signer=parts.STRANGER), "is not one that may sign now"),
        (delivering.config_map(namespace="other"), "not the bundle of namespace `shop`"),
        (delivering.config_map(version=1), "version 1 is older than 2"),
        (worlds.named("ConfigMap", "mesh7-bundle", "shop"), "has no bundle"),
    ],
    ids=["a stranger's", "another namespace's", "an old one", "empty"],
)
def test_a_bundle_that_the_controller_did_not_write_explains_nothing(
    kubectl: Fake, capsys: pytest.CaptureFixture[str], config_map: Object, why: str
) -> None:
    """Attack: an editor of the namespace writes a ConfigMap that allows everything."""
    world = [delivering.place(parts.FIRST, floor=2), config_map, delivering.pod()]
    kubectl.tell(world, raw=delivering.readiness("web-1"))
    code, told, err = _explained(capsys, "notes.read")
    assert (code, told) == (1, {})
    assert why in err


def test_a_retired_key_signs_nothing_any_more(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attack: whoever found an old key makes bundles for those who ask."""
    place = delivering.place(parts.THIRD, parts.SECOND, parts.FIRST)
    kubectl.tell([place, delivering.config_map(), delivering.pod()])
    code, _, err = _explained(capsys, "notes.read")
    assert code == 1
    assert "is not one that may sign now" in err


def test_the_chain_of_keys_leads_from_the_pods_own_key(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Design 7: a pod that was made before a rotation believes what came after it."""
    rotated = delivering.config_map(signer=parts.SECOND, links=parts.CHAIN[:1])
    world = [delivering.place(parts.SECOND, parts.FIRST), rotated, delivering.pod()]
    kubectl.tell(world, raw=delivering.readiness("web-1"))
    _, told, _ = _explained(capsys, "notes.read")
    assert (told["decision"], told["notes"]) == ("Allow", [])


def test_a_pod_made_with_a_key_that_leads_nowhere_is_told_of(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """The namespace's editors see what the pod would ignore."""
    old = delivering.pod(made_with=parts.STRANGER)
    kubectl.tell(
        [delivering.place(parts.FIRST), delivering.config_map(), old],
        raw=delivering.readiness("web-1"),
    )
    _, told, _ = _explained(capsys, "notes.read")
    assert told["notes"][0].startswith("by the key that the pod was made with it is not believed")


def test_who_may_not_see_the_namespace_believes_by_the_pods_key(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Role `view` in a namespace does not show the Namespace itself."""
    kubectl.tell(_world(), raw=delivering.readiness("web-1"), forbidden=["namespace"])
    _, told, _ = _explained(capsys, "notes.read")
    assert told["decision"] == "Allow"
    assert told["notes"][0].startswith("believed by the key that the pod was made with: `jane`")


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        ("free", "pod `free` has no sidecar of ours, or has ended"),
        ("gone", "there is no pod `gone` in namespace `shop`"),
    ],
)
def test_a_pod_that_nobody_guards_is_refused(
    kubectl: Fake, capsys: pytest.CaptureFixture[str], pod: str, why: str
) -> None:
    """Nothing is explained that nobody enforces."""
    kubectl.tell(_world(worlds.pod("free", "shop")))
    code, _, err = _explained(capsys, "notes.read", pod=pod)
    assert code == 1
    assert why in err


def test_arguments_are_never_quoted_in_a_complaint(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """House style: never argument values in errors."""
    kubectl.tell(_world())
    code, _, err = _explained(capsys, "notes.read", '{"token": "s3cret"')
    assert code == 2
    assert "s3cret" not in err


def test_pods_are_completed(kubectl: Fake) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell(_world())
    words = ["explain", "-n", "shop", "we"]
    assert plugin_completing.complete(words)[0] == ["web-1"]


def test_who_may_not_ask_the_pod_is_told_which_right_that_takes(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defect C: it said that the pod could not be asked, and not that a right is missing."""
    kubectl.tell(_world(), forbidden=["pods/proxy"])
    code, answer, _ = _explained(capsys, "notes.read")
    assert (code, answer["notes"][0]) == (
        0,
        (
            "you may not ask the pod itself – that takes `get` on `pods/proxy`, which none of our "
            "ClusterRoles has"
        ),
    )


def test_an_approver_who_sees_no_pods_is_told_which_role_shows_them(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defect C: ClusterRole mesh7-approver alone is not enough for `explain`."""
    kubectl.tell(_world(), forbidden=["pod", "configmap", "namespace"])
    assert plugin.exit_code(["explain", "web-1", "notes.read", "-n", "shop"]) == 1
    err = capsys.readouterr().err
    assert "`jane` may not list pod in namespace `shop`" in err
    assert "bind ClusterRole `view` (kubectl create rolebinding in `shop`)" in err
