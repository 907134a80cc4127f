"""One request for credentials: a ladder; the first rung that refuses decides.

    1  is there a Redis?                           404
    2  does its source ask too often?              429   nothing was verified yet
    3  is it a token, signed by this cluster,      401   no question to the API server
       for us, in time, bound to a pod?
    4  does the pod ask too often?                 429
    5  does the API server take it (TokenReview)?  401
    6  is the namespace enrolled?                  403
    7  credentials                                 200

What cannot be known is 503: nobody gets credentials on a guess.
"""

import logging
import math
from dataclasses import dataclass, field
from typing import Final

from mesh7_core import errors
from mesh7_operator.clock import Clock
from mesh7_operator.exchange import asking, rates, tokens
from mesh7_operator.exchange.handing import Handed, Hands
from mesh7_operator.exchange.issuer import Issuer
from mesh7_operator.exchange.measuring import ExchangeMetrics
from mesh7_operator.exchange.tokens import Claims, Refusal, Refused

_LOG: Final = logging.getLogger(__name__)
_POD_BURST: Final = 5
_POD_EVERY_S: Final = 10.0
_SOURCE_BURST: Final = 50
_SOURCE_EVERY_S: Final = 0.2
_UNAVAILABLE_S: Final = 5.0
_STATUS: Final = {
    Refusal.NO_REDIS: 404,
    Refusal.TOO_OFTEN: 429,
    Refusal.NOT_ENROLLED: 403,
    Refusal.UNAVAILABLE: 503,
}
_UNAUTHENTICATED: Final = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """No credentials.

    Attributes:
        status: of HTTP.
        retry_after_s: when asking again may help, whole seconds; 0 = not by waiting.
    """

    status: int
    refused: Refused
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service works with.

    Attributes:
        hands: None = there is no Redis.
    """

    issuer: Issuer
    api: asking.Api
    enrolment: asking.Enrolment
    hands: Hands | None
    clock: Clock
    metrics: ExchangeMetrics
    pods: rates.Buckets = field(
        default_factory=lambda: rates.Buckets(burst=_POD_BURST, every_s=_POD_EVERY_S)
    )
    sources: rates.Buckets = field(
        default_factory=lambda: rates.Buckets(burst=_SOURCE_BURST, every_s=_SOURCE_EVERY_S)
    )


class Service:
    """Exchanges tokens for credentials."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def exchange(self, token: str, source: str) -> Handed | Denied:
        """Answer one request.

        Args:
            token: as it came; empty when none did.
            source: address of whoever asked.
        """
        try:
            found = await self._climb(token, source)
        except errors.Mesh7Error as error:
            _LOG.warning("credentials cannot be handed out", extra={"error": error.message})
            found = _denied(
                Refused(
                    refusal=Refusal.UNAVAILABLE,
                    detail="the exchange cannot answer now; its log says why",
                ),
                _UNAVAILABLE_S,
            )
        outcome = found.refused.refusal.value if isinstance(found, Denied) else "handed"
        self._parts.metrics.requests.labels(outcome).inc()
        return found

    async def _climb(self, token: str, source: str) -> Handed | Denied:
        parts = self._parts
        if parts.hands is None:
            return _denied(
                Refused(
                    refusal=Refusal.NO_REDIS,
                    detail="this mesh7 has no Redis (--redis-mode none); nobody needs credentials",
                )
            )
        if wait_s := parts.sources.take(source, parts.clock.monotonic_s()):
            return _denied(_too_often("this address asks too often"), wait_s)
        claims = await self._verified(token)
        if isinstance(claims, Refused):
            return _denied(claims)
        if wait_s := parts.pods.take(claims.uid, parts.clock.monotonic_s()):
            return _denied(_too_often("this pod asks too often"), wait_s)
        parts.metrics.reviews.inc()
        refused = await asking.review(parts.api, token, claims)
        refused = refused or await parts.enrolment.refuses(claims.namespace)
        if refused is not None:
            _LOG.info(
                "credentials are refused",
                extra={
                    "namespace": claims.namespace, "pod": claims.pod, "reason": refused.refusal,
                },
            )  # fmt: skip
            return _denied(refused)
        handed = parts.hands.hand(claims, parts.clock.now())
        _LOG.info(
            "credentials are handed out",
            extra={
                "namespace": claims.namespace, "pod": claims.pod, "uid": claims.uid,
                "user": handed.credential.user,
            },
        )  # fmt: skip
        return handed

    async def _verified(self, token: str) -> Claims | Refused:
        identifier = tokens.key_id(token)
        if isinstance(identifier, Refused):
            return identifier
        key = await self._parts.issuer.key(identifier)
        if key is None:
            return Refused(
                refusal=Refusal.UNKNOWN_KEY,
                detail="the token is signed with a key that this cluster does not have",
            )
        return tokens.verify(token, key, self._parts.issuer.name, self._parts.clock.now())


def status_of(refusal: Refusal) -> int:
    """What HTTP calls it."""
    return _STATUS.get(refusal, _UNAUTHENTICATED)


def _denied(refused: Refused, wait_s: float = 0.0) -> Denied:
    return Denied(
        status=status_of(refused.refusal),
        refused=refused,
        retry_after_s=math.ceil(wait_s),
    )


def _too_often(detail: str) -> Refused:
    return Refused(refusal=Refusal.TOO_OFTEN, detail=detail)
