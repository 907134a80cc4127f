"""Signed decisions: what the operator sealed is read back, and nothing else is."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import decisions, envelopes, keys, spelled
from mesh7_core.delivery.decisions import Decision
from mesh7_core.delivery.envelopes import Refusal, Refused
from mesh7_core.errors import BundleError
from mesh7_core.policy import canonical
from tests.core.delivery.parts import FIRST, SECOND, STRANGER, sealed

YES = Decision(
    namespace="shop",
    request_id="r-mzxw6ytboi2d4mzrgi3tmnjyga",
    digest="sha256:" + "0a" * 32,
    uid="6f1e0d1c-8a51-4b52-9f0c-0d6d6a3c0a11",
    is_approved=True,
    until_ms=1_795_219_800_000,
    by=("jane@shop",),
    reason="INC-4711",
)
SEALED = decisions.seal(YES, FIRST)
GOLDEN = (
    b'{"by":["jane@shop"],"digest":"sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0'
    b'a0a0a0a","format":"mesh7.dev/decision-v1","key":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="'
    b',"namespace":"shop","reason":"INC-4711","request":"r-mzxw6ytboi2d4mzrgi3tmnjyga","uid":"6f1e0d1'
    b'c-8a51-4b52-9f0c-0d6d6a3c0a11","until":1795219800000,"verdict":"approve"}\n'
)


def opened(data: bytes) -> Decision | Refused:
    return decisions.unseal(data, [FIRST.public])


def refusal(data: bytes) -> Refusal | None:
    found = opened(data)
    return found.refusal if isinstance(found, Refused) else None


def resealed(line: bytes) -> bytes:
    """Truly signed, whatever it says."""
    return line + b"\n" + spelled.to_base64(FIRST.sign(decisions.PURPOSE, line)).encode()


def rewritten(change: dict[str, object], *, without: str = "") -> bytes:
    written = {**json.loads(SEALED.partition(b"\n")[0]), **change}
    written.pop(without, None)
    return resealed(canonical.written(written).encode())


def test_a_decision_has_these_bytes() -> None:
    """docs/reference/decisions.md: other programs can check one."""
    line, _, signature = SEALED.partition(b"\n")
    assert line + b"\n" == GOLDEN
    assert keys.verify(
        FIRST.public,
        "mesh7.dev/decision-v1",
        line,
        spelled.from_base64(signature.decode(), keys.SIGNATURE_BYTES) or b"",
    )


@given(
    is_approved=st.booleans(),
    until_ms=st.integers(1, 2**53 - 1),
    by=st.lists(st.text(max_size=decisions.LONGEST_NAME), max_size=decisions.MOST_NAMES),
    reason=st.text(max_size=100),
)
def test_what_is_sealed_is_read_back(
    is_approved: bool, until_ms: int, by: list[str], reason: str
) -> None:
    decision = replace(YES, is_approved=is_approved, until_ms=until_ms, by=tuple(by), reason=reason)
    assert opened(decisions.seal(decision, FIRST)) == decision
    assert decisions.seal(decision, FIRST) == decisions.seal(decision, FIRST)


@pytest.mark.promise("A12")
@given(position=st.integers(0, len(SEALED) - 1), flipped=st.integers(1, 255))
def test_a_byte_changed_anywhere_is_refused(position: int, flipped: int) -> None:
    """Issue 7: a Redis writer forging a decision."""
    data = bytearray(SEALED)
    data[position] ^= flipped
    assert isinstance(opened(bytes(data)), Refused)


@pytest.mark.promise("A12")
@given(position=st.integers(0, len(SEALED)), cut=st.integers(0, 50), put=st.binary(max_size=50))
def test_bytes_put_in_or_cut_out_anywhere_are_refused(position: int, cut: int, put: bytes) -> None:
    data = SEALED[:position] + put + SEALED[position + cut :]
    assert data == SEALED or isinstance(opened(data), Refused)


@given(data=st.binary(max_size=300) | st.binary(max_size=100).map(lambda one: SEALED + one))
def test_whatever_was_written_there_the_answer_is_a_value(data: bytes) -> None:
    """Anybody may have written it."""
    assert data == SEALED or isinstance(opened(data), Refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(json.loads(GOLDEN))), value=JSON)
def test_whatever_a_signed_line_says_the_answer_is_a_value(name: str, value: object) -> None:
    """A defect of the signer, or a newer one, must not stop a sidecar."""
    found = opened(rewritten({name: value}))
    assert isinstance(found, Decision | Refused)


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (b"", Refusal.MALFORMED),
        (b"\n", Refusal.MALFORMED),
        (b"{}\n", Refusal.MALFORMED),
        (b"[" * 10_000, Refusal.MALFORMED),
        (SEALED + b"\n", Refusal.MALFORMED),
        (SEALED[:-1], Refusal.MALFORMED),
        (SEALED.partition(b"\n")[0], Refusal.MALFORMED),
        (b"x" * (decisions.MAXIMUM_BYTES + 1), Refusal.TOO_LARGE),
        (decisions.seal(YES, STRANGER), Refusal.UNSIGNED),
    ],
)
def test_what_is_no_decision_of_ours_is_refused_by_its_kind(data: bytes, refused: Refusal) -> None:
    assert refusal(data) is refused


@pytest.mark.promise("A12")
def test_a_key_that_was_rotated_away_decides_nothing() -> None:
    """Issue 7: a decision of a retired key."""
    assert decisions.unseal(SEALED, [SECOND.public]) == Refused(
        refusal=Refusal.UNSIGNED,
        message=f"key {keys.name_of(FIRST.public)} is not one that may sign now",
    )


@pytest.mark.promise("A12")
def test_no_signature_serves_two_ends() -> None:
    """docs/reference/bundles.md: each use of a key begins with its own words."""
    line = SEALED.partition(b"\n")[0]
    for purpose in (envelopes.PURPOSE, keys.PURPOSE, "mesh7.dev/stamp-v1", ""):
        signature = spelled.to_base64(FIRST.sign(purpose, line)).encode()
        assert refusal(line + b"\n" + signature) is Refusal.UNSIGNED
    assert refusal(sealed()) is Refusal.MALFORMED
    kinds = (envelopes.unseal(SEALED, kind, "shop", [FIRST.public]) for kind in envelopes.Kind)
    assert all(isinstance(found, Refused) for found in kinds)


@pytest.mark.promise("A12")
def test_the_signature_of_another_decision_is_refused() -> None:
    """A no turned into a yes: the line of the one, the signature of the other."""
    no = decisions.seal(replace(YES, is_approved=False), FIRST)
    assert refusal(SEALED.partition(b"\n")[0] + b"\n" + no.partition(b"\n")[2]) is Refusal.UNSIGNED


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "Shop"},
        {"namespace": "shop\n"},
        {"namespace": "s" * 64},
        {"request": "r-short"},
        {"request": YES.request_id + "\n"},
        {"request": YES.request_id.upper()},
        {"digest": "sha256:00"},
        {"digest": None},
        {"uid": ""},
        {"uid": "u" * 64},
        {"uid": "u 1"},
        {"verdict": "Approve"},
        {"verdict": True},
        {"verdict": []},
        {"until": 0},
        {"until": 2**53},
        {"until": "1"},
        {"until": True},
        {"by": "jane"},
        {"by": ["jane"] * 17},
        {"by": [1]},
        {"reason": None},
        {"key": "AAAA"},
        {"more": 1},
        {"format": "elsewhere"},
        {"format": None},
    ],
)
def test_a_decision_is_read_strictly_even_if_it_is_signed(change: dict[str, object]) -> None:
    """An unknown key may mean what an old sidecar must not pass over."""
    assert refusal(rewritten(change)) is Refusal.MALFORMED


@pytest.mark.parametrize("missing", sorted(json.loads(GOLDEN)))
def test_a_decision_lacks_nothing(missing: str) -> None:
    assert refusal(rewritten({}, without=missing)) is Refusal.MALFORMED


def test_a_decision_has_one_spelling() -> None:
    line = SEALED.partition(b"\n")[0]
    for other in (
        b" " + line,
        line.replace(b'"uid":', b'"uid": '),
        line.replace(b'"until":', b'"until":1,"until":'),
        line.replace(b"shop", b"\\u0073hop", 1),
    ):
        assert refusal(resealed(other)) is Refusal.MALFORMED


def test_a_newer_format_says_what_to_do() -> None:
    assert opened(rewritten({"format": "mesh7.dev/decision-v2"})) == Refused(
        refusal=Refusal.MALFORMED,
        message="its format is not `mesh7.dev/decision-v1`, update the sidecar",
    )


def test_what_people_wrote_is_cut_so_that_a_decision_always_fits() -> None:
    """A reason of a Grant must not keep its decision from travelling."""
    long = replace(YES, by=("\x00" * 400,) * 40, reason="\x00" * 4000 + "\ud800")
    data = decisions.seal(replace(long, namespace="s" * 63, uid="u" * 63), FIRST)
    assert len(data) <= decisions.MAXIMUM_BYTES
    assert isinstance(opened(data), Decision)
    half = opened(decisions.seal(replace(YES, reason="\ud800"), FIRST))
    assert half == replace(YES, reason="?")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(YES, namespace="Shop"),
        replace(YES, request_id="r-1"),
        replace(YES, digest="sha256:a"),
        replace(YES, uid=""),
        replace(YES, until_ms=0),
    ],
)
def test_nothing_is_sealed_that_nobody_would_open(wrong: Decision) -> None:
    with pytest.raises(BundleError):
        decisions.seal(wrong, FIRST)
