"""Files → documents → kinds: what each document of a manifest is, with its place.

Ours are refused when anything about them is unknown; other people's kinds are left out with a
note, so that one folder can hold a whole application. Pure: no clock, no network, no logging.
"""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from mesh7_core import names
from mesh7_core.api import grants, mistakes, policies, reading, sources, suggestions
from mesh7_core.api.objects import Model
from mesh7_core.api.places import Branch, Path, Place, Problem, line_at, shown, spell, value_at

MODELS: Mapping[str, type[Model]] = {
    names.AGENT_POLICY: policies.AgentPolicy,
    names.TOOL_SOURCE: sources.ToolSource,
    names.GRANT: grants.Grant,
}

Kind = TypeVar("Kind", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One object as written, known to be of a kind that is read here.

    Attributes:
        file: as given to `read_file`; `cluster` objects have a name of their own choice.
        value: plain values; never changed.
        place: the lines of `value`; 0 where there are none, in a cluster.
        prefix: where `value` stands in its file's document; not empty for items of a List.
        is_baseline: it lies in the baseline layer.
    """

    file: str
    kind: str
    value: dict[str, object]
    place: Place
    prefix: Path = ()
    is_baseline: bool = False

    @property
    def name(self) -> str:
        """`metadata.name`, empty when there is none."""
        name = value_at(self.value, ("metadata", "name"))
        return name if isinstance(name, str) else ""

    @property
    def namespace(self) -> str | None:
        """`metadata.namespace`, None when it is not written."""
        namespace = value_at(self.value, ("metadata", "namespace"))
        return namespace if isinstance(namespace, str) else None

    def line(self, *path: str | int) -> int:
        """The line of what stands at `path`."""
        return line_at(self.place, path)

    def where(self, *path: str | int) -> str:
        """What stands at `path` for people: `line 7`, or its path where no lines are known."""
        line = self.line(*path)
        return f"line {line}" if line else f"`{spell(self.prefix + path)}`"

    def problem(self, path: Path, message: str) -> Problem:
        """A mistake at `path`."""
        return Problem(
            file=self.file,
            line=line_at(self.place, path),
            path=spell(self.prefix + path),
            message=message,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file holds.

    Attributes:
        problems: mistakes; any of them spoils the set.
        notes: what was left out, and why.
    """

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()


def read_file(file: str, content: bytes, *, is_baseline: bool = False) -> Reading:
    """All documents of one file. Total: what cannot be read is a problem."""
    try:
        text = reading.decode(content)
        if file.endswith(".json"):
            # JSON may be indented with tabs and YAML may not; inside its strings none can stand.
            text = text.replace("\t", " ")
        texts = reading.read(text)
    except reading.Unreadable as error:
        problem = Problem(file=file, line=error.line, path="", message=error.message)
        return Reading(documents=(), problems=(problem,))
    documents: list[Document] = []
    problems: list[Problem] = []
    notes: list[Problem] = []
    for value, place, prefix in _objects(texts):
        found = _classify(Document(
            file=file, kind="", value=value if isinstance(value, dict) else {},
            place=place, prefix=prefix, is_baseline=is_baseline,
        ), value)  # fmt: skip
        match found:
            case Document():
                documents.append(found)
            case _Note():
                notes.append(found.problem)
            case Problem():
                problems.append(found)
    return Reading(documents=tuple(documents), problems=tuple(problems), notes=tuple(notes))


def validate(
    document: Document, model: type[Kind], filled: dict[str, object]
) -> Kind | list[Problem]:
    """A document as its model.

    Args:
        document: as written; messages quote it.
        model: of the document's kind.
        filled: the same with the environment filled in.
    """
    found: dict[Path, str] = {}
    for path in _nothings(document.value.get("spec"), ("spec",)):
        found[path] = mistakes.NO_VALUE
    result: Kind | None = None
    try:
        result = model.model_validate(filled)
    except ValidationError as error:
        for path, message in mistakes.explain(error, model, document.value):
            found.setdefault(path, message)
    if found or result is None:
        return [document.problem(path, message) for path, message in found.items()]
    return result


def kind_of(model: type[Model]) -> str:
    """The `kind` of the documents that a model is for."""
    kind: str = typing.get_args(model.model_fields["kind"].annotation)[0]
    return kind


@dataclass(frozen=True, slots=True)
class _Note:
    problem: Problem


def _objects(texts: list[reading.Text]) -> Iterator[tuple[object, Place, Path]]:
    """Each document; the items of a `v1` List instead of the list. Empty documents are none."""
    for text in texts:
        value = text.value
        if value is None:
            continue
        items = value.get("items") if isinstance(value, dict) else None
        if isinstance(value, dict) and _is_list(value) and isinstance(items, list):
            branch = text.place.children.get("items") if isinstance(text.place, Branch) else None
            for index, item in enumerate(items):
                place = branch.children[index] if isinstance(branch, Branch) else text.place
                yield item, place, ("items", index)
        else:
            yield value, text.place, ()


def _is_list(value: Mapping[str, object]) -> bool:
    return value.get("apiVersion") == "v1" and value.get("kind") == "List"


def _classify(document: Document, written: object) -> Document | Problem | _Note:
    if not isinstance(written, dict):
        message = f"{shown(written)} is no manifest, write a mapping with `apiVersion` and `kind`"
        return document.problem((), message)
    version, kind = written.get("apiVersion"), written.get("kind")
    if not isinstance(version, str):
        return document.problem(("apiVersion",), _missing("apiVersion", names.API_VERSION))
    if not isinstance(kind, str):
        return document.problem(("kind",), _missing("kind", names.AGENT_POLICY))
    if version == names.API_VERSION:
        return _our_kind(document, kind)
    return _other_group(document, version, kind)


def _missing(key: str, example: str) -> str:
    return f"`{key}` is missing or no text, write one such as `{key}: {example}`"


def _our_kind(document: Document, kind: str) -> Document | Problem:
    if kind in MODELS or kind == names.POLICY_CASES:
        return _of_kind(document, kind)
    if kind == names.APPROVAL_REQUEST:
        return document.problem(
            ("kind",), f"`{kind}` objects are written by the controller only, remove it"
        )
    if kind == names.AUDIT_QUERY:
        return document.problem(
            ("kind",), f"an `{kind}` asks a cluster and is no policy, remove it"
        )
    return document.problem(
        ("kind",), f"unknown kind `{shown(kind)[1:-1]}`, {suggestions.advice(kind, list(MODELS))}"
    )


def _other_group(document: Document, version: str, kind: str) -> Document | Problem | _Note:
    group = version.rpartition("/")[0]
    if version == "v1" and kind == "Secret" and document.name == names.CREDENTIALS_SECRET:
        return _of_kind(document, kind)
    if version == "v1" and kind == "List":
        return document.problem(("items",), "`items` is missing or no list, write a list")
    is_near = suggestions.nearest(group or version, [names.GROUP]) is not None
    if is_near or (not group and suggestions.nearest(kind, list(MODELS)) in MODELS):
        return document.problem(
            ("apiVersion",),
            f"unknown API version {shown(version)}, did you mean `{names.API_VERSION}`?",
        )
    return _Note(document.problem(
        ("kind",), f"kind {shown(kind)} of {shown(version)} is not mesh7's, left out"
    ))  # fmt: skip


def _of_kind(document: Document, kind: str) -> Document:
    return Document(
        file=document.file, kind=kind, value=document.value, place=document.place,
        prefix=document.prefix, is_baseline=document.is_baseline,
    )  # fmt: skip


def _nothings(value: object, path: Path) -> Iterator[Path]:
    """Where a key stands without a value: an unfinished `when:` must not mean "always" (D23)."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _nothings(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from _nothings(inner, (*path, index))
        case None if len(path) > 1:
            yield path
        case _:
            pass
