"""An anchor in its ConfigMap: signed, read strictly, and still believed after a rotation."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import keys
from mesh7_operator.anchoring import folding, trimming, writing
from mesh7_operator.anchoring.anchor import MOST_CHAIN_BYTES, Anchor, Evicted, Folded, Trimmed
from mesh7_operator.anchoring.evicting import MOST_NOTED
from mesh7_operator.anchoring.folding import MOST_OPEN
from mesh7_operator.anchoring.writing import LONGEST
from tests.operator.anchoring.streams import OTHER_KEY, Writer, entries, followed

KEY = keys.SigningKey(b"k" * 32)
NEXT = keys.SigningKey(b"n" * 32)
LAST = keys.SigningKey(b"l" * 32)
WORDS = Evicted(
    uid="u" * 36, pod="p" * 253, entries=2**53, records=2**53, since="9" * 18, until="9" * 18
)
LINKS = (keys.endorse(KEY, NEXT.public), keys.endorse(NEXT, LAST.public))


def _anchor() -> Anchor:
    one, other = Writer(), Writer(OTHER_KEY, "web-2")
    stream = entries(one.blocks(1, 2), other.blocks(1), None, one.blocks(1), other.end())
    return trimming.trimmed(followed(stream).anchor, stream[:1])


def _data(anchor: Anchor, key: keys.SigningKey = KEY) -> dict[str, str]:
    found = writing.manifest(anchor, key, LINKS, release_namespace="mesh7-system")["data"]
    assert isinstance(found, dict)
    return found


def test_what_is_written_is_read_as_it_was() -> None:
    anchor = _anchor()
    assert writing.read(_data(anchor), "shop", (KEY.public,)) == anchor


def test_it_is_an_object_of_the_release_namespace() -> None:
    found = writing.manifest(_anchor(), KEY, LINKS, release_namespace="mesh7-system")
    assert found["metadata"] == {
        "name": "mesh7-audit-shop",
        "namespace": "mesh7-system",
        "labels": {
            "app.kubernetes.io/managed-by": "mesh7-controller",
            "mesh7.dev/audit-of": "shop",
        },
    }


@pytest.mark.promise("T5")
def test_an_anchor_is_believed_after_its_key_was_rotated_twice() -> None:
    """The brief of issue 8: key rotation must keep old anchors verifiable."""
    roots = writing.roots_of(LAST.public, LINKS)
    assert set(roots) == {KEY.public, NEXT.public, LAST.public}
    assert writing.read(_data(_anchor()), "shop", roots) is not None


def test_a_key_that_leads_nowhere_is_none_of_ours() -> None:
    stranger = keys.SigningKey(b"s" * 32)
    roots = writing.roots_of(LAST.public, (*LINKS, keys.endorse(stranger, stranger.public)))
    assert stranger.public not in roots
    assert writing.read(_data(_anchor(), stranger), "shop", roots) is None


def test_an_anchor_of_another_namespace_is_not_taken() -> None:
    """Somebody copies it from one ConfigMap into the next."""
    assert writing.read(_data(_anchor()), "bank", (KEY.public,)) is None


@pytest.mark.promise("T5")
@given(st.data())
def test_no_changed_byte_of_an_anchor_is_believed(data: st.DataObject) -> None:
    written = _data(_anchor())
    text = bytearray(written["anchor"].encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(32, 126).filter(lambda one: one != text[at]))
    changed = {**written, "anchor": text.decode()}
    assert writing.read(changed, "shop", (KEY.public,)) is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading(text: str) -> None:
    writing.decoded(text)
    signed = {
        "anchor": text,
        "key": base64.b64encode(KEY.public).decode(),
        "signature": base64.b64encode(KEY.sign(writing.PURPOSE, text.encode("utf-8", "replace")))
        .decode(),
    }  # fmt: skip
    assert writing.read(signed, "shop", (KEY.public,)) is None


def test_the_largest_fits() -> None:
    """docs/administrator/audit.md: at most 512 KiB, whatever tenants do."""
    one = followed(entries(Writer(pod="p" * 253, uid="u" * 253).blocks(1))).anchor
    (chained,) = one.chains.values()
    long = replace(
        chained,
        head=replace(chained.head, block=2**53, total=2**53, first=2**53),
        base=replace(chained.head, block=2**52, total=2**53),
        is_operators=True, is_ended=True, seen_ms=2**53,
    )  # fmt: skip
    short = replace(long, pod="-", uid="-")
    for each in (long, short):
        most = MOST_CHAIN_BYTES // folding.size_of(each)
        names = [f"{place:012d}" for place in range(most)]
        chains = {
            name: replace(
                each, head=replace(each.head, chain=name), base=replace(each.base, chain=name)
            )
            for name in names
        }
        findings = followed(entries(*[None] * 100)).anchor.findings
        anchor = replace(
            one,
            chains=chains,
            findings=findings,
            trimmed=Trimmed(up_to="9" * 30, entries=2**53),
            folded=Folded(open={f"{place:012d}": 2**53 for place in range(MOST_OPEN)}),
            evicted=(WORDS,) * MOST_NOTED,
            going=("9" * 18,) * 1000,
        )
        assert len(writing.encoded(anchor)) <= LONGEST
