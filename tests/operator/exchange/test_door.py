"""The door: what goes over the wire, and a certificate that changes under way."""

import asyncio
import datetime as dt
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from mesh7_core import errors
from mesh7_operator import serving, settings, tracing
from mesh7_operator.certificates import load
from mesh7_operator.clock import Clock
from mesh7_operator.exchange import door
from mesh7_operator.tracing import Tracer
from tests.operator.exchange import certificates
from tests.operator.exchange.issuing import CLAIMS, token_of
from tests.operator.exchange.test_service import Exchange
from tests.peers import otlp_receiver

LOOPBACK = settings.Address("127.0.0.1", 0)


class Caller:
    """Asks one door."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def asks(
        self,
        token: str | None,
        *,
        method: str = "POST",
        path: str = door.PATH,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], dict[str, object]]:
        said = dict(headers or {})
        if token is not None:
            said["Authorization"] = f"Bearer {token}"
        async with self._session.request(method, self.url + path, data=body, headers=said) as found:
            text = await found.read()
            is_json = "json" in found.headers["Content-Type"]
            return found.status, found.headers, json.loads(text) if is_json else {}


@asynccontextmanager
async def opened(exchange: Exchange, tracer: Tracer = tracing.OFF) -> AsyncIterator[Caller]:
    parts = exchange.parts
    app = door.application(exchange.service, parts.metrics, parts.clock.monotonic_s, tracer)
    listener = await serving.listen(app, LOOPBACK)
    async with aiohttp.ClientSession() as session:
        yield Caller(f"http://{listener.address}", session)
    await listener.close()


@pytest.mark.promise("K14")
async def test_credentials_are_json_that_nobody_keeps(tmp_path: Path) -> None:
    """`docs/reference/exchange-api.md`."""
    exchange = Exchange(tmp_path)
    async with opened(exchange) as caller:
        status, headers, found = await caller.asks(token_of())
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Cache-Control"] == "no-store"
    assert set(found) == {"url", "username", "password", "expiresAt", "renewAt"}


async def test_a_refusal_is_a_problem_that_says_why(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    async with opened(exchange) as caller:
        status, headers, found = await caller.asks(token_of(changed={"aud": ["api"]}))
        assert found == {
            "type": "about:blank", "status": 401, "reason": "audience",
            "detail": "the token is not for the audience `mesh7.dev`",
        }  # fmt: skip
        assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert headers["Content-Type"].startswith("application/problem+json")
        for _ in range(5):
            await caller.asks(token_of())
        status, headers, found = await caller.asks(token_of())
        assert (status, headers["Retry-After"], found["reason"]) == (429, "10", "too-often")
        exchange.cluster.labels["shop"] = {}
        exchange.time.pass_(10)
        assert (await caller.asks(token_of()))[0] == 403
        exchange.cluster.is_down = True
        exchange.time.pass_(10)
        status, headers, _ = await caller.asks(token_of())
        assert (status, headers["Retry-After"]) == (503, "5")


async def test_a_request_is_a_span_that_says_nothing_of_token_or_credentials(
    tmp_path: Path,
) -> None:
    """Promised by docs/administrator/telemetry.md."""
    clock = Clock(wall_ns=time.monotonic_ns, monotonic_s=time.monotonic)
    with otlp_receiver.running() as receiver:
        tracer = tracing.of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, "x", 1.0, clock)
        async with opened(Exchange(tmp_path), tracer) as caller:
            await caller.asks(token_of(changed={"aud": ["api"]}))
        await asyncio.to_thread(tracer.close, 30)
        (span,) = receiver.spans()
    assert span.name == "exchange"
    assert otlp_receiver.attributes(span.attributes) == {"http.response.status_code": 401}


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"},
                {"Authorization": "Bearer "}, {"Authorization": "token"}],
)  # fmt: skip
async def test_a_request_without_a_bearer_token_is_refused(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with opened(Exchange(tmp_path)) as caller:
        status, _, found = await caller.asks(None, headers=headers)
    assert (status, found["reason"]) == (401, "malformed")


async def test_two_tokens_are_none(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    async with opened(exchange) as caller, aiohttp.ClientSession() as session:
        twice = [("Authorization", f"Bearer {token_of()}")] * 2
        async with session.post(caller.url + door.PATH, headers=twice) as found:
            assert found.status == 401


async def test_a_body_other_methods_and_other_paths_are_refused(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    async with opened(exchange) as caller:
        assert (await caller.asks(token_of(), body=b"x"))[0] == 400
        assert (await caller.asks(token_of(), body=b"x" * 500_000))[0] == 400
        chunked = {"Transfer-Encoding": "chunked"}
        assert (await caller.asks(token_of(), headers=chunked))[0] == 400
        assert (await caller.asks(token_of(), method="GET"))[0] == 405
        for path in ("/", f"{door.PATH}/", f"{door.PATH}/x", "/metrics", "/healthz"):
            assert (await caller.asks(token_of(), path=path))[0] == 404
        assert exchange.cluster.asked == []


async def test_neither_token_nor_password_is_written_into_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    exchange = Exchange(tmp_path)
    async with opened(exchange) as caller:
        _, _, found = await caller.asks(token_of())
        await caller.asks(token_of(changed={"aud": ["api"]}))
    written = " ".join(f"{vars(record)} {record.getMessage()}" for record in caplog.records)
    assert CLAIMS.pod in written
    assert str(found["password"]) not in written
    assert token_of().rpartition(".")[2] not in written


# The certificate


async def _names(port: int, trusted: str) -> bool:
    """Whether who listens there shows that certificate."""
    context = ssl.create_default_context(cadata=trusted)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except ssl.SSLCertVerificationError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_a_new_certificate_is_served_without_an_end(tmp_path: Path) -> None:
    """Certificate and key are files that change."""
    pair = tmp_path / "tls.crt", tmp_path / "tls.key"
    first = certificates.write_pair(*pair)
    certificate = load(*pair)
    exchange = Exchange(tmp_path)
    app = door.application(exchange.service, exchange.parts.metrics, lambda: 0.0)
    listener = await serving.listen(app, LOOPBACK, certificate.context)
    port = listener.address.port
    assert await _names(port, first)
    assert not certificate.refresh()
    second = certificates.write_pair(*pair)
    assert certificate.refresh()
    assert [await _names(port, first), await _names(port, second)] == [False, True]
    pair[1].write_text("half of a pair")
    with pytest.raises(errors.SettingsError, match="--private-key"):
        certificate.refresh()
    certificates.write_pair(tmp_path / "other.crt", pair[1])
    with pytest.raises(errors.SettingsError, match="--private-key"):
        certificate.refresh()
    assert await _names(port, second), "what was served is served on"
    third = certificates.write_pair(*pair)
    assert certificate.refresh()
    assert await _names(port, third)
    await listener.close()


def test_the_days_of_a_certificate_are_counted(tmp_path: Path) -> None:
    certificates.write_pair(tmp_path / "crt", tmp_path / "key")
    certificate = load(tmp_path / "crt", tmp_path / "key")
    assert certificate.days(certificates.START) == certificates.DAYS
    assert certificate.days(certificates.START + dt.timedelta(days=certificates.DAYS + 1)) == -1


def test_files_that_hold_no_pair_stop_it_at_once(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match="cannot be used"):
        load(tmp_path / "missing", tmp_path / "missing")
