"""Signed heads in the state folder: one line for each chain that files are kept of.

STATE/audit.key           32 random bytes, made once: whoever has them can sign
STATE/audit.heads.jsonl   replaced as a whole, so it is never half of one and half of another
"""

import os
import secrets
from dataclasses import replace
from errno import EIO
from pathlib import Path
from typing import Final

from mesh7_core import errors
from mesh7_core.audit import heads
from mesh7_core.audit.heads import Head
from mesh7_core.delivery.keys import KEY_BYTES, SigningKey
from mesh7_sidecar.audit.private import open_private
from mesh7_sidecar.audit.stream import write_all

KEY_NAME: Final = "audit.key"
HEADS_NAME: Final = "audit.heads.jsonl"
_MAXIMUM_BYTES: Final = 1024 * 1024


class SignedHeads:
    """Those of one state folder.

    Args:
        directory: the state folder.

    Raises:
        OSError: a file in it cannot be used.
        SettingsError: the key is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = _key(directory)
        found = read(directory, self._key.public)
        self._heads = {head.chain: head for head in found}

    def newest(self, chain: str) -> Head | None:
        """The head that was signed last."""
        return self._heads.get(chain)

    def sign(self, head: Head) -> None:
        """Say that the chain stands there. Raises OSError."""
        known = self._heads.get(head.chain)
        first = 1 if known is None else known.first
        self._keep({**self._heads, head.chain: replace(head, first=first)})

    def let_go(self, chain: str, last: int) -> None:
        """Say that blocks up to `last` are about to be removed. Raises OSError."""
        known = self._heads.get(chain)
        if known is None:
            return
        fresh = {name: head for name, head in self._heads.items() if name != chain}
        if last < known.block:
            fresh[chain] = replace(known, first=max(known.first, last + 1))
        self._keep(fresh)

    def _keep(self, fresh: dict[str, Head]) -> None:
        content = b"".join(heads.signed(head, self._key) + b"\n" for head in fresh.values())
        made = self._directory / f"{HEADS_NAME}.new"
        descriptor = open_private(made, os.O_WRONLY | os.O_TRUNC)
        try:
            wrote = write_all(descriptor, content)
            if wrote.why:
                raise OSError(EIO, wrote.why, str(made))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        made.replace(self._directory / HEADS_NAME)
        self._heads = fresh


def public_key(directory: Path) -> bytes | None:
    """What the heads of a state folder are verified by; None when there is no key.

    Raises:
        SettingsError: the key is damaged or cannot be read.
    """
    try:
        seed = (directory / KEY_NAME).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"`{directory / KEY_NAME}` cannot be read: {error.strerror}"
        raise errors.SettingsError(message) from error
    return _sound(directory, seed).public


def read(directory: Path, public: bytes) -> tuple[Head, ...]:
    """The heads that this key signed, oldest chain first; other lines count for nothing.

    Raises:
        OSError: they cannot be read.
    """
    try:
        with (directory / HEADS_NAME).open("rb") as file:
            content = file.read(_MAXIMUM_BYTES)
    except FileNotFoundError:
        return ()
    found = (heads.verified(line, public) for line in content.split(b"\n"))
    return tuple(head for head in found if head is not None)


def _key(directory: Path) -> SigningKey:
    descriptor = open_private(directory / KEY_NAME, os.O_RDWR)
    try:
        seed = os.read(descriptor, KEY_BYTES + 1)
        if not seed:
            seed = secrets.token_bytes(KEY_BYTES)
            os.write(descriptor, seed)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return _sound(directory, seed)


def _sound(directory: Path, seed: bytes) -> SigningKey:
    if len(seed) != KEY_BYTES:
        message = (
            f"`{directory / KEY_NAME}` is damaged – move it and the audit files elsewhere, and a "
            "new one is made"
        )
        raise errors.SettingsError(message)
    return SigningKey(seed)
