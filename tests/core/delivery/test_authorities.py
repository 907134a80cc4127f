"""Authorities as they travel: one spelling, in order, bounded."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import authorities
from mesh7_core.errors import BundleError


def written(content: bytes, width: int = 64) -> str:
    packed = base64.b64encode(content).decode()
    lines = [packed[start : start + width] for start in range(0, len(packed), width)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


@given(contents=st.sets(st.binary(min_size=1, max_size=300), max_size=8), width=st.integers(4, 90))
def test_any_spelling_comes_to_the_one(contents: set[bytes], width: int) -> None:
    """docs/reference/bundles.md."""
    text = "who made it\n" + "\n\n".join(written(one, width) for one in contents)
    found = authorities.read(text.replace("\n", "\r\n"))
    assert found == tuple(sorted(written(one) for one in contents))
    authorities.check(found)
    assert authorities.read("".join(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        written(b"x" * 7000),
        "".join(written(bytes([number])) for number in range(9)),
        written(b"x").replace("=", "*"),
        written(b"x").replace("=", ""),
        written(b""),
        written(b"x") + "-----BEGIN CERTIFICATE-----\nAQ",
    ],
)
def test_what_is_cut_too_large_or_too_many_is_refused(text: str) -> None:
    with pytest.raises(BundleError):
        authorities.read(text)


def test_others_than_read_answers_are_not_delivered() -> None:
    one, other = sorted((written(b"a"), written(b"b")))
    for wrong in ((other, one), (one, one), ("",), (one + other,), (one.strip(),)):
        with pytest.raises(BundleError):
            authorities.check(wrong)
