"""The lean client: answers in their order, one write a turn, nothing late, nothing without end."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from pathlib import Path

import hiredis
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh7_core.ledger import resp
from mesh7_core.ledger.protocol import LOST, Lost, Seen
from tests.core.ledger.redis_parts import EVERY_SERVER, connected, seen
from tests.peers import redis_servers
from tests.peers.speaking import speaking
from tests.told_time import ToldTime

_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])


class Line:
    """A pipeline to a server, with all that came of it in order."""

    def __init__(self) -> None:
        self.answers: list[resp.Reply | Lost] = []
        self.ended: list[str] = []
        self.pushed: list[object] = []
        self.pipeline = resp.Pipeline(
            asyncio.get_running_loop(), ended=self.ended.append, pushed=self.pushed.append
        )

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.pipeline, "127.0.0.1", port)

    def send(self, *words: str | int) -> None:
        self.pipeline.send(resp.pack(*words), self.answers.append)

    async def ask(self, *words: str | int) -> resp.Reply | Lost:
        answer: asyncio.Future[resp.Reply | Lost] = asyncio.get_running_loop().create_future()
        self.pipeline.send(resp.pack(*words), answer.set_result)
        return await asyncio.wait_for(answer, 30)


@EVERY_SERVER
async def test_answers_come_in_the_order_of_the_commands_errors_among_them(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        line = Line()
        await line.connect(server.port)
        line.send("SET", "a", 1)
        line.send("LPUSH", "a", 1)
        line.send("GET", "a")
        line.send("GET", "b")
        assert await line.ask("PING") == b"PONG"
        line.pipeline.drop("enough")
    first, second, *others = line.answers
    assert first == b"OK"
    assert isinstance(second, hiredis.ReplyError)
    assert others == [b"1", None]
    assert line.ended == ["enough"]


@EVERY_SERVER
async def test_what_is_in_flight_when_a_connection_ends_is_lost_and_so_is_what_comes_after(
    program: Path, tmp_path: Path
) -> None:
    with redis_servers.running(program, tmp_path) as server:
        line = Line()
        await line.connect(server.port)
        line.send("GET", "a")
        line.pipeline.drop("gone")
        line.send("GET", "b")
    assert line.answers == [LOST, LOST]


async def test_more_than_may_be_in_flight_is_lost_at_once() -> None:
    """The queue is bounded: a server that hangs must not fill our memory."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = Line()
        await line.connect(silent.getsockname()[1])
        for _ in range(resp.MOST_IN_FLIGHT + 3):
            line.send("PING")
        assert line.answers == [LOST] * 3
        line.pipeline.drop("enough")
    assert len(line.answers) == resp.MOST_IN_FLIGHT + 3


@pytest.mark.promise("L6")
def test_what_is_not_answered_is_lost_after_a_second() -> None:
    """docs/administrator/redis.md, When it fails. Time passes by the test's word only."""

    async def lived() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            line = Line()
            await line.connect(silent.getsockname()[1])
            line.send("PING")
            await _pass_by(0.9)
            assert line.answers == []
            await _pass_by(0.2)
            assert line.answers == [LOST]
            assert line.ended == ["it does not answer within a second"]

    with asyncio.Runner(loop_factory=ToldTime) as runner:
        runner.run(lived())


async def _pass_by(seconds: float) -> None:
    """Let time pass, a twentieth of a second at a time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ToldTime)
    for _ in range(round(seconds / 0.05)):
        loop.pass_by(0.05)
        for _ in range(5):
            await asyncio.sleep(0)


@EVERY_SERVER
async def test_who_fails_over_an_answer_costs_nobody_else_theirs(
    program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 4, faults: a defect above was taken for a protocol error and dropped the connection."""

    def fail(reply: resp.Reply | Lost) -> None:
        raise IndexError(f"a defect of whoever asked: {reply!r}")

    with redis_servers.running(program, tmp_path) as server:
        line = Line()
        await line.connect(server.port)
        line.pipeline.send(resp.pack("GET", "a"), fail)
        line.send("PING")
        assert await line.ask("PING") == b"PONG"
        assert line.ended == []
        line.pipeline.send(resp.pack("GET", "a"), fail)
        line.send("PING")
        line.pipeline.drop("enough")
    assert line.answers == [b"PONG", LOST]
    assert line.ended == ["enough"]
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    """It could be the answer to the next command, of somebody else."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"+PONG\r\n+surprise\r\n")
        await reader.read()
        closed.set()

    closed = asyncio.Event()
    async with speaking(speak) as port:
        line = Line()
        await line.connect(port)
        assert await line.ask("PING") == b"PONG"
        await closed.wait()
        assert line.ended == ["it answers something that is not the protocol of Redis"]
        line.send("PING")
    assert line.answers == [LOST]


def _certificate(path: Path) -> Path:
    """A self-made certificate for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def _public(path: Path) -> str:
    return path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]


@EVERY_SERVER
async def test_tls_is_spoken_and_the_certificate_verified(program: Path, tmp_path: Path) -> None:
    """Issue 4, Redis: TLS; a wrong authority is refused, and nothing is sent to it."""
    right, wrong = _certificate(tmp_path / "right.pem"), _certificate(tmp_path / "wrong.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(right)
    with redis_servers.running(program, tmp_path / "server") as server:
        async with redis_servers.proxying(server.port, tls=context) as proxy:
            async with connected(proxy.port, ca_file=right) as ledger:
                assert await seen(ledger) is Seen.ADMITTED
            proxy.writes.clear()
            async with connected(proxy.port, ca_file=wrong) as ledger:
                assert await seen(ledger) is Seen.LOST
                assert "its certificate cannot be trusted" in ledger.trouble()
            async with connected(proxy.port, ca_file=tmp_path / "missing.pem") as ledger:
                assert await seen(ledger) is Seen.LOST
                assert "the file of --redis-ca cannot be read" in ledger.trouble()
            async with connected(proxy.port, ca_file=Path(__file__)) as ledger:
                assert await seen(ledger) is Seen.LOST
                assert "holds no certificate in PEM" in ledger.trouble()
            assert proxy.writes == []


@EVERY_SERVER
async def test_authorities_as_text_are_trusted_alone_and_none_means_nobody(
    program: Path, tmp_path: Path
) -> None:
    """docs/administrator/redis.md, The embedded one: the controller has them from a Secret."""
    right, wrong = _certificate(tmp_path / "right.pem"), _certificate(tmp_path / "wrong.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(right)
    with redis_servers.running(program, tmp_path / "server") as server:
        async with redis_servers.proxying(server.port, tls=context) as proxy:
            async with connected(proxy.port, authorities=_public(right), ca_file=wrong) as ledger:
                assert await seen(ledger) is Seen.ADMITTED
            proxy.writes.clear()
            async with connected(proxy.port, authorities=_public(wrong)) as ledger:
                assert await seen(ledger) is Seen.LOST
                assert "its certificate cannot be trusted" in ledger.trouble()
            async with connected(proxy.port, authorities="", ca_file=right) as ledger:
                assert await seen(ledger) is Seen.LOST
                assert "who vouches for its certificate is not known yet" in ledger.trouble()
            assert proxy.writes == []


@EVERY_SERVER
async def test_a_server_without_tls_is_not_spoken_to_plainly(program: Path, tmp_path: Path) -> None:
    authorities = _certificate(tmp_path / "right.pem")
    with redis_servers.running(program, tmp_path / "server") as server:
        async with connected(server.port, ca_file=authorities) as ledger:
            assert await seen(ledger) is Seen.LOST
            assert ledger.trouble() != ""
