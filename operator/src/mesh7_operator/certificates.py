"""A program's certificate: a pair of files, taken up when they come and when they change.

A context serves from the start, so that a port can be open; until a pair was taken up no handshake
succeeds on it.
"""

import contextlib
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from mesh7_core import errors
from mesh7_operator import mounted

_DAY_S: Final = 86_400


class Certificate:
    """Certificate and key as they lie in two files.

    Attributes:
        context: serves what was taken up last; connections that stand keep what they began with.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certificate = certificate
        self._key = key
        self._pair = b""

    @property
    def is_loaded(self) -> bool:
        """Whether there is one to serve."""
        return bool(self._pair)

    def refresh(self) -> bool:
        """Take up what lies there now; whether it is another than before.

        Raises:
            SettingsError: it cannot be used; what was served is served on.
        """
        try:
            pair = self._certificate.read_bytes() + b"\n" + self._key.read_bytes()
            if pair == self._pair:
                return False
            # Files may change between two looks, and half of a pair would spoil the context that
            # serves: so the pair is tried elsewhere first, as it was read.
            with _named(pair) as path:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
                self.context.load_cert_chain(path)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise errors.SettingsError(
                f"--certificate `{self._certificate}`, --private-key `{self._key}`: cannot be used"
                f" ({error}); both are PEM, and the key is the certificate's"
            ) from error
        self._pair = pair
        return True

    def days(self, now: datetime) -> float:
        """How long it is still valid; below 0 when it no longer is, or there is none."""
        if not self._pair:
            return -1.0
        ends_at = x509.load_pem_x509_certificate(self._pair).not_valid_after_utc
        return (ends_at - now).total_seconds() / _DAY_S


def look(
    certificate: Certificate, measured: Callable[[float], None], now: Callable[[], datetime]
) -> mounted.Look:
    """What keeps it fresh.

    Args:
        certificate: looked at.
        measured: told after each look how many days it is still valid.
        now: the time.
    """

    async def refresh() -> bool:
        try:
            return certificate.refresh()
        finally:
            if certificate.is_loaded:
                measured(certificate.days(now()))

    return mounted.Look(what="certificate", refresh=refresh)


def load(certificate: Path, key: Path) -> Certificate:
    """One that has to be there already.

    Raises:
        SettingsError: the files cannot be used.
    """
    found = Certificate(certificate, key)
    found.refresh()
    return found


@contextlib.contextmanager
def _named(content: bytes) -> Iterator[str]:
    """Bytes under a path, for OpenSSL reads certificates of ours from files alone; on no disk."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
