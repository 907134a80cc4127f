"""What the Secrets of the release namespace hold, read from them and written into them.

`mesh7-authority` holds `tls.crt` and `tls.key` (who issues), `next.crt` and `next.key` (who will),
`retiring.crt` (who issued what may still be served; their keys are gone) and `state` (times).
`mesh7-injector-certificate`, `mesh7-exchange-certificate` and, with the embedded Redis,
`mesh7-redis-certificate` hold `tls.crt`, `tls.key`, `ca.crt`.
Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from mesh7_core import errors
from mesh7_core.delivery import authorities as spelling
from mesh7_operator.authority import certificates
from mesh7_operator.authority.certificates import Pair

SECRET: Final = "mesh7-authority"  # noqa: S105 - an object's name
TLS_TYPE: Final = "kubernetes.io/tls"
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITIES: Final = "ca.crt"
_NEXT, _NEXT_KEY, _RETIRING, _STATE = "next.crt", "next.key", "retiring.crt", "state"


class Program(StrEnum):
    """Who serves with a certificate of ours; the value is the name of its Service."""

    INJECTOR = "mesh7-injector"
    EXCHANGE = "mesh7-exchange"
    REDIS = "mesh7-redis"

    @property
    def secret(self) -> str:
        """Where its certificate lies."""
        return f"{self.value}-certificate"

    def names(self, namespace: str) -> tuple[str, ...]:
        """What it is reached by."""
        inside = f"{self.value}.{namespace}"
        return (f"{inside}.svc", self.value, inside, f"{inside}.svc.cluster.local")


PROGRAMS: Final = (Program.INJECTOR, Program.EXCHANGE)
"""Those of every release."""
WITH_REDIS: Final = (*PROGRAMS, Program.REDIS)
"""Those of one with the embedded Redis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """Who issues, who will, and who did.

    Attributes:
        issuing: its key may be lost: then nothing is issued until another one follows.
        following: published beside `issuing`, so that it is known before it issues.
        published_at: since when `following` is published everywhere; None = it is not.
        issuing_since: since when `issuing` issues.
        retiring: PEM; vouched for what some replica may still serve, newest first.
    """

    issuing: Pair
    following: Pair | None = None
    published_at: datetime | None = None
    issuing_since: datetime
    retiring: tuple[str, ...] = ()

    @property
    def trusted(self) -> tuple[str, ...]:
        """All that are to be trusted now, as `delivery.authorities.read` spells them."""
        following = () if self.following is None else (self.following.certificate,)
        return tuple(sorted({self.issuing.certificate, *following, *self.retiring}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A program's certificate.

    Attributes:
        authorities: as they stand in `ca.crt`; None = nothing that can be read.
    """

    pair: Pair
    authorities: tuple[str, ...] | None = field(repr=False)


def read_authorities(held: Mapping[str, bytes]) -> Authorities | None:
    """What `mesh7-authority` holds; None = nothing of use.

    A key that is not its certificate's counts as lost.
    """
    issuing = _pair(held, CERTIFICATE, KEY)
    state = _object(held.get(_STATE, b""))
    since = _moment(state.get("issuingSince"))
    if issuing is None or since is None:
        return None
    following = _pair(held, _NEXT, _NEXT_KEY)
    return Authorities(
        issuing=issuing,
        following=following if following is not None and following.key else None,
        published_at=_moment(state.get("publishedAt")),
        issuing_since=since,
        retiring=read_certificates(held.get(_RETIRING, b"")) or (),
    )


def written_authorities(kept: Authorities) -> dict[str, bytes]:
    """The inverse."""
    state = {"issuingSince": kept.issuing_since.isoformat()}
    if kept.published_at is not None:
        state["publishedAt"] = kept.published_at.isoformat()
    following = kept.following or Pair(certificate="", key=b"")
    return {
        CERTIFICATE: kept.issuing.certificate.encode(),
        KEY: kept.issuing.key,
        _NEXT: following.certificate.encode(),
        _NEXT_KEY: following.key,
        _RETIRING: "".join(kept.retiring).encode(),
        _STATE: json.dumps(state).encode(),
    }


def read_leaf(held: Mapping[str, bytes]) -> Leaf:
    """What a program's Secret holds, of whatever use."""
    return Leaf(
        pair=Pair(certificate=_text(held.get(CERTIFICATE, b"")), key=held.get(KEY, b"")),
        authorities=read_certificates(held.get(AUTHORITIES, b"")),
    )


def written_leaf(pair: Pair, authorities: tuple[str, ...]) -> dict[str, bytes]:
    """The inverse."""
    return {
        CERTIFICATE: pair.certificate.encode(),
        KEY: pair.key,
        AUTHORITIES: "".join(authorities).encode(),
    }


def read_certificates(content: bytes) -> tuple[str, ...] | None:
    """Certificates in PEM, in the one spelling; None = they cannot be read."""
    try:
        return spelling.read(_text(content))
    except errors.BundleError:
        return None


def _pair(held: Mapping[str, bytes], certificate: str, key: str) -> Pair | None:
    found = read_certificates(held.get(certificate, b""))
    if found is None or len(found) != 1 or certificates.read(found[0]) is None:
        return None
    pair = Pair(certificate=found[0], key=held.get(key, b""))
    return pair if certificates.is_pair(pair) else Pair(certificate=found[0], key=b"")


def _text(content: bytes) -> str:
    return content.decode("ascii", "replace")


def _object(content: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _moment(written: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None
    return None if found is None or found.tzinfo is None else found.astimezone(UTC)
