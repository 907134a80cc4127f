"""Whom a sidecar believes: the chain of keys, the ratchet, the floors, and a restart between."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.delivery import envelopes, keys, trust
from mesh7_core.delivery.envelopes import Kind, Refusal, Refused
from mesh7_core.delivery.keys import Link, SigningKey
from mesh7_core.delivery.trust import Accepted, Trust
from tests.core.delivery.parts import CHAIN, FIRST, FOURTH, SECOND, STRANGER, THIRD, sealed

START = Trust(namespace="shop", keys=(FIRST.public,), floors={Kind.BUNDLE: 3, Kind.OVERLAY: 3})
BY_SIGNER = {FIRST: CHAIN[:1], SECOND: CHAIN[:2], THIRD: CHAIN, FOURTH: CHAIN}
"""The chain as the operator sends it while a key is the current one: up to the next one."""


def after(before: Trust, *deliveries: bytes) -> Trust:
    """What is known after deliveries that have to be accepted."""
    for data in deliveries:
        found = trust.consider(data, Kind.BUNDLE, before)
        assert isinstance(found, Accepted), found
        before = found.trust
    return before


def by(signer: SigningKey, version: int, payload: bytes = b"{}") -> bytes:
    return sealed(version, signer, payload, links=BY_SIGNER[signer])


def refusal(data: bytes, known: Trust, kind: Kind = Kind.BUNDLE) -> Refusal | None:
    found = trust.consider(data, kind, known)
    return found.refusal if isinstance(found, Refused) else None


def test_what_is_accepted_is_learned_from() -> None:
    """Key, links, version and content, as a whole."""
    found = trust.consider(by(SECOND, 7), Kind.BUNDLE, START)

    assert isinstance(found, Accepted)
    assert found.opened.payload == b"{}"
    assert found.trust == Trust(
        namespace="shop",
        keys=(FIRST.public, SECOND.public, THIRD.public),
        newest=1,
        floors={Kind.BUNDLE: 7, Kind.OVERLAY: 3},
        contents={Kind.BUNDLE: envelopes.digest_of(b"{}")},
        links=CHAIN[:2],
    )


@pytest.mark.promise("K9")
def test_keys_are_rotated_twice_without_restarting_a_pod() -> None:
    """Design 7: each bundle carries current and next keys signed by the previous one."""
    known = after(START, by(FIRST, 5), by(SECOND, 6), by(THIRD, 7))

    assert known.newest == 2
    assert refusal(by(THIRD, 8), known) is None


@pytest.mark.promise("K9")
def test_a_pod_follows_a_chain_that_grew_while_it_was_away() -> None:
    assert after(START, by(THIRD, 5)).newest == 2


@pytest.mark.promise("K9")
def test_a_pod_made_with_a_later_key_ignores_the_links_before_it() -> None:
    known = after(Trust(namespace="shop", keys=(SECOND.public,)), by(THIRD, 5))

    assert known.keys == (SECOND.public, THIRD.public, FOURTH.public)
    assert refusal(by(FIRST, 6), known) is Refusal.UNSIGNED


@pytest.mark.promise("K9")
def test_an_old_key_signs_no_more_once_a_later_one_has() -> None:
    """A key that leaked after its rotation is worth nothing where the new one was seen."""
    known = after(START, by(SECOND, 5))
    assert refusal(by(FIRST, 6), known) is Refusal.UNSIGNED


@pytest.mark.promise("K9")
def test_an_old_key_endorses_no_more_once_a_later_one_has_signed() -> None:
    """Else a leaked old key would bring in one of the attacker's own."""
    known = after(START, by(SECOND, 5))
    links = (*CHAIN[:2], keys.endorse(FIRST, STRANGER.public))

    found = trust.consider(sealed(6, STRANGER, links=links), Kind.BUNDLE, known)

    assert isinstance(found, Refused)
    assert found.refusal is Refusal.UNSIGNED
    assert found.message == f"key {keys.name_of(STRANGER.public)} is not one that may sign now"


@pytest.mark.promise("K9")
def test_an_old_key_does_not_come_back_by_the_word_of_a_new_one() -> None:
    """What is retired stays so, whoever endorses it."""
    known = after(START, by(SECOND, 5))
    links = (*CHAIN[:2], keys.endorse(SECOND, FIRST.public))
    assert refusal(sealed(6, FIRST, links=links), known) is Refusal.UNSIGNED


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "link",
    [
        keys.endorse(STRANGER, STRANGER.public),
        Link(key=STRANGER.public, by=FIRST.public, signature=CHAIN[0].signature),
        Link(key=STRANGER.public, by=FIRST.public, signature=bytes(64)),
    ],
)
def test_a_link_by_nobody_known_brings_in_no_key(link: Link) -> None:
    assert refusal(sealed(5, STRANGER, links=[link]), START) is Refusal.UNSIGNED


def test_the_next_key_may_be_another_than_was_said_first() -> None:
    """A rotation that was begun anew: both were endorsed by a key that still signs."""
    known = after(START, by(FIRST, 5))
    assert SECOND.public in known.keys

    known = after(known, sealed(6, THIRD, links=[keys.endorse(FIRST, THIRD.public)]))

    assert known.keys[known.newest] == THIRD.public
    assert refusal(sealed(7, SECOND, links=CHAIN[:1]), known) is Refusal.UNSIGNED


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    ("version", "refused"), [(2, Refusal.OLD), (3, None), (4, None), (2**53 - 1, None)]
)
def test_nothing_older_than_the_pods_floor_is_accepted(
    version: int, refused: Refusal | None
) -> None:
    """Design 7: the floor is in the pod, from an annotation that editors cannot write."""
    assert refusal(by(FIRST, version), START) is refused


@pytest.mark.promise("K9")
def test_a_validly_signed_older_one_is_refused_and_the_one_in_force_is_not() -> None:
    """Issue 5: ConfigMap replaced by a validly signed older one."""
    known = after(START, by(FIRST, 5), by(FIRST, 9))

    assert refusal(by(FIRST, 8), known) is Refusal.OLD
    assert refusal(by(FIRST, 5), known) is Refusal.OLD
    assert after(known, by(FIRST, 9)) == known


@pytest.mark.promise("K9")
def test_one_version_says_one_thing() -> None:
    """Versions are made once: a second content can only be a forgery or a defect."""
    known = after(START, by(FIRST, 5, b"one"))
    assert trust.consider(by(FIRST, 5, b"two"), Kind.BUNDLE, known) == Refused(
        refusal=Refusal.OLD, message="version 5 is in force already, and says something else"
    )


def test_one_version_may_be_signed_anew_by_the_next_key() -> None:
    """After a rotation the same content may travel under the new key."""
    assert after(START, by(FIRST, 5), by(SECOND, 5)).newest == 1


def test_bundle_and_overlay_have_versions_of_their_own() -> None:
    known = after(START, by(FIRST, 9))
    assert refusal(sealed(4, kind=Kind.OVERLAY), known, Kind.OVERLAY) is None
    assert refusal(sealed(9, kind=Kind.OVERLAY), known, Kind.BUNDLE) is Refusal.FOREIGN


def test_what_is_refused_teaches_nothing() -> None:
    """Another namespace's bundle brings true links along; still nothing is learned by it."""
    data = sealed(9, SECOND, namespace="bank", links=CHAIN)
    assert trust.consider(data, Kind.BUNDLE, START) == Refused(
        refusal=Refusal.FOREIGN,
        message="it is the bundle of namespace `bank`, not the bundle of namespace `shop`",
    )


@given(data=st.binary(max_size=200))
def test_whatever_was_written_there_is_considered(data: bytes) -> None:
    assert refusal(data, START) is Refusal.MALFORMED


@pytest.mark.promise("K9")
def test_a_restart_forgets_nothing() -> None:
    """Design 7: sidecars keep the chain in an emptyDir."""
    known = after(START, by(FIRST, 5), by(SECOND, 6), by(THIRD, 7))

    again = trust.decode(trust.encode(known), START)

    assert again == known
    assert refusal(by(SECOND, 8), again) is Refusal.UNSIGNED
    assert refusal(by(THIRD, 6), again) is Refusal.OLD
    assert refusal(by(THIRD, 7, b"other"), again) is Refusal.OLD


@pytest.mark.promise("K9")
def test_a_restart_knows_what_was_in_force() -> None:
    """It may be lower than the floor, and what was kept may be lower still."""
    known = replace(after(START, by(FIRST, 5)), in_force={Kind.BUNDLE: 4})

    assert trust.decode(trust.encode(known), START) == known
    assert after(known, by(FIRST, 6)).in_force == {Kind.BUNDLE: 4}


def test_a_higher_floor_of_the_pod_beats_what_was_kept() -> None:
    """A pod that was made anew over an old folder; the content at that floor is not known."""
    kept = trust.encode(after(START, by(FIRST, 5)))
    raised = Trust(namespace="shop", keys=(FIRST.public,), floors={Kind.BUNDLE: 8})

    again = trust.decode(kept, raised)

    assert again.floors == {Kind.BUNDLE: 8, Kind.OVERLAY: 3}
    assert again.contents == {}


KNOWN = after(START, by(SECOND, 6))


def kept_with(**changed: object) -> bytes:
    return json.dumps({**json.loads(trust.encode(KNOWN)), **changed}).encode()


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        trust.encode(KNOWN)[:-1],
        trust.encode(KNOWN) + b"x",
        kept_with(format=2),
        kept_with(namespace="bank"),
        kept_with(key=json.loads(trust.encode(KNOWN))["links"][0]["key"]),
        kept_with(key=None),
        kept_with(newest=3),
        kept_with(newest=-1),
        kept_with(newest=True),
        kept_with(links=None),
        kept_with(links=[{}]),
        kept_with(links=[keys.written_link(keys.endorse(STRANGER, STRANGER.public))]),
        kept_with(links=[keys.written_link(CHAIN[1])]),
        kept_with(floors={"other": 1}),
        kept_with(floors=[]),
        kept_with(contents=None),
        kept_with(inForce={"other": 1}),
        kept_with(inForce=None),
        kept_with(more=1),
    ],
)
def test_a_file_that_was_tampered_with_is_as_none(data: bytes) -> None:
    """Its links are verified anew: nobody brings in a key by writing a file."""
    assert trust.decode(data, START) == START


@given(position=st.integers(0, len(trust.encode(KNOWN)) - 1), flipped=st.integers(1, 255))
def test_no_changed_byte_brings_in_a_key_or_lowers_the_pods_floor(
    position: int, flipped: int
) -> None:
    data = bytearray(trust.encode(KNOWN))
    data[position] ^= flipped

    found = trust.decode(bytes(data), START)

    assert set(found.keys) <= {FIRST.public, SECOND.public, THIRD.public}
    assert all(found.floors[kind] >= START.floors[kind] for kind in START.floors)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([FIRST, SECOND, THIRD]), st.integers(1, 12), st.booleans()),
        max_size=12,
    )
)
def test_versions_and_keys_never_go_back(steps: list[tuple[SigningKey, int, bool]]) -> None:
    """The law behind the floors and the ratchet, restarts in between."""
    known = START
    for signer, version, restarts in steps:
        found = trust.consider(by(signer, version), Kind.BUNDLE, known)
        if isinstance(found, Accepted):
            assert found.trust.floors[Kind.BUNDLE] == version >= known.floors[Kind.BUNDLE]
            assert found.trust.newest >= known.newest
            assert found.trust.keys[found.trust.newest] == signer.public
            known = found.trust
        if restarts:
            known = trust.decode(trust.encode(known), START)
