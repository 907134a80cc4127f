"""Every manifest of ours that is shown or tried somewhere, through the schema and the models."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.api import crd_cases
from e2e.api.crd_cases import Case
from mesh7_core.api import manifests
from mesh7_core.api.manifests import Document
from tests.crds import judging, schemas

ROOT = Path(__file__).parents[2]
_YAML = re.compile(r"(?ms)^```yaml\n(.*?)^```")
_ON_LAPTOPS_ONLY = "NotServedInCluster"
_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BROKEN = crd_cases.read("broken")
ACCEPTED = crd_cases.read("accepted")


def _shown() -> Iterator[tuple[str, str]]:
    """Texts with manifests by where they stand."""
    for page in _PAGES:
        for index, text in enumerate(_YAML.findall(page.read_text(encoding="utf-8"))):
            yield f"{page.relative_to(ROOT)}#{index}", text
    for folder in (ROOT / "examples", ROOT / "tests" / "golden" / "good"):
        for path in sorted(folder.rglob("*.yaml")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def _documents(name: str, text: str) -> list[Document]:
    found = manifests.read_file(f"{name}.yaml", text.encode()).documents
    return [one for one in found if one.kind in schemas.MODELS]


def _complaints(document: Document) -> list[str]:
    return judging.complaints(schemas.whole(document.kind), document.value)


def _model_says(document: Document) -> list[str]:
    found = manifests.validate(document, schemas.MODELS[document.kind], document.value)
    return [str(one) for one in found] if isinstance(found, list) else []


@pytest.mark.promise("K1")
@pytest.mark.parametrize(("name", "text"), list(_shown()), ids=[name for name, _ in _shown()])
def test_what_is_shown_can_be_applied(name: str, text: str) -> None:
    """Issue 5: each manifest of examples and docs passes both; laptops alone have `Stdio`."""
    for document in _documents(name, text):
        found = [one for one in _complaints(document) if _ON_LAPTOPS_ONLY not in one]

        assert found == []
        assert _model_says(document) == []


def test_examples_and_pages_show_something() -> None:
    shown = [document.kind for name, text in _shown() for document in _documents(name, text)]

    assert set(shown) == set(schemas.MODELS)
    assert len(shown) >= 15


def _ids(cases: list[Case]) -> list[str]:
    return [f"{index}-{one.told}" for index, one in enumerate(cases)]


@pytest.mark.parametrize("case", BROKEN, ids=_ids(list(BROKEN)))
def test_the_imitation_refuses_what_the_api_server_refuses(case: Case) -> None:
    """`e2e/api/test_crds.py` sends the same manifests to the real one."""
    (value,) = _values(case)

    assert judging.complaints(schemas.whole(case.kind), value) != []


@pytest.mark.parametrize("case", ACCEPTED, ids=_ids(list(ACCEPTED)))
def test_the_imitation_and_the_models_take_what_the_api_server_takes(case: Case) -> None:
    (value,) = _values(case)

    assert judging.complaints(schemas.whole(case.kind), value) == []
    for document in _documents("case", case.text):
        assert _model_says(document) == []


def _values(case: Case) -> list[object]:
    # Nobody keeps these in files, so `manifests` does not read them.
    text = re.sub("kind: (ApprovalRequest|AuditQuery)", "kind: Grant", case.text)
    found = manifests.read_file("case.yaml", text.encode()).documents
    return [{**one.value, "kind": case.kind} for one in found]
