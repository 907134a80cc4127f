"""Which tokens pass before anybody else is asked."""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from mesh7_operator.exchange import tokens
from mesh7_operator.exchange.tokens import Claims, Refusal, Refused
from tests.operator.exchange.issuing import (
    CLAIMS,
    NAME,
    START_S,
    claims_of,
    ec_key,
    jwk_of,
    rsa_key,
    segment,
    token_of,
)

NOW = datetime.fromtimestamp(START_S, UTC)
KEY = jwt.PyJWK(jwk_of(rsa_key(), "one"))


def verified(token: str, now: datetime = NOW) -> Claims | Refusal:
    """What becomes of a token."""
    identifier = tokens.key_id(token)
    if isinstance(identifier, Refused):
        return identifier.refusal
    found = tokens.verify(token, KEY, NAME, now)
    return found.refusal if isinstance(found, Refused) else found


@pytest.mark.promise("K14")
def test_a_pods_projected_token_says_whose_it_is() -> None:
    assert tokens.key_id(token_of()) == "one"
    assert verified(token_of()) == CLAIMS


def test_a_token_signed_on_an_elliptic_curve_is_as_good() -> None:
    token = token_of(key=ec_key(), kid="two", algorithm="ES256")
    assert tokens.verify(token, jwt.PyJWK(jwk_of(ec_key(), "two")), NAME, NOW) == CLAIMS


_KUBERNETES = claims_of()["kubernetes.io"]
assert isinstance(_KUBERNETES, dict)
_UNBOUND = {key: value for key, value in _KUBERNETES.items() if key != "pod"}


@pytest.mark.promise("K14")
@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"exp": START_S}, Refusal.EXPIRED),
        ({"exp": START_S - 1}, Refusal.EXPIRED),
        ({"exp": "never"}, Refusal.MALFORMED),
        ({"exp": None}, Refusal.MALFORMED),
        ({"nbf": START_S + 60}, Refusal.EXPIRED),
        ({"aud": ["https://kubernetes.default.svc"]}, Refusal.AUDIENCE),
        ({"aud": "mesh7.dev.example"}, Refusal.AUDIENCE),
        ({"aud": []}, Refusal.MALFORMED),
        ({"aud": None}, Refusal.MALFORMED),
        ({"iss": "https://another.example"}, Refusal.FOREIGN),
        ({"iss": None}, Refusal.MALFORMED),
        ({"sub": "system:serviceaccount:bank:support"}, Refusal.MALFORMED),
        ({"sub": None}, Refusal.MALFORMED),
        ({"kubernetes.io": _UNBOUND}, Refusal.UNBOUND),
        ({"kubernetes.io": {**_KUBERNETES, "pod": {"name": "web-1"}}}, Refusal.UNBOUND),
        ({"kubernetes.io": {**_KUBERNETES, "namespace": "bank"}}, Refusal.MALFORMED),
        ({"kubernetes.io": None}, Refusal.UNBOUND),
        ({"kubernetes.io": "text"}, Refusal.UNBOUND),
    ],
)  # fmt: skip
def test_a_token_that_is_not_for_this_is_refused(
    changed: dict[str, object], refusal: Refusal
) -> None:
    """Issue 5: expired, wrong audience, other issuer, unbound."""
    assert verified(token_of(changed=changed)) is refusal


@pytest.mark.promise("K14")
def test_a_signature_of_somebody_else_is_refused() -> None:
    assert verified(token_of(key=rsa_key("another"))) is Refusal.UNSIGNED


@pytest.mark.promise("K14")
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_a_token_without_a_signature_is_refused(algorithm: str) -> None:
    """Attack: `alg: none`."""
    header = {"alg": algorithm, "kid": "one"}
    for signature in ("", "AA"):
        token = f"{segment(header)}.{segment(claims_of())}.{signature}"
        assert verified(token) is Refusal.MALFORMED


@pytest.mark.promise("K14")
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_public_key_is_no_shared_secret(form: str) -> None:
    """Attack: HS256 with the public key, which everybody can read, as the secret."""
    secret = rsa_key().public_key().public_bytes(
        getattr(serialization.Encoding, form), serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    signed = f"{segment({'alg': 'HS256', 'kid': 'one'})}.{segment(claims_of())}"
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    assert verified(f"{signed}.{segment(digest)}") is Refusal.MALFORMED


def test_a_key_signs_in_its_own_way_only() -> None:
    """The header does not choose the algorithm, the cluster's key does."""
    assert verified(token_of(algorithm="RS512")) is Refusal.UNSIGNED
    token = token_of(key=ec_key(), algorithm="ES256")
    assert verified(token) is Refusal.UNSIGNED


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b", "a.b.c", "a.b.c.d", "..", "a..c", f"{token_of()}=", f" {token_of()}",
        token_of() + "x" * 9000, token_of().replace(".", "\n.", 1), "é.é.é",
        f"{segment([1])}.{segment({})}.AA",
        f"{segment(b'[' * 6000)}.{segment({})}.AA",
        f"{segment({'alg': 'RS256'})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256', 'kid': 7})}.{segment({})}.AA",
        f"{segment({'alg': ['RS256'], 'kid': 'one'})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256', 'kid': 'one', 'crit': ['x'], 'x': 1})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256', 'kid': 'one', 'b64': False})}.AA.AA",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_by_its_shape(token: str) -> None:
    assert verified(token) is Refusal.MALFORMED


@given(st.text(alphabet="abcXYZ019-_.{}=é", max_size=200))
def test_nothing_that_is_sent_raises(text: str) -> None:
    assert isinstance(verified(text), Refusal)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_never_believed(index: int, byte: int) -> None:
    token = token_of()
    index %= len(token)
    changed = token[:index] + chr(byte) + token[index + 1 :]
    found = verified(changed)
    # The last digit of a segment carries bits that say nothing.
    assert (
        changed == token or isinstance(found, Refusal) or token[index + 1 : index + 2] in {"", "."}
    )


def test_a_token_near_its_end_holds_until_then() -> None:
    token = token_of(changed={"exp": START_S + 60})
    assert verified(token, NOW + timedelta(seconds=59)) == CLAIMS
    assert verified(token, NOW + timedelta(seconds=60)) is Refusal.EXPIRED


def test_nothing_of_a_token_is_in_what_people_read() -> None:
    found = tokens.verify(token_of(changed={"iss": "https://secret.example"}), KEY, NAME, NOW)
    assert found == Refused(refusal=Refusal.FOREIGN, detail="the token is of another cluster")
    assert replace(CLAIMS, account="x").user == "system:serviceaccount:shop:x"
