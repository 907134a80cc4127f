"""What is inside an envelope: the written objects of one namespace, as canonical JSON.

Documents travel as people wrote them (API version, kind, name, namespace, creation time, spec);
the compiler that judged them at admission compiles them in the sidecar too.
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh7_core.api.manifests import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """How many sidecars share limits; counted only where a limit says `onStoreLoss: Local`.

    Attributes:
        sidecars: in the namespace; 0 = not known.
        agents: the same by service account.
    """

    sidecars: int = 0
    agents: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleContent:
    """Policies of both layers, sources, roster.

    Attributes:
        labels: of the Namespace, for baseline policies with a `namespaceSelector`.
        documents: AgentPolicy and ToolSource; `is_baseline` says the layer.
    """

    namespace: str
    labels: Mapping[str, str]
    documents: tuple[Document, ...]
    roster: Roster = Roster()


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayContent:
    """Standing grants and vetoes."""

    namespace: str
    documents: tuple[Document, ...]


def document_of(value: Mapping[str, object], *, is_baseline: bool = False) -> Document:
    """An object as the API server has it, as a document named `<kind>/<namespace>/<name>`.

    Only apiVersion, kind, spec and of metadata name, namespace and creationTimestamp are kept.
    """
    raise NotImplementedError


def write_bundle(content: BundleContent) -> bytes:
    """Canonical JSON: the order of documents and labels does not matter."""
    raise NotImplementedError


def read_bundle(payload: bytes) -> BundleContent:
    """The inverse.

    Raises:
        BundleError: it is something else, or of a format that this release does not know.
    """
    raise NotImplementedError


def write_overlay(content: OverlayContent) -> bytes:
    """Canonical JSON: the order of documents does not matter."""
    raise NotImplementedError


def read_overlay(payload: bytes) -> OverlayContent:
    """The inverse.

    Raises:
        BundleError: it is something else, or of a format that this release does not know.
    """
    raise NotImplementedError
