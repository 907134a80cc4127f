"""A cluster of our own for the exchange: keys, tokens, reviews, namespaces; a clock that stands.

`e2e/api/test_exchange.py` holds a real API server to what this one does.
"""

import base64
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mesh7_core import errors
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.exchange import issuer
from mesh7_operator.exchange.tokens import Claims

NAME = "https://kubernetes.default.svc.cluster.local"
START_S = int(datetime(2026, 11, 21, 10, 0, tzinfo=UTC).timestamp())
CLAIMS = Claims(namespace="shop", account="support", pod="web-1", uid="uid-1")


@functools.cache
def rsa_key(_: str = "first") -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str) -> dict[str, object]:
    """The public key as an API server shows it."""
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else (
        jwt.algorithms.ECAlgorithm
    )  # fmt: skip
    shown = json.loads(algorithm.to_jwk(key.public_key()))  # type: ignore[arg-type]  # of its kind
    alg = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return {**shown, "kid": kid, "alg": alg, "use": "sig"}


def claims_of(
    claims: Claims = CLAIMS, changed: Mapping[str, object] | None = None
) -> dict[str, object]:
    """What an API server writes into a pod's projected token; None takes a claim away."""
    written: dict[str, object] = {
        "aud": ["mesh7.dev"],
        "exp": START_S + 3600,
        "iat": START_S,
        "nbf": START_S,
        "iss": NAME,
        "jti": "b2c1",
        "sub": claims.user,
        "kubernetes.io": {
            "namespace": claims.namespace,
            "node": {"name": "node-1", "uid": "node-uid"},
            "pod": {"name": claims.pod, "uid": claims.uid},
            "serviceaccount": {"name": claims.account, "uid": "account-uid"},
        },
        **(changed or {}),
    }
    return {name: value for name, value in written.items() if value is not None}


def token_of(
    claims: Claims = CLAIMS,
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    kid: str = "one",
    algorithm: str = "RS256",
    changed: Mapping[str, object] | None = None,
) -> str:
    """A token, signed."""
    written = claims_of(claims, changed)
    return jwt.encode(written, key or rsa_key(), algorithm=algorithm, headers={"kid": kid})


def segment(value: object) -> str:
    """A part of a token as it is spelled."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def pass_(self, seconds: float) -> None:
        self.passed_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(
            wall_ns=lambda: int((START_S + self.passed_s) * 1e9),
            monotonic_s=lambda: 1000.0 + self.passed_s,
        )

    def now(self) -> datetime:
        return self.clock.now()


@dataclass(slots=True)
class FakeCluster:
    """As much of an API server as the exchange asks.

    Attributes:
        keys: by their names.
        pods: uid → the claims that a review confirms.
        labels: of namespaces.
        is_down: whether it answers.
        asked: what it was asked, in order.
    """

    keys: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: {"one": rsa_key()}
    )
    pods: dict[str, Claims] = field(default_factory=lambda: {CLAIMS.uid: CLAIMS})
    labels: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"shop": {"mesh7.dev/injection": "enabled"}}
    )
    audiences: tuple[str, ...] = ("mesh7.dev",)
    is_down: bool = False
    asked: list[str] = field(default_factory=list)

    def count(self, what: str) -> int:
        return self.asked.count(what)

    async def fetch(self, path: str) -> shapes.Object:
        self._ask(path)
        if path == issuer.CONFIGURATION:
            return {"issuer": NAME}
        return {"keys": [jwk_of(key, kid) for kid, key in self.keys.items()]}

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        assert namespace == ""
        self._ask(f"{resource.kind} {name}")
        if name not in self.labels:
            raise api_server.NotFound(f"namespaces `{name}` not found")
        return {"metadata": {"name": name, "labels": self.labels[name]}}

    async def create(
        self, resource: resources.Resource, namespace: str, manifest: shapes.Object
    ) -> shapes.Object:
        assert namespace == ""
        self._ask(resource.kind)
        token = shapes.text(manifest, "spec", "token")
        said = jwt.decode(token, options={"verify_signature": False})
        claims = self.pods.get(said["kubernetes.io"]["pod"]["uid"])
        if claims is None:
            return {"status": {"user": {}, "error": "the pod is gone"}}
        user = {"username": claims.user, "extra": _extra(claims)}
        status = {"authenticated": True, "user": user, "audiences": list(self.audiences)}
        return {"status": status}

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.is_down:
            raise errors.ClusterError(f"{what}: not answered: connection refused")


def _extra(claims: Claims) -> Mapping[str, object]:
    return {
        "authentication.kubernetes.io/pod-name": [claims.pod],
        "authentication.kubernetes.io/pod-uid": [claims.uid],
    }
