"""What is inside an envelope: the written objects of one namespace, as canonical JSON.

Documents travel as people wrote them (API version, kind, name, namespace, creation time, spec);
the compiler that judged them at admission compiles them in the sidecar too.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.delivery import authorities, spelled
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.errors import BundleError
from mesh7_core.policy import bundle, canonical

FORMAT: Final = 1
"""Of the payload; what a release does not know it does not obey."""

Roster = bundle.Roster

_BUNDLE_KINDS: Final = (names.AGENT_POLICY, names.TOOL_SOURCE)
_OVERLAY_KINDS: Final = (names.GRANT,)
_BUNDLE_KEYS: Final = (
    "releaseNamespace", "labels", "documents", "baseline", "roster", "authorities"
)  # fmt: skip
_METADATA: Final = ("name", "namespace", "creationTimestamp")
_NO_LINES: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleContent:
    """Policies of both layers, sources, roster.

    Attributes:
        labels: of the Namespace, for baseline policies with a `namespaceSelector`.
        documents: AgentPolicy and ToolSource; `is_baseline` says the layer.
        release_namespace: where the baseline is written.
        authorities: that vouch for the exchange, beside those that a pod was made with; as
            `authorities.read` answers them.
    """

    namespace: str
    labels: Mapping[str, str]
    documents: tuple[Document, ...]
    roster: Roster = Roster()  # noqa: RUF009 - frozen
    release_namespace: str = names.RELEASE_NAMESPACE
    authorities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayContent:
    """Standing grants and vetoes."""

    namespace: str
    documents: tuple[Document, ...]


def document_of(value: Mapping[str, object], *, is_baseline: bool = False) -> Document:
    """An object as the API server has it, as a document named `<kind>/<namespace>/<name>`.

    Only apiVersion, kind, spec and of metadata name, namespace and creationTimestamp are kept.
    """
    written = value.get("metadata")
    metadata = written if isinstance(written, dict) else {}
    kept: dict[str, object] = {key: value[key] for key in ("apiVersion", "kind") if key in value}
    kept["metadata"] = {key: metadata[key] for key in _METADATA if key in metadata}
    if "spec" in value:
        kept["spec"] = value["spec"]
    kind = str(value.get("kind", ""))
    place = f"{kind}/{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    return Document(file=place, kind=kind, value=kept, place=_NO_LINES, is_baseline=is_baseline)


def write_bundle(content: BundleContent) -> bytes:
    """Canonical JSON: the order of documents and labels does not matter.

    Raises:
        BundleError: it is nothing that `read_bundle` would read.
    """
    _check(content.documents, content.namespace, content.release_namespace, _BUNDLE_KINDS)
    authorities.check(content.authorities)
    return _spelled({
        **_wrapper(Kind.BUNDLE, content.namespace),
        "releaseNamespace": content.release_namespace,
        "labels": dict(content.labels),
        "documents": _written(one for one in content.documents if not one.is_baseline),
        "baseline": _written(one for one in content.documents if one.is_baseline),
        "roster": {"sidecars": content.roster.sidecars, "agents": dict(content.roster.agents)},
        "authorities": list(content.authorities),
    })  # fmt: skip


def read_bundle(payload: bytes) -> BundleContent:
    """The inverse.

    Raises:
        BundleError: it is something else, or of a format that this release does not know.
    """
    fields = _fields(payload, Kind.BUNDLE, _BUNDLE_KEYS)
    namespace, release = _text(fields["namespace"]), _text(fields["releaseNamespace"])
    documents = (
        *_documents(fields["documents"], is_baseline=False),
        *_documents(fields["baseline"], is_baseline=True),
    )
    _check(documents, namespace, release, _BUNDLE_KINDS)
    return BundleContent(
        namespace=namespace,
        labels={key: _text(value) for key, value in _mapping(fields["labels"]).items()},
        documents=documents,
        roster=_roster(fields["roster"]),
        release_namespace=release,
        authorities=_authorities(fields["authorities"]),
    )


def write_overlay(content: OverlayContent) -> bytes:
    """Canonical JSON: the order of documents does not matter.

    Raises:
        BundleError: it is nothing that `read_overlay` would read.
    """
    _check(content.documents, content.namespace, "", _OVERLAY_KINDS)
    return _spelled({
        **_wrapper(Kind.OVERLAY, content.namespace), "grants": _written(content.documents),
    })  # fmt: skip


def read_overlay(payload: bytes) -> OverlayContent:
    """The inverse.

    Raises:
        BundleError: it is something else, or of a format that this release does not know.
    """
    fields = _fields(payload, Kind.OVERLAY, ("grants",))
    namespace = _text(fields["namespace"])
    documents = _documents(fields["grants"], is_baseline=False)
    _check(documents, namespace, "", _OVERLAY_KINDS)
    return OverlayContent(namespace=namespace, documents=documents)


def _wrapper(kind: Kind, namespace: str) -> dict[str, object]:
    return {"format": FORMAT, "kind": kind.value, "namespace": namespace}


def _spelled(value: Mapping[str, object]) -> bytes:
    try:
        return canonical.written(value).encode()
    except (TypeError, ValueError) as error:
        raise BundleError(
            "an object holds what no JSON can say (half a surrogate pair, an integer beyond 64 "
            "bits), correct it"
        ) from error


def _written(documents: Iterable[Document]) -> list[object]:
    return [one.value for one in sorted(documents, key=_order)]


def _order(document: Document) -> tuple[str, str, str]:
    return (document.kind, document.namespace or "", document.name)


def _check(
    documents: Iterable[Document], namespace: str, release: str, kinds: tuple[str, ...]
) -> None:
    """Whether each document belongs there, once; the compiler judges what it says."""
    known: set[tuple[bool, str, str]] = set()
    for document in documents:
        home = release if document.is_baseline else namespace
        if document.namespace != home:
            raise BundleError(f"`{document.file}` is not of namespace `{home}`")
        if document.kind not in (kinds[:1] if document.is_baseline else kinds):
            raise BundleError(f"`{document.file}` does not belong there")
        identity = (document.is_baseline, document.kind, document.name)
        if identity in known or not document.name:
            raise BundleError(f"`{document.file}` is there twice, or has no name")
        known.add(identity)


def _fields(payload: bytes, kind: Kind, keys: tuple[str, ...]) -> dict[str, object]:
    found = spelled.json_object(payload)
    if found is None:
        raise BundleError("the payload is no JSON object")
    if found.get("format") != FORMAT:
        raise BundleError(f"the payload's format is not {FORMAT}, update the sidecar")
    if found.get("kind") != kind:
        raise BundleError(f"the payload is no {kind}")
    fields = spelled.keyed(found, ("format", "kind", "namespace", *keys))
    if fields is None:
        raise BundleError(f"the payload is no {kind}: its keys are others")
    return fields


def _documents(value: object, *, is_baseline: bool) -> tuple[Document, ...]:
    if not isinstance(value, list):
        raise BundleError("the payload's documents are no list")
    documents = tuple(_document(one, is_baseline=is_baseline) for one in value)
    if list(documents) != sorted(documents, key=_order):
        raise BundleError("the payload's documents are not in their order")
    return documents


def _document(value: object, *, is_baseline: bool) -> Document:
    fields = _mapping(value)
    document = document_of(fields, is_baseline=is_baseline)
    if document.value != fields or fields.get("apiVersion") != names.API_VERSION:
        raise BundleError(f"`{document.file}` holds what no document holds here")
    return document


def _roster(value: object) -> Roster:
    fields = spelled.keyed(value, ("sidecars", "agents"))
    sidecars = spelled.number(fields["sidecars"]) if fields is not None else None
    if fields is None or sidecars is None:
        raise BundleError("the payload's roster cannot be read")
    agents = {key: spelled.number(one) for key, one in _mapping(fields["agents"]).items()}
    known = {key: one for key, one in agents.items() if one is not None}
    if len(known) != len(agents):
        raise BundleError("the payload's roster cannot be read")
    return Roster(sidecars=sidecars, agents=known)


def _authorities(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BundleError("the payload's authorities are no list")
    found = tuple(_text(one) for one in value)
    authorities.check(found)
    return found


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BundleError("the payload holds something else where a mapping belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BundleError("the payload holds something else where a text belongs")
    return value
