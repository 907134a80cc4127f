"""Certificates made and read: an authority, what it issues, and who issued what.

Pure but for the random numbers of keys: the time is an argument.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW: Final = timedelta(days=1)
"""Whoever has a clock as slow as that takes a new certificate all the same, and so does a leader
whose clock is slower than that of the one before it."""
_USAGES: Final = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its key.

    Attributes:
        certificate: PEM.
        key: PEM; empty = it is lost.
    """

    certificate: str
    key: bytes = field(repr=False)


def new_authority(now: datetime, life: timedelta) -> Pair:
    """An authority that vouches for itself; no other has its name."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # OpenSSL looks authorities up by name: two of one name would hide each other.
    name = _named(f"mesh7 authority {serial:x}"[:64])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(name, name, key, serial)
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(identifier, critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Pair, names: Iterable[str], now: datetime, life: timedelta) -> Pair:
    """A server's certificate; it ends with its authority at the latest.

    Args:
        authority: with its key.
        names: DNS names that the server is reached by; the first one is its own.
        now: aware.
        life: from now on.
    """
    known = list(names)
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    by = _private(authority.key)
    if by is None:
        raise AssertionError
    serial = x509.random_serial_number()
    builder = (
        _builder(_named(known[0][:64]), issuer.subject, key, serial)
        .not_valid_before(max(now - SKEW, issuer.not_valid_before_utc))
        .not_valid_after(min(now + life, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in known]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
        )
    )
    return _pair(builder.sign(by, hashes.SHA256()), key)


def read(text: str) -> x509.Certificate | None:
    """The first certificate in PEM; None = there is none."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        return None


def is_pair(pair: Pair) -> bool:
    """Whether the key is the certificate's."""
    certificate, key = read(pair.certificate), _private(pair.key)
    return (
        certificate is not None and key is not None and certificate.public_key() == key.public_key()
    )


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may vouch for others."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.value.ca


def is_issued_by(certificate: x509.Certificate, authority: str) -> bool:
    """Whether this authority (PEM) signed it."""
    issuer = read(authority)
    if issuer is None:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return True


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names, in their order."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(found.value.get_values_for_type(x509.DNSName))


def renewal_at(certificate: x509.Certificate) -> datetime:
    """When two thirds of its life are over."""
    made_at, ends_at = certificate.not_valid_before_utc + SKEW, certificate.not_valid_after_utc
    return made_at + (ends_at - made_at) * 2 / 3


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*usages: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in usages for usage in _USAGES})


def _private(key: bytes) -> ec.EllipticCurvePrivateKey | None:
    try:
        found = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        return None
    return found if isinstance(found, ec.EllipticCurvePrivateKey) else None


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    written = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    text = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    return Pair(certificate=text, key=written)
