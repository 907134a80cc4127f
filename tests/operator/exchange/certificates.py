"""Self-made certificates for 127.0.0.1."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

START = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
DAYS = 36_500


def write_pair(certificate: Path, private_key: Path) -> str:
    """Write a new certificate and its key; the certificate, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    # OpenSSL finds authorities by name: two of one name would hide each other.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"exchange {number:x}"[:64])])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(START)
        .not_valid_after(START + dt.timedelta(days=DAYS))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM)
    certificate.write_bytes(text)
    private_key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return text.decode("ascii")
