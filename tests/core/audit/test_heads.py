"""A signed head: who holds the key can say where a chain stands, and nobody else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.audit import heads
from mesh7_core.delivery.keys import SigningKey
from tests.core.audit.chains import blocks

KEY, OTHER = SigningKey(b"1" * 32), SigningKey(b"2" * 32)
HEAD = replace(blocks(3, 64)[1], first=2)
LINE = heads.signed(HEAD, KEY)


def test_a_head_is_believed_by_the_key_that_signed_it_and_no_other() -> None:
    assert heads.verified(LINE, KEY.public) == HEAD
    assert heads.verified(LINE, OTHER.public) is None
    assert heads.read(LINE) == HEAD
    assert heads.read(heads.canonical(HEAD)) == HEAD
    assert heads.verified(heads.canonical(HEAD), KEY.public) is None


@pytest.mark.promise("W10")
@given(st.integers(0, len(LINE) - 1), st.integers(1, 255))
def test_no_byte_of_a_head_can_be_changed_to_another_head(at: int, change: int) -> None:
    """W10."""
    edited = bytearray(LINE)
    edited[at] ^= change

    assert heads.verified(bytes(edited), KEY.public) in {None, HEAD}


@given(st.binary(max_size=200) | st.sampled_from([b"{}", b'{"head":1}', b"[" * 1000, b"null"]))
def test_what_is_no_head_is_none(noise: bytes) -> None:
    assert heads.read(noise) is None
    assert heads.verified(noise, KEY.public) is None
