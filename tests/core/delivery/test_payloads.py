"""What is inside an envelope: written and read back, and nothing else is read."""

import json
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.api.manifests import Document
from mesh7_core.delivery import payloads
from mesh7_core.delivery.payloads import BundleContent, OverlayContent, Roster
from mesh7_core.errors import BundleError

API = "mesh7.dev/v1alpha1"


def an_object(
    kind: str, name: str, namespace: str = "shop", spec: Mapping[str, object] | None = None
) -> dict[str, object]:
    return {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec or {"selector": {}},
    }


def a_document(kind: str, name: str, namespace: str = "shop") -> Document:
    return payloads.document_of(
        an_object(kind, name, namespace), is_baseline=namespace == "mesh7-system"
    )


POLICY, OTHER = a_document("AgentPolicy", "b"), a_document("AgentPolicy", "a")
SOURCE = a_document("ToolSource", "billing")
BASELINE = a_document("AgentPolicy", "fence", "mesh7-system")
GRANT = a_document("Grant", "morning")
AUTHORITY = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"
BUNDLE = BundleContent(
    namespace="shop",
    labels={"team": "a", "env": "prod"},
    documents=(BASELINE, SOURCE, POLICY, OTHER),
    roster=Roster(sidecars=3, agents={"support": 2, "bot": 1}),
    authorities=(AUTHORITY,),
)
OVERLAY = OverlayContent(namespace="shop", documents=(GRANT,))
BUNDLE_BYTES = (
    b'{"authorities":["-----BEGIN CERTIFICATE-----\\nAQID\\n-----END CERTIFICATE-----\\n"],'
    b'"baseline":[{"apiVersion":"mesh7.dev/v1alpha1","kind":"AgentPolicy",'
    b'"metadata":{"name":"fence","namespace":"mesh7-system"},"spec":{"selector":{}}}],'
    b'"documents":[{"apiVersion":"mesh7.dev/v1alpha1","kind":"AgentPolicy",'
    b'"metadata":{"name":"a","namespace":"shop"},"spec":{"selector":{}}},'
    b'{"apiVersion":"mesh7.dev/v1alpha1","kind":"AgentPolicy",'
    b'"metadata":{"name":"b","namespace":"shop"},"spec":{"selector":{}}},'
    b'{"apiVersion":"mesh7.dev/v1alpha1","kind":"ToolSource",'
    b'"metadata":{"name":"billing","namespace":"shop"},"spec":{"selector":{}}}],'
    b'"format":1,"kind":"bundle","labels":{"env":"prod","team":"a"},"namespace":"shop",'
    b'"releaseNamespace":"mesh7-system","roster":{"agents":{"bot":1,"support":2},"sidecars":3}}'
)
OVERLAY_BYTES = (
    b'{"format":1,"grants":[{"apiVersion":"mesh7.dev/v1alpha1","kind":"Grant",'
    b'"metadata":{"name":"morning","namespace":"shop"},"spec":{"selector":{}}}],'
    b'"kind":"overlay","namespace":"shop"}'
)


def test_a_document_keeps_what_is_compiled_and_nothing_else() -> None:
    """What the API server adds changes with every touch, and means nothing."""
    value = {
        **an_object("Grant", "morning"),
        "metadata": {
            "name": "morning",
            "namespace": "shop",
            "creationTimestamp": "2026-11-21T10:00:00Z",
            "uid": "1",
            "resourceVersion": "7",
            "labels": {"a": "b"},
            "managedFields": [],
        },
        "status": {"phase": "Active"},
    }

    assert payloads.document_of(value) == Document(
        file="Grant/shop/morning",
        kind="Grant",
        value={
            "apiVersion": API,
            "kind": "Grant",
            "metadata": {
                "name": "morning",
                "namespace": "shop",
                "creationTimestamp": "2026-11-21T10:00:00Z",
            },
            "spec": {"selector": {}},
        },
        place=0,
    )


@pytest.mark.parametrize("value", [{}, {"metadata": None}, {"metadata": [], "kind": 7}])
def test_an_object_without_anything_is_a_document_without_anything(value: object) -> None:
    assert isinstance(value, dict)
    assert payloads.document_of(value).name == ""


def test_payloads_have_these_bytes() -> None:
    """docs/reference/bundles.md."""
    assert payloads.write_bundle(BUNDLE) == BUNDLE_BYTES
    assert payloads.write_overlay(OVERLAY) == OVERLAY_BYTES


def test_what_is_written_is_read_back() -> None:
    in_order = replace(BUNDLE, documents=(OTHER, POLICY, SOURCE, BASELINE))
    assert payloads.read_bundle(BUNDLE_BYTES) == in_order
    assert payloads.read_overlay(OVERLAY_BYTES) == OVERLAY


@given(
    names=st.sets(st.from_regex(r"[a-z]{1,8}", fullmatch=True), max_size=6),
    values=st.lists(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"])),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3
                )
            ),
        ),
        min_size=6,
        max_size=6,
    ),
    seed=st.integers(),
)
def test_any_objects_come_back_whatever_their_order(
    names: set[str], values: list[object], seed: int
) -> None:
    """Design 7: the same set has the same bytes."""
    documents = [
        payloads.document_of(an_object("AgentPolicy", name, spec={"value": value}))
        for name, value in zip(sorted(names), values, strict=False)
    ]
    shuffled = random.Random(seed).sample(documents, len(documents))  # noqa: S311 - no secret
    content = BundleContent(namespace="shop", labels={}, documents=tuple(shuffled))

    written = payloads.write_bundle(content)

    assert payloads.read_bundle(written) == replace(content, documents=tuple(documents))
    assert payloads.write_bundle(replace(content, documents=tuple(documents))) == written


@pytest.mark.parametrize(
    "document",
    [
        a_document("AgentPolicy", "x", "bank"),
        replace(POLICY, is_baseline=True),
        replace(BASELINE, is_baseline=False),
        replace(SOURCE, is_baseline=True),
        a_document("ToolSource", "x", "mesh7-system"),
        GRANT,
        a_document("Secret", "x"),
        a_document("AgentPolicy", ""),
        POLICY,
    ],
)
def test_a_bundle_holds_only_what_belongs_there(document: Document) -> None:
    """Another namespace's, another kind, a name twice."""
    with pytest.raises(BundleError):
        payloads.write_bundle(replace(BUNDLE, documents=(*BUNDLE.documents, document)))


def test_an_overlay_holds_only_grants_of_its_namespace() -> None:
    for document in (POLICY, a_document("Grant", "x", "bank"), GRANT):
        with pytest.raises(BundleError):
            payloads.write_overlay(replace(OVERLAY, documents=(GRANT, document)))


def test_a_release_may_live_elsewhere() -> None:
    """The release namespace is the installer's choice."""
    fence = payloads.document_of(an_object("AgentPolicy", "x", "guards"), is_baseline=True)
    content = BundleContent(
        namespace="shop", labels={}, documents=(fence,), release_namespace="guards"
    )
    assert payloads.read_bundle(payloads.write_bundle(content)) == content


@pytest.mark.parametrize("spec", [{"n": 2**64}, {"t": "\ud800"}])
def test_what_no_json_can_say_is_not_written(spec: dict[str, object]) -> None:
    document = payloads.document_of(an_object("Grant", "x", spec=spec))
    with pytest.raises(BundleError, match="no JSON can say"):
        payloads.write_overlay(OverlayContent(namespace="shop", documents=(document,)))


def bundle_with(**changed: object) -> bytes:
    return json.dumps({**json.loads(BUNDLE_BYTES), **changed}).encode()


def with_document(**changed: object) -> bytes:
    return bundle_with(documents=[{**an_object("AgentPolicy", "a"), **changed}])


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        BUNDLE_BYTES[:-1],
        BUNDLE_BYTES.replace(b'"format":1', b'"format":1,"format":1'),
        OVERLAY_BYTES,
        bundle_with(kind="overlay"),
        bundle_with(more=1),
        bundle_with(namespace=None),
        bundle_with(namespace="bank"),
        bundle_with(releaseNamespace="elsewhere"),
        bundle_with(labels=[]),
        bundle_with(labels={"a": 1}),
        bundle_with(documents={}),
        bundle_with(documents=[1]),
        bundle_with(documents=list(reversed(json.loads(BUNDLE_BYTES)["documents"]))),
        bundle_with(documents=json.loads(BUNDLE_BYTES)["baseline"]),
        bundle_with(baseline=json.loads(BUNDLE_BYTES)["documents"]),
        bundle_with(roster=None),
        bundle_with(roster={"sidecars": -1, "agents": {}}),
        bundle_with(roster={"sidecars": 1, "agents": {"a": "1"}}),
        bundle_with(roster={"sidecars": 1, "agents": {}, "more": 1}),
        bundle_with(authorities=None),
        bundle_with(authorities=[1]),
        bundle_with(authorities=["hello"]),
        bundle_with(authorities=[AUTHORITY, AUTHORITY]),
        bundle_with(authorities=[AUTHORITY.replace("AQID", "AQ ID")]),
        with_document(kind="Grant"),
        with_document(kind="Secret"),
        with_document(apiVersion="v1"),
        with_document(status={}),
        with_document(metadata={"name": "a", "namespace": "shop", "labels": {}}),
        with_document(metadata={"name": "a", "namespace": "bank"}),
        with_document(metadata={"name": "a"}),
        with_document(metadata={"namespace": "shop"}),
        with_document(metadata=[]),
    ],
)
def test_what_is_no_bundle_is_not_read(payload: bytes) -> None:
    """It was signed; still nothing is guessed about what this release does not know."""
    with pytest.raises(BundleError):
        payloads.read_bundle(payload)


def test_a_newer_format_says_what_to_do() -> None:
    with pytest.raises(BundleError, match="format is not 1, update the sidecar"):
        payloads.read_bundle(bundle_with(format=2))


@given(payload=st.binary(max_size=200))
def test_whatever_is_there_is_read_or_refused(payload: bytes) -> None:
    with pytest.raises(BundleError):
        payloads.read_overlay(payload)
