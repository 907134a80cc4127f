"""The injector's stamp on a Grant: that admission saw who made it, and what it said then.

Pure: no clock, no network, no logging.
"""

from collections.abc import Collection, Mapping

from mesh7_core.delivery import keys


def stamp(grant: Mapping[str, object], signer: keys.SigningKey) -> str:
    """Base64 of a signature over namespace, name and spec (without the stamp itself).

    Args:
        grant: the manifest, `grantedBy` filled in.
        signer: the stamp key, which only the injector holds.
    """
    raise NotImplementedError


def is_stamped(grant: Mapping[str, object], trusted: Collection[bytes]) -> bool:
    """Whether its `grantedBy.stamp` is one of ours over exactly this grant. Total."""
    raise NotImplementedError
