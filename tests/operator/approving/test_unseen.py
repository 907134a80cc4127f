"""A yes to what nobody saw counts only from whoever says that they know."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from mesh7_core import names
from mesh7_core.ledger.asked import Request
from mesh7_core.policy import canonical, exact
from mesh7_operator.approving import mirrored
from mesh7_operator.approving.plan import plan
from tests.crds import judging, schemas
from tests.operator.approving import worlds

EVIL = '{"amount":9000000,"to":"evil"}'


def http(**said: object) -> Request:
    """A held call to an HTTP API, genuine."""
    whole = {
        "method": "POST", "path": "/v1/refunds", "query": "", "bodyDigest": "sha256:0",
        "bodySize": len(EVIL), "body": EVIL, **said,
    }  # fmt: skip
    text = canonical.written({name: one for name, one in whole.items() if one is not None})
    mark = exact.mark_of("http", text)
    return worlds.digested(replace(worlds.request(), arguments=text, mark=mark))


def spec_of(request: Request) -> Mapping[str, object]:
    """What stands in its ApprovalRequest, which the API server takes."""
    steps = plan(worlds.world(request).ground())
    assert steps.doubted == {}
    (mirror,) = steps.mirror
    complaints = judging.complaints(schemas.whole(names.APPROVAL_REQUEST), mirror.manifest)
    assert complaints == []
    spec = mirror.manifest["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "asked",
    [
        http(body=None),
        http(body=None, bodyHead="{", bodyTail="}", bodySize=99_999),
        http(body="card=4711", bodySize=9),
        worlds.request(arguments={"text": "x" * 20_000}),
    ],
)
def test_a_yes_to_a_body_that_nobody_saw_counts_only_with_unseen(asked: Request) -> None:
    """An attack: a body of 16 KiB and one byte, or with one byte that is no text."""
    assert spec_of(asked)["unseen"] is True
    held = worlds.mirrored(asked)
    blind = worlds.settled(worlds.granted(held, worlds.grant(held)))
    assert worlds.state(blind) == "Pending Waits"
    assert worlds.heard(blind) == "Refused ArgumentsUnseen"
    knowing = worlds.granted(held, worlds.grant(held, unseen=True))
    assert worlds.state(worlds.settled(knowing)) == "Approved Approved"


def test_a_yes_to_a_body_that_is_shown_needs_no_more() -> None:
    assert "unseen" not in spec_of(http())
    held = worlds.mirrored(http())
    said = worlds.settled(worlds.granted(held, worlds.grant(held)))
    assert worlds.state(said) == "Approved Approved"


@pytest.mark.promise("A11")
def test_what_policies_mask_stands_nowhere_in_the_object() -> None:
    """Nor in a digest of it (`spec.digest` is salted), nor in a query."""
    body = '{"amount":5,"card":"4711"}'
    shown = spec_of(http(body=body, bodySize=len(body), query="card=4711&a=1"))["arguments"]
    assert json.loads(str(shown)) == {
        "method": "POST", "path": "/v1/refunds", "query": "card=(redacted)&a=1",
        "bodyDigest": "(redacted)", "bodySize": 26,
        "body": '{"amount":5,"card":"(redacted)"}',
    }  # fmt: skip


@pytest.mark.promise("A8")
def test_no_arguments_make_an_object_of_more_than_16_kib_of_text() -> None:
    """An attack on etcd: a sign of four bytes counted as one."""
    found = spec_of(worlds.request(arguments={"a": "😀" * 60_000}))
    assert len(str(found["arguments"]).encode()) <= 16_384
    assert found["argumentsSize"] == 240_008


def test_a_mirror_of_before_is_judged_by_its_size() -> None:
    """One without the mark, of a controller that did not know it."""
    held = worlds.mirrored(worlds.request(arguments={"text": "x" * 20_000}))
    (written,) = held.mirrors
    spec = {**_mapping(written.value["spec"])}
    del spec["unseen"]
    found = mirrored.read(replace(written, value={**written.value, "spec": spec}))
    assert found is not None
    assert found.is_cut


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value
