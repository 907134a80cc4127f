"""A cluster's certificates and keys, and the kubeconfigs made of them.

Pure but for the random numbers and the clock of certificates: bytes out, no files.
"""

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=30)
_SKEW = timedelta(minutes=5)  # a client with a slow clock is served too


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def authority(name: str) -> Pair:
    """A certificate authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def client(ca: Pair, user: str, groups: Sequence[str] = ()) -> Pair:
    """A certificate that the API server reads as this user in these groups."""
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return _issue(ca, [*names, x509.NameAttribute(NameOID.COMMON_NAME, user)], ())


def server(ca: Pair, names: Sequence[str]) -> Pair:
    """A certificate for a server that is reached by these DNS names and IP addresses."""
    return _issue(ca, [x509.NameAttribute(NameOID.COMMON_NAME, names[0])], names)


def signing_key() -> Pair:
    """What service-account tokens are signed with; RSA, as in most clusters.

    Returns:
        `key` is the private key, `certificate` the public one.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Pair(certificate=public, key=_pem(key))


def kubeconfig(url: str, ca: bytes, user: Pair) -> str:
    """A kubeconfig that holds all it needs, so that it may be copied anywhere."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "mesh7", "cluster": {"server": url, **_inline(ca)}}],
            "users": [
                {
                    "name": "mesh7",
                    "user": {
                        "client-certificate-data": _base64(user.certificate),
                        "client-key-data": _base64(user.key),
                    },
                }
            ],
            "contexts": [{"name": "mesh7", "context": {"cluster": "mesh7", "user": "mesh7"}}],
            "current-context": "mesh7",
        }
    )


def _inline(ca: bytes) -> dict[str, str]:
    return {"certificate-authority-data": _base64(ca)}


def _issue(ca: Pair, subject: Sequence[x509.NameAttribute[str]], names: Sequence[str]) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    builder = (
        _builder(x509.Name(subject), issuer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
    )
    if names:
        spoken = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = builder.add_extension(spoken, critical=False)
    signer = serialization.load_pem_private_key(ca.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(certificate=certificate.public_bytes(serialization.Encoding.PEM), key=_pem(key))


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()
