"""The injector's stamp on a Grant: that admission saw who made it, and what it said then.

Pure: no clock, no network, no logging.
"""

from collections.abc import Collection, Mapping
from typing import Final

from mesh7_core.api.places import value_at
from mesh7_core.delivery import keys, spelled
from mesh7_core.errors import ManifestError
from mesh7_core.policy import canonical

PURPOSE: Final = "mesh7.dev/stamp-v1"
"""Of the signature; what is signed is canonical JSON of namespace, name and spec."""

_STAMP: Final = ("spec", "grantedBy", "stamp")


def stamp(grant: Mapping[str, object], signer: keys.SigningKey) -> str:
    """Base64 of a signature over namespace, name and spec (without the stamp itself).

    Args:
        grant: the manifest, `grantedBy` filled in.
        signer: the stamp key, which only the injector holds.

    Raises:
        ManifestError: it has no namespace, name or spec that could be signed. A name that the API
            server has yet to make up (`generateName`) is none.
    """
    message = _message(grant)
    if message is None:
        raise ManifestError("the grant has no namespace, name or spec to be stamped, write them")
    return spelled.to_base64(signer.sign(PURPOSE, message))


def is_stamped(grant: Mapping[str, object], trusted: Collection[bytes]) -> bool:
    """Whether its `grantedBy.stamp` is one of ours over exactly this grant. Total."""
    signature = spelled.from_base64(value_at(dict(grant), _STAMP), keys.SIGNATURE_BYTES)
    message = _message(grant)
    if signature is None or message is None:
        return False
    return any(keys.verify(public, PURPOSE, message, signature) for public in trusted)


def _message(grant: Mapping[str, object]) -> bytes | None:
    written = dict(grant)
    namespace = value_at(written, ("metadata", "namespace"))
    name = value_at(written, ("metadata", "name"))
    spec = written.get("spec")
    if not (isinstance(namespace, str) and isinstance(name, str) and isinstance(spec, dict)):
        return None
    if not (namespace and name):
        return None
    granted_by = spec.get("grantedBy")
    if isinstance(granted_by, dict):
        granted_by = {key: found for key, found in granted_by.items() if key != "stamp"}
        spec = {**spec, "grantedBy": granted_by}
    try:
        return canonical.written([namespace, name, spec]).encode()
    except (TypeError, ValueError):
        return None
