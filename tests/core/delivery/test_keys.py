"""Keys and the chain by which one follows another."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import keys
from mesh7_core.delivery.keys import Link, SigningKey
from tests.core.delivery.parts import CHAIN, FIRST, FOURTH, SECOND, STRANGER, THIRD

# RFC 8032, section 7.1, test 1.
RFC_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_a_public_key_is_the_one_of_rfc_8032() -> None:
    """Ed25519, as the reference page says, and no other curve."""
    assert SigningKey(RFC_SEED).public == RFC_PUBLIC


@pytest.mark.promise("K9")
def test_a_signature_serves_one_purpose() -> None:
    """Else a stamp on a Grant could be shown as the signature of a bundle."""
    signature = FIRST.sign("mesh7.dev/stamp-v1", b"text")

    assert keys.verify(FIRST.public, "mesh7.dev/stamp-v1", b"text", signature)
    assert not keys.verify(FIRST.public, "mesh7.dev/delivery-v1", b"text", signature)
    assert not keys.verify(FIRST.public, "mesh7.dev/stamp-v1", b"other", signature)
    assert not keys.verify(SECOND.public, "mesh7.dev/stamp-v1", b"text", signature)


@given(public=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_what_is_no_key_or_signature_is_a_no(public: bytes, signature: bytes) -> None:
    assert not keys.verify(public, "p", b"text", signature)


def test_a_key_is_named_without_being_shown() -> None:
    """Logs name keys; a private one has no repr that tells it."""
    assert keys.name_of(RFC_PUBLIC) == "ed25519:21fe31dfa154a261"
    assert repr(SigningKey(RFC_SEED)) == "SigningKey()"


def test_a_chain_leads_from_any_of_its_keys_to_the_last() -> None:
    """Design 7: pods were made with different keys, and all follow."""
    publics = (FIRST.public, SECOND.public, THIRD.public, FOURTH.public)

    assert keys.reachable(FIRST.public, CHAIN) == publics
    assert keys.reachable(THIRD.public, CHAIN) == publics[2:]
    assert keys.reachable(FOURTH.public, CHAIN) == publics[3:]
    assert keys.reachable(STRANGER.public, CHAIN) == (STRANGER.public,)


def broken(link: Link, **changed: bytes) -> Link:
    return replace(link, **changed)


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "link",
    [
        broken(CHAIN[0], key=STRANGER.public),
        broken(CHAIN[0], by=STRANGER.public),
        broken(CHAIN[0], signature=CHAIN[1].signature),
        broken(CHAIN[0], signature=b""),
        broken(CHAIN[0], key=b"short"),
        Link(
            key=STRANGER.public,
            by=FIRST.public,
            signature=FIRST.sign("mesh7.dev/delivery-v1", STRANGER.public),
        ),
        keys.endorse(STRANGER, SECOND.public),
    ],
)
def test_a_link_that_is_not_signed_leads_nowhere(link: Link) -> None:
    """Nobody but the key before names the key after."""
    assert keys.reachable(FIRST.public, [link, *CHAIN[1:]]) == (FIRST.public,)


def test_a_link_is_read_back_as_it_was_written() -> None:
    assert keys.read_link(keys.written_link(CHAIN[0])) == CHAIN[0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {**keys.written_link(CHAIN[0]), "more": ""},
        {**keys.written_link(CHAIN[0]), "key": None},
        {**keys.written_link(CHAIN[0]), "key": "AAAA"},
        {**keys.written_link(CHAIN[0]), "by": str(keys.written_link(CHAIN[0])["by"]) + "\n"},
        # The last letter before `=` has idle bits: one spelling is ours.
        {**keys.written_link(CHAIN[0]), "key": "A" * 42 + "B="},
        {**keys.written_link(CHAIN[0]), "key": "é" * 44},
    ],
)
def test_what_is_no_link_is_not_read(value: object) -> None:
    assert keys.read_link(value) is None
