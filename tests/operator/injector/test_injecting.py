"""The door for new pods as the API server and its enemies use it: over HTTP, in process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh7_operator.cluster import api_server
from mesh7_operator.injector import door
from mesh7_operator.injector.places import Places
from tests.operator.injector import asked, opened
from tests.operator.injector.asked import SHOP
from tests.operator.injector.opened import Door
from tests.operator.injector.patching import patched


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Door]:
    opened.give(tmp_path)
    async with opened.opened(tmp_path) as found:
        yield found


def _enrolled(there: Door, **labels: str) -> None:
    written = {"mesh7.dev/" + key: value for key, value in labels.items()}
    there.table.found["Namespace", "", SHOP] = {"metadata": {"labels": written}}


def _injections(there: Door, outcome: str, reason: str) -> float:
    return there.count("mesh7_injections_total", outcome=outcome, reason=reason)


@pytest.mark.promise("K5")
async def test_a_pod_gets_a_native_sidecar(there: Door) -> None:
    answer = await there.ask(door.INJECT, asked.question(asked.pod()))
    assert (answer["uid"], answer["allowed"], answer["patchType"]) == ("0b1c", True, "JSONPatch")
    pod = patched(asked.pod(), answer)
    (sidecar,) = pod["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("mesh7", "Always")
    assert sidecar["image"] == "registry.example/mesh7-sidecar:0.1.0"
    variables = {one["name"]: one.get("value") for one in sidecar["env"]}
    assert variables["MESH7_TRUST_KEY"] == opened.TRUST_KEY
    assert variables["KUBERNETES_SERVICE_HOST"] == opened.API_SERVER
    agent = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    assert agent["MESH7_MCP_BILLING_URL"] == "http://127.0.0.1:7007/mcp/billing"
    assert _injections(there, "injected", "Cooperative") == 1
    assert there.count("mesh7_injection_patch_bytes_count") == 1
    labels = {"door": "inject", "kind": "Pod", "outcome": "allowed"}
    assert there.count("mesh7_admissions_total", **labels) == 1


@pytest.mark.promise("K5")
async def test_a_guarded_pod_is_not_changed_again(there: Door) -> None:
    """The API server asks twice when another webhook changed the pod after us."""
    once = patched(asked.pod(), await there.ask(door.INJECT, asked.question(asked.pod())))
    again = await there.ask(door.INJECT, asked.question(once))
    assert again == {"uid": "0b1c", "allowed": True}


@pytest.mark.promise("K5")
async def test_a_container_that_came_after_us_is_pointed_at_the_sidecar(there: Door) -> None:
    once = patched(asked.pod(), await there.ask(door.INJECT, asked.question(asked.pod())))
    once["spec"]["containers"].append({"name": "late", "image": "late:1"})
    twice = patched(once, await there.ask(door.INJECT, asked.question(once)))
    late = {one["name"]: one["value"] for one in twice["spec"]["containers"][1]["env"]}
    assert late["MESH7_URL"] == "http://127.0.0.1:7007"


async def test_a_pod_without_a_name_or_a_namespace_of_its_own_is_one_of_the_requests(
    there: Door,
) -> None:
    """ReplicaSets send `generateName`, and the API server knows where."""
    pod = asked.pod()
    question = asked.question(pod)
    pod["metadata"] = {"generateName": "support-"}
    answer = await there.ask(door.INJECT, question)
    stored = patched(pod, answer)
    assert stored["metadata"]["generateName"] == "support-"
    assert "namespace" not in stored["metadata"]
    assert ("Namespace", "", SHOP) in there.table.asked


async def test_a_refusal_begins_with_its_reason_and_names_the_field(there: Door) -> None:
    answer = await there.ask(door.INJECT, asked.question(asked.pod(hostNetwork=True)))
    status = answer["status"]
    assert (answer["allowed"], status["code"], status["reason"]) == (False, 403, "Forbidden")
    assert status["message"].startswith("host-network: spec.hostNetwork: ")
    assert status["details"]["kind"] == "Pod"
    assert status["details"]["group"] == ""
    (cause,) = status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("host-network", "spec.hostNetwork")
    assert _injections(there, "refused", "host-network") == 1


async def test_all_that_is_wrong_is_said_at_once(there: Door) -> None:
    answer = await there.ask(door.INJECT, asked.question(asked.pod(hostNetwork=True, hostPID=True)))
    said = answer["status"]["message"]
    assert "host-network: spec.hostNetwork: " in said
    assert "host-processes: spec.hostPID: " in said


async def test_a_pod_that_asks_for_nothing_is_left_alone_where_it_has_to_ask(there: Door) -> None:
    _enrolled(there, injection="on-request")
    assert await there.ask(door.INJECT, asked.question(asked.pod())) == {
        "uid": "0b1c", "allowed": True,
    }  # fmt: skip
    assert _injections(there, "skipped", "not-requested") == 1
    pod = asked.pod()
    pod["metadata"]["annotations"] = {"mesh7.dev/inject": "true"}
    assert "patch" in await there.ask(door.INJECT, asked.question(pod))


async def test_a_namespace_whose_label_means_nothing_has_no_pods(there: Door) -> None:
    _enrolled(there, injection="enable")
    answer = await there.ask(door.INJECT, asked.question(asked.pod()))
    assert answer["status"]["message"].startswith("invalid-value: ")


async def test_an_enrolment_of_a_moment_ago_counts(there: Door) -> None:
    """Nothing is remembered of a namespace."""
    await there.ask(door.INJECT, asked.question(asked.pod()))
    _enrolled(there, injection="enabled", enforcement="Guarded")
    answer = await there.ask(door.INJECT, asked.question(asked.pod()))
    assert "no-network-policy: " in answer["status"]["message"]


async def test_a_dry_run_is_answered_and_not_counted(there: Door) -> None:
    answer = await there.ask(door.INJECT, asked.question(asked.pod(), dryRun=True))
    assert "patch" in answer
    assert _injections(there, "injected", "Cooperative") == 0
    labels = {"door": "inject", "kind": "Pod", "outcome": "allowed"}
    assert there.count("mesh7_admissions_total", **labels) == 1


@pytest.mark.parametrize("what", [("Namespace", "", SHOP), ("ToolSource", SHOP, "billing")])
async def test_what_cannot_be_read_refuses_the_pod(there: Door, what: tuple[str, str, str]) -> None:
    there.table.found[what] = api_server.Unavailable("not answered")
    answer = await there.ask(door.INJECT, asked.question(asked.pod()))
    status = answer["status"]
    assert (answer["allowed"], status["code"]) == (False, 503)
    assert status["message"] == "unavailable: not answered; try again"
    assert _injections(there, "failed", "unavailable") == 1


async def test_without_settings_no_pod_is_let_through(tmp_path: Path) -> None:
    async with opened.opened(tmp_path) as bare:
        answer = await bare.ask(door.INJECT, asked.question(asked.pod()))
        assert answer["status"]["message"].startswith("unavailable: the injector has not yet been")


def _with(**request: Any) -> bytes:
    return asked.spoilt(asked.pod(), **request)


_HOSTILE = {
    "nothing": b"",
    "a key twice": b'{"kind": 1, "kind": 2}',
    "deep": b'{"a":' * 300 + b"1" + b"}" * 300,
    "a policy": json.dumps(asked.question(asked.policy())).encode(),
    "a change": _with(operation="UPDATE", oldObject=asked.pod()),
    "a deletion": _with(operation="DELETE"),
    "no uid": _with(uid=...),
    "no namespace": _with(namespace=...),
    "a kind of another group": _with(kind={"group": "mesh7.dev", "version": "v1", "kind": "Pod"}),
    "a binding": _with(kind={"group": "", "version": "v1", "kind": "Binding"}),
    "no object": _with(object=...),
    "a pod of elsewhere": _with(object={**asked.pod(), "metadata": {"namespace": "other"}}),
    "a pod without metadata": _with(object={"kind": "Pod", "spec": {}}),
    "nobody": _with(userInfo=...),
}


@pytest.mark.parametrize("name", _HOSTILE)
async def test_what_is_no_question_about_a_new_pod_is_answered_so(there: Door, name: str) -> None:
    """Whoever reaches the port may send anything."""
    status, text = await there.send(_HOSTILE[name], door.INJECT)
    assert (status, len(text.splitlines())) == (400, 1)


@pytest.mark.parametrize(
    "spec",
    [
        None, [], "x", 7, {}, {"containers": None}, {"containers": {}}, {"containers": [None]},
        {"containers": [{"name": 7, "env": [[]], "ports": "x"}], "initContainers": 7},
        {"containers": [{"name": "a", "env": {"a": []}, "securityContext": []}], "volumes": [7]},
        {"containers": [{"name": "a"}], "volumes": {}, "securityContext": "x"},
    ],
)  # fmt: skip
async def test_a_pod_that_is_nonsense_crashes_nothing(there: Door, spec: object) -> None:
    """The API server would never send it; others may."""
    pod = {**asked.pod(), "spec": spec}
    await there.ask(door.INJECT, asked.question(pod))
    pod["metadata"] |= {"labels": 7, "annotations": []}
    await there.ask(door.INJECT, asked.question(pod))


async def test_two_mebibytes_are_guarded(there: Door) -> None:
    """Issue 6: a 2 MB pod; and the answer is small."""
    env = [{"name": f"VARIABLE_{at}", "value": "x" * 1000} for at in range(2_000)]
    pod = asked.pod(containers=[{"name": "agent", "image": "agent:1", "env": env}])
    answer = await there.ask(door.INJECT, asked.question(pod))
    assert len(patched(pod, answer)["spec"]["initContainers"]) == 1
    assert len(answer["patch"]) < 32_768


async def test_more_than_seven_mebibytes_are_too_large(there: Door) -> None:
    status, _ = await there.send(b" " * (door.MOST_BYTES + 1), door.INJECT)
    assert status == 413


async def test_policies_that_fill_their_places_keep_no_pod_waiting(tmp_path: Path) -> None:
    opened.give(tmp_path)
    async with opened.opened(tmp_path, places=Places(most=0)) as there:
        status, _ = await there.send(json.dumps(asked.question(asked.policy())).encode())
        assert status == 503
        assert "patch" in await there.ask(door.INJECT, asked.question(asked.pod()))


async def test_too_many_pods_at_once_are_refused_at_once(tmp_path: Path) -> None:
    async with opened.opened(tmp_path, pod_places=Places(most=0)) as there:
        status, text = await there.send(
            json.dumps(asked.question(asked.pod())).encode(), door.INJECT
        )
        assert (status, text) == (503, "too many admissions at once; try again\n")
        assert (await there.send(b"{", door.VALIDATE))[0] == 400


async def test_a_burst_of_two_hundred_pods_is_guarded(there: Door) -> None:
    """As many as an API server has under way at once; controllers make pods in bursts."""
    body = json.dumps(asked.question(asked.pod())).encode()
    answers = await asyncio.gather(*(there.send(body, door.INJECT) for _ in range(200)))
    assert {status for status, _ in answers} == {200}
    assert all("patch" in json.loads(text)["response"] for _, text in answers)
