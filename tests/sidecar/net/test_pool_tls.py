"""TLS to a source: verified, or refused without sending anything."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh7_sidecar.net import origin, pool, sweep
from mesh7_sidecar.net.upstream import FailureKind, Request
from tests.peers.speaking import speaking
from tests.sidecar.net.parts import Heard

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-made certificate for localhost and 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def ask_over_tls(certificate: Path, host: str, tls: ssl.SSLContext | None) -> list[Heard]:
    """Two calls over one pool to a TLS server with `certificate`."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    result = []
    async with speaking(serve, tls=context) as port:
        way = pool.Pool(origin.origin_of(f"https://{host}:{port}"), sweep.Sweep(), tls=tls)
        for _ in range(2):
            heard = Heard()
            way.send(Request("GET", "/", [], b""), heard)
            await heard.finished()
            result.append(heard)
        way.close()
    assert len(requests) == (0 if result[0].failure else 2)
    return result


async def test_a_trusted_source_is_asked_over_tls(certificate: Path) -> None:
    tls = ssl.create_default_context(cafile=str(certificate))

    for host in ("localhost", "127.0.0.1"):
        answers = await ask_over_tls(certificate, host, tls)
        assert [each.body for each in answers] == [b"ok", b"ok"]


@pytest.mark.promise("S7")
async def test_an_untrusted_source_is_not_asked(certificate: Path) -> None:
    """Verification is on unless somebody hands in another context."""
    answers = await ask_over_tls(certificate, "localhost", None)

    failure = answers[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.TLS
    assert failure.message == "cannot be trusted over TLS: self-signed certificate"
    assert failure.is_unsent
