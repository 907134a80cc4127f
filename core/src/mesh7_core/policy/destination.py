"""Where a source's calls go: a digest that approvals bind, and what people are shown of it.

Bound is all of a ToolSource that decides what a call reaches, and as whom; what it lists and what
it may cost is not. Pure: no clock, no network, no logging.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from mesh7_core.policy.bundle import Source

FORM: Final = "mesh7-source-1"
"""Names this way of making digests; another way gets another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One source, as far as an approval is for it.

    Attributes:
        host: as policies know it.
        address: the host with the port that the URL names.
        path: of the URL, or a child process's program, as people wrote it.
        digest: changes with whatever calls reach, and with the credential that they go out with.
    """

    name: str
    kind: str
    host: str
    address: str
    path: str
    digest: str = field(repr=False)


def destination(source: Source) -> Destination:
    """Where the calls of this source go."""
    return Destination(
        name=source.name,
        kind=source.kind.value,
        host=source.host,
        address=urlsplit(source.url).netloc or source.host,
        path=source.path,
        digest=source_digest(source),
    )


def source_digest(source: Source) -> str:
    """`sha256:` and 64 hex digits over kind, transport, URL or command, headers and credential.

    Values of credentials and of a child's environment stay outside: they are renewed.
    """
    credential = source.credential
    parts = (
        FORM,
        source.kind.value,
        "" if source.transport is None else source.transport.value,
        source.url,
        source.command,
        sorted(source.headers),
        None if credential is None else (credential.key, credential.header, credential.scheme),
    )
    return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()
