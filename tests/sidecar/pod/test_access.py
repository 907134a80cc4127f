"""Tokens for credentials: what an exchange may answer, and when it is asked again."""

import asyncio
import contextlib
import logging
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from mesh7_core.delivery import authorities
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_sidecar import redis_access
from mesh7_sidecar.net.origin import EVERYWHERE, IN_CLUSTER
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.pod_settings import ExchangeSettings
from mesh7_sidecar.redis_access import Access, Exchange, ExchangeError, Keeping
from tests.operator.exchange.certificates import write_pair

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "not-to-be-seen"  # noqa: S105 - of a test
ANSWER: dict[str, object] = {
    "url": "rediss://redis.internal:6380/0",
    "username": "m7-shop-82000",
    "password": SECRET,
    "expiresAt": "2026-11-22T00:00:00Z",
    "renewAt": "2026-11-21T19:30:00Z",
}
SERVER = RedisServer(
    host="redis.internal", port=6380, user="m7-shop-82000", password=SECRET, is_tls=True
)
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Exchanging:
    """An exchange that answers as scripted, over TLS.

    Attributes:
        tokens: what it was asked with.
    """

    folder: Path
    answer: Answering
    url: str = ""
    tokens: list[str] = field(default_factory=list)

    @property
    def settings(self) -> ExchangeSettings:
        return ExchangeSettings(
            url=self.url,
            authorities=authorities.read((self.folder / "cert.pem").read_text()),
            token=self.folder / "token",
        )

    @property
    def exchange(self) -> Exchange:
        """What a sidecar asks it with."""
        return Exchange(self.settings, self.folder, Sweep(), rule=EVERYWHERE)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        assert (request.method, request.path) == ("POST", "/v1/redis-credentials")
        assert await request.read() == b""
        self.tokens.append(request.headers["Authorization"])
        return await self.answer(request)


def answering(*more: tuple[str, object], status: int = 200, **headers: str) -> Answering:
    """Always the same answer."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({**ANSWER, **dict(more)}, status=status, headers=named)

    return answer


def raw(body: bytes, status: int = 200) -> Answering:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status)

    return answer


@contextlib.asynccontextmanager
async def exchanging(folder: Path, answer: Answering) -> AsyncIterator[Exchanging]:
    """An exchange with a certificate of its own, and a token to ask it with."""
    write_pair(folder / "cert.pem", folder / "key.pem")
    (folder / "token").write_text("e.y.J\n")
    served = Exchanging(folder, answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.serve)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    served.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


@pytest.mark.promise("K14")
async def test_a_token_is_exchanged_for_credentials(tmp_path: Path) -> None:
    """docs/reference/exchange-api.md."""
    async with exchanging(tmp_path, answering()) as served:
        assert await served.exchange.ask() == Access(
            server=SERVER, renew_at=datetime(2026, 11, 21, 19, 30, tzinfo=UTC)
        )


async def test_the_token_is_read_anew_each_time(tmp_path: Path) -> None:
    """The kubelet exchanges the token's file every hour."""
    async with exchanging(tmp_path, answering()) as served:
        exchange = served.exchange
        await exchange.ask()
        (tmp_path / "token").write_text("n.e.w")
        await exchange.ask()
        assert served.tokens == ["Bearer e.y.J", "Bearer n.e.w"]


@pytest.mark.promise("K7")
async def test_authorities_of_a_bundle_are_trusted_beside_the_pods_own(tmp_path: Path) -> None:
    """docs/administrator/certificates.md: a pod outlives a rotation, without a restart."""
    async with exchanging(tmp_path, answering()) as served:
        (now,) = served.settings.authorities
        write_pair(tmp_path / "cert.pem", tmp_path / "key2.pem")
        (of_the_pod,) = served.settings.authorities
        of_the_bundle: list[str] = []
        exchange = Exchange(
            served.settings, tmp_path, Sweep(), lambda: tuple(of_the_bundle), rule=EVERYWHERE
        )
        with pytest.raises(ExchangeError, match="TLS"):
            await exchange.ask()
        of_the_bundle += ["-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n", now]
        await exchange.ask()
        # One that is both is no trouble.
        of_the_bundle.append(of_the_pod)
        await exchange.ask()
        assert len(served.tokens) == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"a\r\nx: y", b"\xff", b"x" * 20_000])
async def test_what_is_no_token_is_not_sent(tmp_path: Path, content: bytes) -> None:
    async with exchanging(tmp_path, answering()) as served:
        (tmp_path / "token").write_bytes(content)
        with pytest.raises(ExchangeError, match="holds no token"):
            await served.exchange.ask()
        assert served.tokens == []


async def test_a_token_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    async with exchanging(tmp_path, answering()) as served:
        (tmp_path / "token").unlink()
        with pytest.raises(ExchangeError, match="token` cannot be read: No such file"):
            await served.exchange.ask()
        (tmp_path / "token").write_text("e.y.J")
        wrong = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"
        (tmp_path / "cert.pem").write_text(wrong)
        with pytest.raises(ExchangeError, match="none of the exchange's authorities is"):
            await served.exchange.ask()


@pytest.mark.parametrize(
    ("status", "retry_after", "wanted_s"),
    [
        (401, None, 0), (403, None, 0), (404, None, 0), (429, "30", 30), (503, "5", 5),
        (429, "soon", 0), (429, "99999", 3600), (429, "-1", 0), (500, None, 0), (301, None, 0),
    ],
)  # fmt: skip
async def test_a_refusal_says_why_and_when_to_come_again(
    tmp_path: Path, status: int, retry_after: str | None, wanted_s: float
) -> None:
    headers = {} if retry_after is None else {"Retry_After": retry_after}
    answer = answering(("detail", "this pod asks too often"), status=status, **headers)
    async with exchanging(tmp_path, answer) as served:
        with pytest.raises(ExchangeError) as refused:
            await served.exchange.ask()
        assert refused.value.message == (
            f"the exchange refuses with {status}: this pod asks too often"
        )
        assert refused.value.retry_after_s == wanted_s


HOSTILE: dict[str, tuple[tuple[str, object], ...]] = {
    "a password in the URL": (("url", "redis://:x@redis"),),
    "a user in the URL": (("url", "redis://admin@redis"),),
    "another scheme": (("url", "http://redis"),),
    "a socket": (("url", "unix:///run/redis"),),
    "no host": (("url", "redis://"),),
    "a query": (("url", "redis://redis/0?x=1"),),
    "a blank in the URL": (("url", "redis://re dis"),),
    "a newline in the user": (("username", "m7\r\nCONFIG"),),
    "an empty user": (("username", ""),),
    "no text as password": (("password", None),),
    "a number as password": (("password", 7),),
    "an endless password": (("password", "x" * 2000),),
    "a newline in the password": (("password", "x\n"),),
    "half a character": (("password", "\ud800"),),
    "no time": (("renewAt", "tomorrow"),),
    "a time without offset": (("renewAt", "2026-11-21T19:30:00"),),
    "a number as time": (("renewAt", 5),),
    "no certificate": (("ca", "hello"),),
    "half a certificate": (("ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),),
    "half a character as certificate": (("ca", "\ud800"),),
    "a list as certificate": (("ca", ["x"]),),
    "a certificate without TLS": (("url", "redis://redis"), ("ca", "CERT")),
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_hostile_answer_is_refused_and_writes_nothing(tmp_path: Path, hostile: str) -> None:
    """Whatever is answered goes to no server but one that it names in the one way."""
    async with exchanging(tmp_path, answering()) as served:
        certificate = (tmp_path / "cert.pem").read_text()
        more = [(key, certificate if of == "CERT" else of) for key, of in HOSTILE[hostile]]
        served.answer = answering(*more)
        with pytest.raises(ExchangeError, match=r"^the exchange ") as refused:
            await served.exchange.ask()
        assert SECRET not in refused.value.message
        assert not (tmp_path / redis_access.CA_FILE).exists()


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"[" * 50_000, b'{"url":', b"1" * 5_000],
)
async def test_what_is_no_answer_is_refused(tmp_path: Path, body: bytes) -> None:
    async with exchanging(tmp_path, raw(body)) as served:
        with pytest.raises(ExchangeError, match="something else than credentials"):
            await served.exchange.ask()
        served.answer = raw(body, status=500)
        with pytest.raises(ExchangeError, match="refuses with 500: it says no reason"):
            await served.exchange.ask()


async def test_an_endless_answer_is_refused(tmp_path: Path) -> None:
    async with exchanging(tmp_path, raw(b"x" * (redis_access.MAXIMUM_BYTES + 1))) as served:
        with pytest.raises(ExchangeError, match="more than"):
            await served.exchange.ask()


async def test_an_answer_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """A call of ours is cancelled with the sidecar, and leaves no connection."""
    begun = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        begun.set()
        await asyncio.Event().wait()
        return web.Response()

    async with exchanging(tmp_path, never) as served:
        asking = asyncio.create_task(served.exchange.ask())
        await asyncio.wait_for(begun.wait(), 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_nobody_there_is_an_error_with_its_reason(tmp_path: Path) -> None:
    async with exchanging(tmp_path, answering()) as served:
        settings = served.settings
    with pytest.raises(ExchangeError, match=r"^the exchange "):
        await Exchange(settings, tmp_path, Sweep(), rule=EVERYWHERE).ask()


@pytest.mark.promise("K15")
async def test_a_false_exchange_on_loopback_is_told_no_token(tmp_path: Path) -> None:
    """Attack: `hostAliases` lead its name to the agent, with a certificate that the pod trusts."""
    async with exchanging(tmp_path, answering()) as served:
        exchange = Exchange(served.settings, tmp_path, Sweep(), rule=IN_CLUSTER)
        with pytest.raises(ExchangeError, match=r"^the exchange "):
            await exchange.ask()
        assert served.tokens == []


async def test_another_authority_is_not_believed(tmp_path: Path) -> None:
    async with exchanging(tmp_path, answering()) as served:
        write_pair(tmp_path / "cert.pem", tmp_path / "key2.pem")
        with pytest.raises(ExchangeError, match="TLS"):
            await served.exchange.ask()
        assert served.tokens == []


async def test_authorities_of_the_store_are_written_down_for_us_alone(tmp_path: Path) -> None:
    async with exchanging(tmp_path, answering()) as served:
        pem = (tmp_path / "cert.pem").read_text()
        served.answer = answering(("ca", pem))
        path = tmp_path / redis_access.CA_FILE
        # A link that lies there is not followed, and a file that others may read is not written to.
        (tmp_path / "redis-ca.new").symlink_to(tmp_path / "elsewhere")
        path.write_text("old")
        path.chmod(0o644)
        found = await served.exchange.ask()
        assert found.server.ca_file == str(path)
        assert path.read_text() == pem
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not (tmp_path / "elsewhere").exists()
        assert not (tmp_path / "redis-ca.new").exists()


async def test_a_state_folder_that_takes_nothing_is_told_and_not_the_end(tmp_path: Path) -> None:
    async with exchanging(tmp_path, answering()) as served:
        served.answer = answering(("ca", (tmp_path / "cert.pem").read_text()))
        exchange = Exchange(served.settings, tmp_path / "nowhere", Sweep(), rule=EVERYWHERE)
        with pytest.raises(ExchangeError, match="cannot be written"):
            await exchange.ask()


async def test_no_repr_shows_a_password(tmp_path: Path) -> None:
    async with exchanging(tmp_path, answering()) as served:
        assert SECRET not in repr(await served.exchange.ask())


class Scripted:
    """An exchange, a store and a clock; time passes by sleeping alone.

    Attributes:
        asked_at: seconds since the start of each question.
        used: what the store was told to be, in order.
    """

    def __init__(self, *answers: Access | ExchangeError, sleeps: int = 1_000) -> None:
        self.away = False
        self.asked_at: list[float] = []
        self.slept: list[float] = []
        self.used: list[RedisServer] = []
        self._answers = list(answers)
        self._left = sleeps

    async def ask(self) -> Access:
        self.asked_at.append(sum(self.slept))
        if not self._answers:
            raise asyncio.CancelledError
        answer = self._answers.pop(0)
        if isinstance(answer, ExchangeError):
            raise answer
        return answer

    def use(self, server: RedisServer) -> None:
        self.used.append(server)

    def is_away(self) -> bool:
        return self.away

    def now(self) -> datetime:
        return NOON + timedelta(seconds=sum(self.slept))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._left -= 1
        if not self._left:
            raise asyncio.CancelledError

    async def keep(self) -> None:
        """Keep the store in credentials until the answers are used up."""
        with contextlib.suppress(asyncio.CancelledError):
            await Keeping(self, self, self.now, self.sleep).keep()


def access(user: str, renew_in: timedelta, host: str = "redis") -> Access:
    server = RedisServer(host=host, user=user, password=SECRET)
    return Access(server=server, renew_at=NOON + renew_in)


async def test_credentials_are_renewed_when_the_exchange_says() -> None:
    one = access("m7-shop-1", timedelta(hours=7))
    two = access("m7-shop-2", timedelta(hours=13), host="other")
    scripted = Scripted(one, two, sleeps=5_000)
    await scripted.keep()
    assert scripted.used == [one.server, two.server]
    assert scripted.asked_at[0] == 0
    assert 0 <= scripted.asked_at[1] - 7 * 3600 <= 36
    assert 0 <= scripted.asked_at[2] - 13 * 3600 <= 36


@pytest.mark.parametrize("ago", [timedelta(hours=-9), timedelta(), timedelta(seconds=10)])
async def test_a_wrong_clock_does_not_flood_the_exchange(ago: timedelta) -> None:
    """Issue 5, faults: clock skew."""
    scripted = Scripted(*(access("m7-shop-1", ago) for _ in range(3)))
    await scripted.keep()
    gaps = [
        later - one for one, later in zip(scripted.asked_at, scripted.asked_at[1:], strict=False)
    ]
    assert all(60 <= gap <= 100 for gap in gaps)


async def test_no_credential_is_kept_for_ever() -> None:
    scripted = Scripted(access("m7-shop-1", timedelta(days=5_000)), sleeps=5_000)
    await scripted.keep()
    assert 12 * 3600 <= scripted.asked_at[1] <= 12 * 3600 + 36


async def test_an_exchange_that_is_away_is_asked_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line for one reason, however often; the store is left alone."""
    caplog.set_level(logging.INFO, "mesh7.exchange")
    failures = [ExchangeError("the exchange refuses") for _ in range(9)]
    scripted = Scripted(*failures, access("m7-shop-1", timedelta(hours=7)), sleeps=11)
    await scripted.keep()
    wanted = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(
        one <= slept <= one * 1.2 for one, slept in zip(wanted, scripted.slept, strict=False)
    )
    assert [record.message for record in caplog.records] == [
        "no Redis credentials: the exchange refuses – it is tried again",
        "the exchange hands out Redis credentials again",
    ]
    assert len(scripted.used) == 1


async def test_what_the_exchange_asks_for_is_waited() -> None:
    scripted = Scripted(ExchangeError("too often", 30.0), ExchangeError("too often", 0.5))
    await scripted.keep()
    assert 30 <= scripted.slept[0] <= 36
    assert 2 <= scripted.slept[1] <= 2.4


async def test_a_store_that_stays_away_is_asked_for_anew() -> None:
    """A master secret that was rotated, users that were lost, another server that leads."""
    scripted = Scripted(*(access("m7-shop-1", timedelta(hours=7)) for _ in range(6)))
    scripted.away = True
    await scripted.keep()
    gaps = [
        later - one for one, later in zip(scripted.asked_at, scripted.asked_at[1:], strict=False)
    ]
    looks = [2, 3, 5, 9, 17]
    assert all(24 * many <= gap <= 36 * many for many, gap in zip(looks, gaps, strict=False))


def test_the_page_says_what_is_asked_and_answered() -> None:
    """docs/reference/exchange-api.md."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "exchange-api.md").read_text()
    assert redis_access.PATH in page
    assert all(f"`{name}`" in page or f'"{name}"' in page for name in [*ANSWER, "ca"])
