"""Whether a token is one of this cluster's, for us, of a pod: what its bytes alone can tell.

A token that passes here is asked about at the API server too, which knows whether the pod still
exists; one that does not pass costs nobody but us anything.
Pure: no network, no logging; the time is an argument.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import jwt

from mesh7_core import names
from mesh7_operator.cluster import shapes

MOST_BYTES: Final = 8 * 1024
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""Never `none`, and nothing with a shared secret: our keys are public."""
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SKEW: Final = timedelta(seconds=10)
# What counts in time is looked at below, by the time that we are given.
_OPTIONS: Final[jwt.types.Options] = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "require": ["exp", "iss", "aud", "sub"],
    "enforce_minimum_key_length": True,
}


class Refusal(StrEnum):
    """Why a request gets no credentials; a bounded label of metrics, and for machines."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    UNSIGNED = "unsigned"
    FOREIGN = "foreign"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    UNBOUND = "unbound"
    REVOKED = "revoked"
    NOT_ENROLLED = "not-enrolled"
    TOO_OFTEN = "too-often"
    UNAVAILABLE = "unavailable"
    NO_REDIS = "no-redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why, for machines and for people; never a part of the token."""

    refusal: Refusal
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Whose token it says that it is."""

    namespace: str
    account: str
    pod: str
    uid: str

    @property
    def user(self) -> str:
        """As the API server calls the service account."""
        return f"system:serviceaccount:{self.namespace}:{self.account}"


def key_id(token: str) -> str | Refused:
    """Which key it says that it is signed with, unverified."""
    if len(token) > MOST_BYTES or not _SHAPE.fullmatch(token):
        return _malformed("the bearer token is no JSON web token")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        return _malformed("the bearer token is no JSON web token")
    algorithm, key = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS or "crit" in header or header.get("b64", True) is not True:
        return _malformed("the token is signed in a way that no API server signs")
    if not isinstance(key, str) or not key:
        return _malformed("the token names no key")
    return key


def verify(token: str, key: jwt.PyJWK, issuer: str, now: datetime) -> Claims | Refused:
    """Verify signature, issuer, audience and time, and read whose it is. Total.

    Args:
        issuer: of this cluster.
        now: aware.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=names.TOKEN_AUDIENCE,
            issuer=issuer,
            options=_OPTIONS,
        )
    except jwt.InvalidIssuerError:
        return Refused(refusal=Refusal.FOREIGN, detail="the token is of another cluster")
    except jwt.InvalidAudienceError:
        return Refused(
            refusal=Refusal.AUDIENCE,
            detail=f"the token is not for the audience `{names.TOKEN_AUDIENCE}`",
        )
    except jwt.MissingRequiredClaimError as error:
        return _malformed(f"the token has no claim `{error.claim}`")
    except jwt.InvalidTokenError:
        return Refused(
            refusal=Refusal.UNSIGNED, detail="the token's signature is not the cluster's"
        )
    except (jwt.PyJWTError, RecursionError):
        return Refused(refusal=Refusal.UNSIGNED, detail="the token's key cannot be used")
    return _timely(claims, now) or _claims(claims)


def _timely(claims: Mapping[str, object], now: datetime) -> Refused | None:
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int) or not isinstance(begins, int | float):
        return _malformed("the token's times are no numbers")
    if expires <= now.timestamp():
        return Refused(refusal=Refusal.EXPIRED, detail="the token has expired")
    if begins > (now + _SKEW).timestamp():
        return Refused(refusal=Refusal.EXPIRED, detail="the token is not valid yet")
    return None


def _claims(claims: Mapping[str, object]) -> Claims | Refused:
    said = shapes.mapping(claims, "kubernetes.io")
    found = Claims(
        namespace=shapes.text(said, "namespace"),
        account=shapes.text(said, "serviceaccount", "name"),
        pod=shapes.text(said, "pod", "name"),
        uid=shapes.text(said, "pod", "uid"),
    )
    if not found.pod or not found.uid:
        return Refused(
            refusal=Refusal.UNBOUND,
            detail="the token is bound to no pod; use the one that the kubelet projects",
        )
    if not found.namespace or claims.get("sub") != found.user:
        return _malformed("the token is of no service account")
    return found


def _malformed(detail: str) -> Refused:
    return Refused(refusal=Refusal.MALFORMED, detail=detail)
