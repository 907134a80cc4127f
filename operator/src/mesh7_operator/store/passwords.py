"""Users of Redis that nobody has to be told of: name and password follow from one master secret.

A namespace has one user for each generation of six hours. The controller keeps the users of the
generation before, of this one and of the next; the exchange hands out this one's, which therefore
works for six to twelve hours. Both know the master secret, and neither asks the other.
Pure: no clock, no network, no logging.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

GENERATION: Final = timedelta(hours=6)
SMALLEST_MASTER_BYTES: Final = 32
_GENERATION_S: Final = int(GENERATION.total_seconds())
_RENEWING: Final = GENERATION / 2
"""Sidecars come for the next credentials within this time of the new generation, spread."""
_PURPOSE: Final = b"mesh7.dev/redis-v1"
_OURS: Final = re.compile(r"m7-([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)-(0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Whose user it is, and of which generation."""

    namespace: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One namespace's way into Redis for a while.

    Attributes:
        password: base64url; no repr shows it.
        expires_at: the user is gone by then, and its connections with it.
        renew_at: when to come for the next one; well before.
    """

    user: str
    password: str = field(repr=False)
    expires_at: datetime
    renew_at: datetime


def generation_of(now: datetime) -> int:
    """Which generation it is; grows by one every six hours."""
    return int(now.timestamp()) // _GENERATION_S


def kept_generations(now: datetime) -> tuple[int, int, int]:
    """Generations whose users there are; clocks of controller and exchange may differ by hours."""
    generation = generation_of(now)
    return generation - 1, generation, generation + 1


def user_name(owner: Owner) -> str:
    """What the user is called."""
    return f"m7-{owner.namespace}-{owner.generation}"


def owner_of(user: str) -> Owner | None:
    """Whose user it is; None for a name that is none of ours."""
    found = _OURS.fullmatch(user)
    return None if found is None else Owner(found[1], int(found[2]))


def password(master: bytes, owner: Owner) -> str:
    """The user's password."""
    message = b"\0".join((_PURPOSE, owner.namespace.encode(), str(owner.generation).encode()))
    digest = hmac.digest(master, message, "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def hashed(secret: str) -> str:
    """A password as an ACL rule has it: 64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def credential(master: bytes, namespace: str, pod_uid: str, now: datetime) -> Credential:
    """What the exchange answers a pod.

    Args:
        pod_uid: spreads the moments at which pods come again.
        now: aware.
    """
    owner = Owner(namespace, generation_of(now))
    ends_at = datetime.fromtimestamp((owner.generation + 1) * _GENERATION_S, UTC)
    share = int.from_bytes(hashlib.sha256(pod_uid.encode()).digest()[:4]) / 2**32
    return Credential(
        user=user_name(owner),
        password=password(master, owner),
        expires_at=ends_at + GENERATION,
        renew_at=ends_at + _RENEWING * share,
    )
