"""What every request must pass before its URL is looked at: Host, browser marks, token.

A page in a browser, a rebound DNS name and another user of the machine are kept out here
(design 10, X13). Pure: no clock, no network, no logging.
"""

import hmac
from dataclasses import dataclass

from mesh7_core.policy.reasons import Reason

LOOPBACK_HOSTS = frozenset({b"127.0.0.1", b"localhost", b"[::1]"})
# Two copies of these would let two readers see two requests (X2).
SINGLE = frozenset(
    {
        b"host",
        b"authorization",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"origin",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"mcp-session-id",
        b"last-event-id",
        b"x-session-id",
        b"x-mesh7-agent",
    }
)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request goes no further."""

    status: int
    reason: Reason
    message: str


TWO_COPIES = Refused(400, Reason.MALFORMED, "a header that may stand once stands twice")
NO_HOST = Refused(403, Reason.FORBIDDEN_HOST, "the Host header names another host – use 127.0.0.1")
BROWSER = Refused(
    403,
    Reason.FORBIDDEN_ORIGIN,
    "requests from browsers are refused – allow the origin in the settings if it is yours",
)
NO_TOKEN = Refused(
    401,
    Reason.UNAUTHENTICATED,
    "this listener wants `Authorization: Bearer …` with the content of its token file",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The rules of one listener.

    Attributes:
        hosts: names that Host may carry, lower case, without port; IPv6 in brackets.
        origins: browser origins that the settings allow.
        own_origins: the listener's own address as an origin. A browser sends
            `Sec-Fetch-Site` with it and is refused; programs that send it are let in (MCP asks).
        token: the bearer token callers must send; None = none is asked for.
    """

    hosts: frozenset[bytes]
    origins: frozenset[bytes]
    own_origins: frozenset[bytes]
    token: bytes | None

    def refusal(
        self, heads: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]
    ) -> Refused | None:
        """Why the request must go no further; None = it may.

        Args:
            heads: the headers by lower-case name, any one of several copies.
            headers: all of them.
        """
        if len(heads) != len(headers) and _has_two_copies(headers):
            return TWO_COPIES
        host = heads.get(b"host")
        if host is None or not self._is_ours(host):
            return NO_HOST
        if self._is_foreign_browser(heads):
            return BROWSER
        if self.token is not None and not _carries(heads.get(b"authorization"), self.token):
            return NO_TOKEN
        return None

    def _is_foreign_browser(self, heads: dict[bytes, bytes]) -> bool:
        origin = heads.get(b"origin")
        if origin is not None and origin in self.origins:
            return False
        # Not `sec-fetch-mode`: Node's fetch sends it too; browsers always send `-site` with it.
        if b"sec-fetch-site" in heads or b"sec-fetch-dest" in heads:
            return True
        return origin is not None and origin not in self.own_origins

    def _is_ours(self, host: bytes) -> bool:
        name, colon, port = host.rpartition(b":")
        if not colon or name.endswith(b":") or (host[:1] == b"[" and host[-1:] == b"]"):
            name = host
        elif not port.isdigit():
            return False
        return name.lower() in self.hosts


def _has_two_copies(headers: list[tuple[bytes, bytes]]) -> bool:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and (name in SINGLE or name.startswith(b"mcp-param-")):
            return True
        seen.add(name)
    return False


def _carries(authorization: bytes | None, token: bytes) -> bool:
    scheme, _, value = (authorization or b"").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(value.strip(), token)
