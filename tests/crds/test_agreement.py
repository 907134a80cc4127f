"""Laws over many objects: what the schema takes, the code takes; what the code takes, the schema.

The schema is judged by `tests.crds.judging`; the code is the pydantic models, then the compiler.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mesh7_core import names
from mesh7_core.api import manifests
from mesh7_core.compiling import compiler
from tests.crds import generating, judging, schemas

KINDS = sorted(schemas.MODELS)
_FEWER = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_POLICY = generating.manifest(
    names.AGENT_POLICY,
    {
        "selector": {},
        "rules": [
            {
                "name": "ask",
                "tools": ["*"],
                "action": "RequireApproval",
                "approval": {"grantable": {"maxDuration": "8784h"}},
            }
        ],
    },
    "known",
)


def _either(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(generating.written(kind), generating.broken(kind))


def _schema_says(kind: str, spec: dict[str, Any]) -> list[str]:
    return judging.complaints(schemas.whole(kind), generating.manifest(kind, spec))


def _model_says(kind: str, spec: dict[str, Any]) -> list[str]:
    (document,) = _documents(generating.manifest(kind, spec))
    found = manifests.validate(document, schemas.MODELS[kind], document.value)
    return [f"{one.path}: {one.message}" for one in found] if isinstance(found, list) else []


def _documents(*written: dict[str, Any]) -> tuple[manifests.Document, ...]:
    found = [
        manifests.read_file(f"{index}.json", json.dumps(one).encode())
        for index, one in enumerate(written)
    ]
    return tuple(document for one in found for document in one.documents)


def _compiler_says(kind: str, spec: dict[str, Any]) -> list[str]:
    """In a cluster, in the release namespace for a policy: that is where most is allowed."""
    written = generating.manifest(kind, spec)
    documents = [
        *_documents(written),
        *(_documents(_POLICY) if kind == names.GRANT else ()),
    ]
    compiled = compiler.compile_set(
        [_placed(one, is_baseline=kind == names.AGENT_POLICY) for one in documents],
        namespace="default",
        in_cluster=True,
    )
    errors = [str(one) for one in compiled.diagnostics if one.severity == "error"]
    assert bool(errors) == (compiled.bundle is None)
    return errors


def _placed(document: manifests.Document, *, is_baseline: bool) -> manifests.Document:
    return manifests.Document(
        file=document.file, kind=document.kind, value=document.value, place=document.place,
        is_baseline=is_baseline,
    )  # fmt: skip


@pytest.mark.promise("K1")
@pytest.mark.parametrize("kind", KINDS)
@given(drawn=st.data())
@_FEWER
def test_what_the_schema_takes_the_models_take(kind: str, drawn: st.DataObject) -> None:
    """Issue 5: hypothesis objects valid in one are valid in the other."""
    spec = drawn.draw(_either(kind))

    if not _schema_says(kind, spec):
        assert _model_says(kind, spec) == []


@pytest.mark.promise("K1")
@pytest.mark.parametrize("kind", KINDS)
@given(drawn=st.data())
@_FEWER
def test_what_the_compiler_takes_the_schema_takes(kind: str, drawn: st.DataObject) -> None:
    """Issue 5: the API server refuses nothing that a sidecar would obey."""
    spec = drawn.draw(_either(kind))

    if not _compiler_says(kind, spec):
        assert _schema_says(kind, spec) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_laws_speak_about_something(kind: str) -> None:
    """Without taken and refused objects among the drawn ones both laws would be empty."""
    taken: list[bool] = []

    @settings(max_examples=40, deadline=None, database=None, phases=[Phase.generate])
    @given(generating.written(kind), generating.broken(kind))
    def draw(good: dict[str, Any], bad: dict[str, Any]) -> None:
        taken.append(not _schema_says(kind, good) and not _compiler_says(kind, good))
        taken.append(not _schema_says(kind, bad) and not _model_says(kind, bad))

    draw()
    assert sum(taken) >= 20
    assert taken.count(False) >= 5


_ASKED = {"name": "a", "tools": ["*"], "action": "RequireApproval"}


@pytest.mark.parametrize(
    "text", [10, "10", "1 minute", "1.5h", "-1s", "8785h", "00001h", "1h\n"], ids=repr
)
def test_a_malformed_duration_is_refused_by_both(text: object) -> None:
    rule = _ASKED | {"approval": {"timeout": text}}
    spec = {"selector": {}, "rules": [rule]}

    assert _schema_says(names.AGENT_POLICY, spec) != []
    assert _model_says(names.AGENT_POLICY, spec) != []


@pytest.mark.parametrize("number", ["10", 0, 17, True, 1.5, -1], ids=repr)
def test_a_malformed_number_is_refused_by_both(number: object) -> None:
    rule = _ASKED | {"approval": {"count": number}}
    spec = {"selector": {}, "rules": [rule]}

    assert _schema_says(names.AGENT_POLICY, spec) != []
    assert _model_says(names.AGENT_POLICY, spec) != []


@pytest.mark.parametrize(
    "text",
    ["tomorrow", "2026-11-21", "2026-11-21T10:00:00", "2026-11-21t10:00:00z",
     "2026-02-30T10:00:00Z", "1999-01-01T00:00:00Z", "20261121T100000Z", 5],
    ids=repr,
)  # fmt: skip
def test_a_malformed_time_is_refused_by_both(text: object) -> None:
    spec = {"effect": "Deny", "subject": {}, "expiresAt": text}

    assert _schema_says(names.GRANT, spec) != []
    assert _model_says(names.GRANT, spec) != []
