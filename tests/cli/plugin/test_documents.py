"""Manifests as their writers spelled them, and where pods stand in them."""

import json
from pathlib import Path

import pytest

from mesh7_cli.injecting import documents, templates
from mesh7_core import errors

_TWO = """\
# Ours.
apiVersion: v1
kind: ConfigMap   # kept
data: {when: 2024-01-01, mode: 0440, word: "é"}
---
# Second.
kind: Pod
--- # third
kind: Service
---
---
kind: Secret
"""


def test_every_document_is_kept_as_it_was_written_with_its_line() -> None:
    """docs/reference/kubectl-mesh7.md: what nobody changes is printed verbatim."""
    found = documents.read(_TWO, "two.yaml")
    assert [(one.line, one.text) for one in found] == [
        (1, ('# Ours.\napiVersion: v1\nkind: ConfigMap   # kept\n'
            'data: {when: 2024-01-01, mode: 0440, word: "é"}\n')),
        (6, "# Second.\nkind: Pod\n"),
        (8, "--- # third\nkind: Service\n"),
        (12, "kind: Secret\n"),
    ]  # fmt: skip
    assert found[0].value == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {"when": "2024-01-01", "mode": 0o440, "word": "é"},
    }


def test_what_is_joined_reads_as_the_same_documents() -> None:
    found = documents.read(_TWO, "two.yaml")
    again = documents.read(documents.joined([one.text for one in found]), "again.yaml")
    assert [one.value for one in again] == [one.value for one in found]


def test_json_is_read_with_tabs() -> None:
    (found,) = documents.read('{\n\t"kind": "Pod"\n}\n', "pod.json")
    assert found.value == {"kind": "Pod"}


def test_what_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    """Style: file, line, what."""
    path = tmp_path / "bad.yaml"
    path.write_text("kind: Pod\nspec: {a: b\n")
    with pytest.raises(errors.ManifestError) as refused:
        documents.read_all([str(path)], is_deep=False)
    assert refused.value.message.startswith(f"{path}:3: this is not YAML: ")


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.ManifestError) as refused:
        documents.read_all([str(path)], is_deep=False)
    assert refused.value.message == f"{path}:1: this is not UTF-8"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(errors.SettingsError) as refused:
        documents.read_all([str(missing)], is_deep=False)
    assert refused.value.message == (
        f"--filename `{missing}`: no such file or directory – name a file that is there"
    )


def test_a_folder_means_its_manifests_and_with_recursive_those_below(tmp_path: Path) -> None:
    """As kubectl does."""
    (tmp_path / "below").mkdir()
    (tmp_path / "b.yml").write_text("kind: B\n")
    (tmp_path / "a.json").write_text('{"kind": "A"}')
    (tmp_path / "notes.txt").write_text("kind: None\n")
    (tmp_path / "below" / "c.yaml").write_text("kind: C\n")
    flat = documents.read_all([str(tmp_path)], is_deep=False)
    deep = documents.read_all([str(tmp_path)], is_deep=True)
    assert [one.value for one in flat] == [{"kind": "A"}, {"kind": "B"}]
    assert [one.value for one in deep] == [{"kind": "A"}, {"kind": "B"}, {"kind": "C"}]


_POD = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
_WORKLOADS = [
    ("apps/v1", kind, {"template": _POD}, "spec.template")
    for kind in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
] + [
    ("v1", "ReplicationController", {"template": _POD}, "spec.template"),
    ("batch/v1", "Job", {"template": _POD}, "spec.template"),
    ("batch/v1", "CronJob", {"jobTemplate": {"spec": {"template": _POD}}},
     "spec.jobTemplate.spec.template"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "kind", "spec", "path"), _WORKLOADS)
def test_pods_are_found_in_every_workload_and_put_back(
    version: str, kind: str, spec: dict[str, object], path: str
) -> None:
    """Issue 6: Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, List."""
    value = {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}
    (found,) = templates.templates(value)
    assert found.pod == {"apiVersion": "v1", "kind": "Pod", **_POD}
    assert (found.shown, found.namespace) == (f"{kind.lower()}/web", None)
    assert found.field("spec.hostNetwork") == f"{path}.spec.hostNetwork"
    changed = templates.replaced(value, found, {**found.pod, "spec": {"hostNetwork": True}})
    (again,) = templates.templates(changed)
    assert again.pod["spec"] == {"hostNetwork": True}
    assert json.dumps(value).count("hostNetwork") == 0


def test_items_of_lists_are_found_with_their_place() -> None:
    """A typed list names the kind of its items once."""
    pod = {"metadata": {"generateName": "a-", "namespace": "shop"}, "spec": {"containers": []}}
    inner = {"apiVersion": "v1", "kind": "PodList", "items": [{"apiVersion": "v1", **pod}]}
    value = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, inner]}
    (found,) = templates.templates(value)
    assert (found.shown, found.namespace) == ("pod/a-*", "shop")
    assert found.field("spec") == "items[1].items[0].spec"


@pytest.mark.parametrize(
    "value",
    [
        None, "text", [], {}, {"kind": "Service", "apiVersion": "v1"},
        {"kind": "Deployment", "apiVersion": "example.com/v1", "spec": {"template": _POD}},
        {"kind": "List", "items": "none"},
    ],
)  # fmt: skip
def test_what_makes_no_pod_has_none(value: object) -> None:
    """Somebody else's Deployment is not ours to change."""
    assert list(templates.templates(value)) == []
