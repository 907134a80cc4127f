"""Keys, chains and envelopes for tests of what is delivered."""

from collections.abc import Sequence

from mesh7_core.delivery import envelopes, keys, spelled
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.keys import Link, SigningKey

FIRST, SECOND, THIRD, FOURTH, STRANGER = (SigningKey(bytes([seed]) * 32) for seed in range(1, 6))
CHAIN = (
    keys.endorse(FIRST, SECOND.public),
    keys.endorse(SECOND, THIRD.public),
    keys.endorse(THIRD, FOURTH.public),
)


def sealed(
    version: int = 5,
    signer: SigningKey = FIRST,
    payload: bytes = b'{"a":1}',
    *,
    kind: Kind = Kind.BUNDLE,
    namespace: str = "shop",
    links: Sequence[Link] = (),
) -> bytes:
    return envelopes.seal(kind, namespace, version, payload, signer, links)


def resigned(line: bytes, packed: bytes, signer: SigningKey = FIRST) -> bytes:
    """An envelope around a first line and a payload of one's own, truly signed."""
    signature = signer.sign(envelopes.PURPOSE, line)
    return b"\n".join((line, spelled.to_base64(signature).encode(), packed))
