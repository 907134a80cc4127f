"""What certificates say: until when they hold, for which names, and who vouches for them.

Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One of them.

    Attributes:
        hosts: DNS names that it is for.
        until: aware.
    """

    value: x509.Certificate
    hosts: frozenset[str]
    until: datetime

    def left(self, now: datetime) -> timedelta:
        """How long it holds; negative when it does not any more."""
        return self.until - now

    def is_of(self, authorities: Iterable["Certificate"]) -> bool:
        """Whether one of them signed it, or is it."""
        return any(self.value == one.value or _is_signed(self, one) for one in authorities)


def read(text: bytes) -> tuple[Certificate, ...]:
    """The certificates of a PEM text; none when it is none."""
    try:
        found = x509.load_pem_x509_certificates(text)
    except ValueError:
        return ()
    return tuple(
        Certificate(value=one, hosts=_hosts(one), until=one.not_valid_after_utc) for one in found
    )


def read_encoded(text: str) -> tuple[Certificate, ...]:
    """The same in base64, as Secrets and webhook configurations have it."""
    try:
        return read(base64.b64decode(text, validate=True))
    except binascii.Error:
        return ()


def _hosts(value: x509.Certificate) -> frozenset[str]:
    try:
        names = value.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    return frozenset(names.get_values_for_type(x509.DNSName))


def _is_signed(one: Certificate, authority: Certificate) -> bool:
    try:
        one.value.verify_directly_issued_by(authority.value)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
