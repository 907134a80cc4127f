"""Envelopes: what is sealed is opened, and nothing else is."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import envelopes
from mesh7_core.delivery.envelopes import Header, Kind, Opened, Refusal, Refused
from mesh7_core.errors import BundleError
from tests.core.delivery.parts import CHAIN, FIRST, SECOND, STRANGER, resigned, sealed

GOLDEN = (
    b'{"content":"sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",'
    b'"digest":"sha256:b2a8c611f0960081224a230107ffda4288a02923509429d93c3c2a5df1c45a53",'
    b'"format":"mesh7.dev/delivery-v1","key":"gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=",'
    b'"kind":"bundle","links":[{"by":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=",'
    b'"key":"gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=","signature":"iD6RL1JJj4Vh5KWlXJPcVwARHs'
    b'kawIvjFcMNq3IuX965irjOQmMU7vBLk5MVpTctKsdXBorIdRnbUrV/uHMNDA=="}],"namespace":"shop",'
    b'"version":5}\n'
    b"CajyY/bOWM2n/N9RMFn+PqmM7IbMg0L+qKWqRtBLsddoH5xNxFXq6rK2jNEn+8r165qvP89gHMnzayOs9k++Cw==\n"
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xabVJT\xb22\xac\x05\x00\xaf\xac\x1bV\x07\x00\x00\x00"
)
SEALED = sealed(links=CHAIN, payload=b'{"rules":["a","b"]}' * 20)


def opened(data: bytes, kind: Kind = Kind.BUNDLE, namespace: str = "shop") -> Opened | Refused:
    return envelopes.unseal(data, kind, namespace, [FIRST.public])


def refusal(found: Opened | Refused | Header) -> Refusal | None:
    return found.refusal if isinstance(found, Refused) else None


def rewritten(change: dict[str, object], *, without: str = "") -> bytes:
    """Validly signed by the right key, with another header: the signer's own defect, or a newer."""
    line, _, packed = SEALED.split(b"\n", 2)
    header = {**json.loads(line), **change}
    header.pop(without, None)
    written = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return resigned(written, packed)


def repacked(packed: bytes, content: str = "") -> bytes:
    """Validly signed over a payload that was packed by other means."""
    header = json.loads(SEALED.split(b"\n", 1)[0])
    header["digest"] = envelopes.digest_of(packed)
    header["content"] = content or header["content"]
    return resigned(json.dumps(header, sort_keys=True, separators=(",", ":")).encode(), packed)


def test_an_envelope_has_these_bytes() -> None:
    """docs/reference/bundles.md: other programs can check one."""
    assert sealed(signer=SECOND, links=CHAIN[:1]) == GOLDEN
    found = envelopes.unseal(GOLDEN, Kind.BUNDLE, "shop", [SECOND.public])
    assert isinstance(found, Opened)
    assert found.payload == b'{"a":1}'
    assert gzip.decompress(GOLDEN.split(b"\n", 2)[2]) == b'{"a":1}'


@given(
    kind=st.sampled_from(Kind),
    version=st.integers(1, 2**53 - 1),
    payload=st.binary(max_size=2000),
    links=st.integers(0, 3),
)
def test_what_is_sealed_is_opened_and_sealed_the_same_again(
    kind: Kind, version: int, payload: bytes, links: int
) -> None:
    """Design 7: canonical bytes, so that an unchanged set is seen to be unchanged."""
    data = sealed(version, payload=payload, kind=kind, links=CHAIN[:links])

    found = opened(data, kind)

    assert isinstance(found, Opened)
    assert found.payload == payload
    assert found.header == envelopes.read_header(data)
    assert (found.header.kind, found.header.namespace, found.header.version) == (
        kind, "shop", version,
    )  # fmt: skip
    assert (found.header.key, found.header.links) == (FIRST.public, CHAIN[:links])
    assert found.header.content == envelopes.digest_of(payload)
    assert sealed(version, payload=payload, kind=kind, links=CHAIN[:links]) == data


@pytest.mark.promise("K9")
@given(position=st.integers(0, len(SEALED) - 1), flipped=st.integers(1, 255))
def test_a_byte_changed_anywhere_is_refused(position: int, flipped: int) -> None:
    """Issue 5: a ConfigMap that was tampered with is ignored."""
    data = bytearray(SEALED)
    data[position] ^= flipped
    assert isinstance(opened(bytes(data)), Refused)


@pytest.mark.promise("K9")
@given(position=st.integers(0, len(SEALED)), cut=st.integers(0, 50), put=st.binary(max_size=50))
def test_bytes_put_in_or_cut_out_anywhere_are_refused(position: int, cut: int, put: bytes) -> None:
    data = SEALED[:position] + put + SEALED[position + cut :]
    assert data == SEALED or isinstance(opened(data), Refused)


@given(data=st.binary(max_size=300))
def test_whatever_was_written_there_the_answer_is_a_value(data: bytes) -> None:
    """Anybody may have written it."""
    assert isinstance(opened(data), Refused)
    assert isinstance(envelopes.read_header(data), Refused)


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    ("data", "kind", "namespace", "refused"),
    [
        (b"", Kind.BUNDLE, "shop", Refusal.MALFORMED),
        (b"{}\n", Kind.BUNDLE, "shop", Refusal.MALFORMED),
        (b"\n\n", Kind.BUNDLE, "shop", Refusal.MALFORMED),
        (b"x" * (envelopes.MAXIMUM_SEALED_BYTES + 1), Kind.BUNDLE, "shop", Refusal.TOO_LARGE),
        (sealed(signer=STRANGER), Kind.BUNDLE, "shop", Refusal.UNSIGNED),
        # The overlay in the bundle's place, another namespace's bundle, both truly signed.
        (sealed(kind=Kind.OVERLAY), Kind.BUNDLE, "shop", Refusal.FOREIGN),
        (sealed(), Kind.OVERLAY, "shop", Refusal.FOREIGN),
        (sealed(namespace="bank"), Kind.BUNDLE, "shop", Refusal.FOREIGN),
    ],
)
def test_what_is_not_for_us_is_refused_by_its_kind(
    data: bytes, kind: Kind, namespace: str, refused: Refusal
) -> None:
    assert refusal(opened(data, kind, namespace)) is refused


@pytest.mark.promise("K9")
def test_the_payload_of_another_envelope_is_refused() -> None:
    """Both parts are genuine, they do not belong together."""
    line, signature, _ = sealed(5, payload=b"one").split(b"\n", 2)
    other = sealed(6, payload=b"two").split(b"\n", 2)[2]
    assert refusal(opened(b"\n".join((line, signature, other)))) is Refusal.UNSIGNED


@pytest.mark.promise("K9")
def test_the_signature_of_another_header_is_refused() -> None:
    line, _, packed = sealed(6).split(b"\n", 2)
    _, signature, _ = sealed(5).split(b"\n", 2)
    assert refusal(opened(b"\n".join((line, signature, packed)))) is Refusal.UNSIGNED


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"version": -1},
        {"version": 2**53},
        {"version": 1.0},
        {"version": True},
        {"version": "5"},
        {"kind": "grant"},
        {"kind": 7},
        {"namespace": "Shop"},
        {"namespace": ""},
        {"namespace": "s" * 64},
        {"namespace": "shop\n"},
        {"content": "sha256:00"},
        {"digest": "md5:" + "0" * 32},
        {"key": "AAAA"},
        {"links": None},
        {"links": [{}]},
        {"more": 1},
        {"format": "elsewhere"},
        {"format": None},
    ],
)
def test_a_header_is_read_strictly_even_if_it_is_signed(change: dict[str, object]) -> None:
    """An unknown key may mean what an old sidecar must not pass over."""
    assert refusal(opened(rewritten(change))) is Refusal.MALFORMED
    assert refusal(envelopes.read_header(rewritten(change))) is Refusal.MALFORMED


@pytest.mark.parametrize("missing", ["format", "kind", "version", "links", "key", "digest"])
def test_a_header_lacks_nothing(missing: str) -> None:
    assert refusal(opened(rewritten({}, without=missing))) is Refusal.MALFORMED


def test_a_header_has_one_spelling() -> None:
    """Two spellings of one version could be told apart by some and not by others."""
    line, _, packed = SEALED.split(b"\n", 2)
    for spelled in (
        line.replace(b'"version":5', b'"version":5,"version":5'),
        line.replace(b'"version":5', b'"version": 5'),
        b" " + line,
        line.replace(b"shop", b"\\u0073hop"),
    ):
        assert refusal(opened(resigned(spelled, packed))) is Refusal.MALFORMED


def test_a_newer_format_says_what_to_do() -> None:
    """Issue 5: upgrades; an old sidecar must not guess."""
    assert opened(rewritten({"format": "mesh7.dev/delivery-v2"})) == Refused(
        refusal=Refusal.MALFORMED,
        message="its format is not `mesh7.dev/delivery-v1`, update the sidecar",
    )


def test_a_long_header_is_not_even_read() -> None:
    data = b'{"a":"' + b"x" * envelopes.MAXIMUM_HEADER_BYTES + b'"}\n'
    assert opened(data) == Refused(
        refusal=Refusal.MALFORMED, message="no header line within 65536 bytes"
    )


def test_only_the_newest_links_travel() -> None:
    """The header is bounded, whatever the history of keys."""
    links = [CHAIN[0]] * 10 + [CHAIN[1]] * envelopes.MAXIMUM_LINKS
    header = envelopes.read_header(sealed(links=links))
    assert isinstance(header, Header)
    assert header.links == (CHAIN[1],) * envelopes.MAXIMUM_LINKS


@pytest.mark.promise("K9")
def test_what_unpacks_to_too_much_is_refused_unread() -> None:
    """A few kilobytes that would be gigabytes: the sidecar has 128 MiB."""
    most = envelopes.MAXIMUM_PAYLOAD_BYTES
    assert refusal(opened(sealed(payload=b"0" * (most + 1)))) is Refusal.TOO_LARGE
    assert isinstance(opened(sealed(payload=b"0" * most)), Opened)


def test_who_seals_can_ask_whether_it_fits() -> None:
    small, large = b"{}", b"0" * (envelopes.MAXIMUM_PAYLOAD_BYTES + 1)
    assert envelopes.fits(sealed(payload=small), small)
    assert not envelopes.fits(sealed(payload=large), large)
    assert not envelopes.fits(b"x" * (envelopes.MAXIMUM_SEALED_BYTES + 1), small)


PAYLOAD = b'{"rules":["a","b"]}' * 20
PACKED = SEALED.split(b"\n", 2)[2]


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        PAYLOAD,
        zlib.compress(PAYLOAD),
        gzip.compress(PAYLOAD, mtime=1),
        PACKED[:-1],
        PACKED[:-8] + b"\0" * 8,
        PACKED + b"\0",
        PACKED + PACKED,
        PACKED[:10] + b"\xff" + PACKED[11:],
        PACKED[:10],
    ],
    ids=["empty", "plain", "zlib", "time", "cut", "sum", "more", "two", "damaged", "head"],
)
def test_a_payload_is_one_member_packed_as_we_do(packed: bytes) -> None:
    assert refusal(opened(repacked(packed))) is Refusal.MALFORMED


def test_a_payload_is_what_its_header_says() -> None:
    other = envelopes.digest_of(b"something else")
    assert refusal(opened(repacked(PACKED, other))) is Refusal.MALFORMED


@pytest.mark.parametrize(
    ("version", "namespace"), [(0, "shop"), (2**53, "shop"), (1, "Shop"), (1, "")]
)
def test_nothing_is_sealed_that_nobody_would_open(version: int, namespace: str) -> None:
    with pytest.raises(BundleError):
        sealed(version, namespace=namespace)
