"""The ladder: who gets credentials, who does not, and what it costs the API server."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import prometheus_client
import pytest

from mesh7_core import errors
from mesh7_operator import settings
from mesh7_operator.exchange import asking, handing
from mesh7_operator.exchange.handing import Handed
from mesh7_operator.exchange.issuer import Issuer
from mesh7_operator.exchange.measuring import ExchangeMetrics
from mesh7_operator.exchange.service import Denied, Parts, Service
from mesh7_operator.exchange.tokens import Refusal
from mesh7_operator.store import passwords
from tests.operator.exchange.issuing import CLAIMS, FakeCluster, Time, rsa_key, token_of

MASTER = b"a master secret of thirty-two bytes"
REVIEW = "TokenReview"


class Exchange:
    """A service on a cluster of our own."""

    def __init__(
        self, folder: Path, mode: settings.RedisMode = settings.RedisMode.MANAGED, url: str = ""
    ) -> None:
        self.cluster, self.time = FakeCluster(), Time()
        self.master, self.password = folder / "master", folder / "password"
        self.master.write_bytes(MASTER)
        self.password.write_text("given-secret\n")
        self.registry = prometheus_client.CollectorRegistry()
        redis = settings.RedisSettings(
            url=url or "redis://redis.example:6379",
            nodes=(),
            password_file=self.password,
            mode=mode,
        )
        clock = self.time.clock
        self.parts = Parts(
            issuer=Issuer(self.cluster.fetch, clock.monotonic_s),
            api=self.cluster,
            enrolment=asking.Enrolment(self.cluster, "mesh7-system", clock.monotonic_s),
            hands=None if mode is settings.RedisMode.NONE else handing.hands_of(redis, self.master),
            clock=clock,
            metrics=ExchangeMetrics(self.registry),
        )
        self.service = Service(self.parts)

    async def asks(self, token: str | None = None, source: str = "10.0.0.1") -> Handed | Refusal:
        found = await self.service.exchange(token_of() if token is None else token, source)
        return found.refused.refusal if isinstance(found, Denied) else found

    async def denied(self, token: str, source: str = "10.0.0.1") -> Denied:
        found = await self.service.exchange(token, source)
        assert isinstance(found, Denied)
        return found

    def counted(self, outcome: str) -> float:
        found = self.registry.get_sample_value(
            "mesh7_exchange_requests_total", {"outcome": outcome}
        )
        return found or 0.0


@pytest.mark.promise("K14")
async def test_a_pod_gets_the_credentials_of_its_namespace(tmp_path: Path) -> None:
    """Design 8: verified, reviewed, handed out; what the controller has made a user of."""
    exchange = Exchange(tmp_path)
    handed = await exchange.asks()
    assert handed == Handed(
        url="redis://redis.example:6379/0",
        credential=passwords.credential(MASTER, "shop", "uid-1", exchange.time.now()),
    )
    assert isinstance(handed, Handed)
    assert handed.document() == {
        "url": "redis://redis.example:6379/0",
        "username": handed.credential.user,
        "password": handed.credential.password,
        "expiresAt": "2026-11-21T18:00:00Z",
        "renewAt": handed.credential.renew_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert exchange.counted("handed") == 1
    assert handed.credential.password not in repr(handed)


@pytest.mark.promise("K14")
async def test_a_flood_of_bad_tokens_costs_no_review(tmp_path: Path) -> None:
    """Issue 5: JWKS check before TokenReview."""
    exchange = Exchange(tmp_path)
    bad = [
        token_of(key=rsa_key("another")),
        token_of(kid="unknown"),
        token_of(changed={"exp": 1}),
        token_of(changed={"aud": ["api"]}),
        "rubbish",
    ]
    for number in range(2000):
        await exchange.asks(bad[number % 5], f"10.0.{number // 20}.1")
    assert exchange.cluster.count(REVIEW) == 0
    assert len(exchange.cluster.asked) == 2, "the keys, once"


@pytest.mark.promise("K14")
async def test_a_pod_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    """Issue 5: per pod uid, 1 per 10 s, burst 5, before the review."""
    exchange = Exchange(tmp_path)
    found = [await exchange.service.exchange(token_of(), f"10.0.0.{number}") for number in range(7)]
    assert [isinstance(one, Handed) for one in found] == [True] * 5 + [False] * 2
    last = found[-1]
    assert isinstance(last, Denied)
    assert (last.status, last.refused.refusal, last.retry_after_s) == (429, Refusal.TOO_OFTEN, 10)
    assert exchange.cluster.count(REVIEW) == 5
    exchange.time.pass_(10)
    assert isinstance(await exchange.asks(), Handed)


async def test_another_pod_is_not_kept_waiting_by_it(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    other = replace(CLAIMS, uid="uid-2", pod="web-2")
    exchange.cluster.pods[other.uid] = other
    for _ in range(7):
        await exchange.asks()
    assert isinstance(await exchange.asks(token_of(other)), Handed)


async def test_an_address_that_asks_too_often_is_not_even_verified(tmp_path: Path) -> None:
    """Issue 5: per source address before any signature check."""
    exchange = Exchange(tmp_path)
    for _ in range(50):
        assert await exchange.asks("rubbish", "10.0.0.9") is Refusal.MALFORMED
    found = await exchange.denied(token_of(), "10.0.0.9")
    assert (found.status, found.retry_after_s) == (429, 1)
    assert isinstance(await exchange.asks(source="10.0.0.8"), Handed)


@pytest.mark.promise("K14")
async def test_a_pod_that_was_deleted_gets_nothing(tmp_path: Path) -> None:
    """Its token is signed and in time; only the API server knows."""
    exchange = Exchange(tmp_path)
    del exchange.cluster.pods[CLAIMS.uid]
    found = await exchange.denied(token_of())
    assert (found.status, found.refused.refusal) == (401, Refusal.REVOKED)


@pytest.mark.promise("K14")
@pytest.mark.parametrize(
    "other",
    [
        replace(CLAIMS, uid="uid-9"), replace(CLAIMS, pod="web-9"),
        replace(CLAIMS, namespace="bank"), replace(CLAIMS, account="admin"),
    ],
)  # fmt: skip
async def test_a_review_of_somebody_else_confirms_nothing(tmp_path: Path, other: object) -> None:
    exchange = Exchange(tmp_path)
    assert isinstance(other, type(CLAIMS))
    exchange.cluster.pods[CLAIMS.uid] = other
    assert await exchange.asks() is Refusal.REVOKED


async def test_a_review_that_knows_no_audiences_confirms_nothing(tmp_path: Path) -> None:
    """An authenticator that ignores audiences leaves the list out."""
    exchange = Exchange(tmp_path)
    exchange.cluster.audiences = ()
    assert await exchange.asks() is Refusal.REVOKED


@pytest.mark.promise("K14")
@pytest.mark.parametrize(
    "labels", [{}, {"mesh7.dev/injection": "disabled"}, {"mesh7.dev/injection": "Enabled"}]
)
async def test_a_namespace_that_is_not_enrolled_gets_nothing(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    exchange = Exchange(tmp_path)
    exchange.cluster.labels["shop"] = labels
    found = await exchange.denied(token_of())
    assert found.status == 403
    assert found.refused.detail == (
        "the namespace `shop` is not enrolled; it needs the label `mesh7.dev/injection`"
    )


async def test_a_namespace_that_is_gone_and_the_release_namespace_get_nothing(
    tmp_path: Path,
) -> None:
    exchange = Exchange(tmp_path)
    system = replace(CLAIMS, namespace="mesh7-system", uid="uid-3")
    exchange.cluster.pods[system.uid] = system
    exchange.cluster.labels = {"mesh7-system": {"mesh7.dev/injection": "enabled"}}
    assert await exchange.asks(token_of(system)) is Refusal.NOT_ENROLLED
    assert await exchange.asks() is Refusal.NOT_ENROLLED


async def test_enrolment_is_remembered_for_ten_seconds(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    await exchange.asks()
    exchange.cluster.labels["shop"] = {}
    exchange.time.pass_(9)
    assert isinstance(await exchange.asks(), Handed)
    exchange.time.pass_(1)
    assert await exchange.asks() is Refusal.NOT_ENROLLED
    assert exchange.cluster.count("Namespace shop") == 2


@pytest.mark.promise("K8")
async def test_without_the_api_server_nobody_gets_credentials_on_a_guess(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    exchange.cluster.is_down = True
    found = await exchange.denied(token_of())
    assert (found.status, found.refused.refusal, found.retry_after_s) == (
        503, Refusal.UNAVAILABLE, 5,
    )  # fmt: skip
    exchange.cluster.is_down = False
    exchange.time.pass_(10)
    assert isinstance(await exchange.asks(), Handed)
    exchange.cluster.is_down = True
    assert await exchange.asks() is Refusal.UNAVAILABLE
    assert exchange.counted("unavailable") == 2


@pytest.mark.parametrize("content", [None, b"", b"short"])
async def test_without_its_master_secret_it_hands_out_nothing(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The Secret is not made yet, or not ours."""
    exchange = Exchange(tmp_path)
    exchange.master.unlink()
    if content is not None:
        exchange.master.write_bytes(content)
    assert await exchange.asks() is Refusal.UNAVAILABLE
    (record,) = [one for one in caplog.records if one.name.endswith("service")]
    assert "--redis-master-file" in str(vars(record)["error"])
    exchange.master.write_bytes(MASTER)
    assert isinstance(await exchange.asks(), Handed), "it is read again"


async def test_the_next_generation_follows_by_the_clock(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    users = set()
    for _ in range(3):
        token = token_of(changed={"exp": int(exchange.time.now().timestamp()) + 60})
        handed = await exchange.asks(token)
        assert isinstance(handed, Handed)
        users.add(handed.credential.user)
        exchange.time.pass_(6 * 3600)
    assert len(users) == 3


async def test_the_given_credential_is_handed_to_every_namespace(tmp_path: Path) -> None:
    """Mode `given`, documented as weaker: the same for all, but only for enrolled pods."""
    exchange = Exchange(tmp_path, settings.RedisMode.GIVEN, "rediss://shared@redis.example:6380/2")
    bank = replace(CLAIMS, namespace="bank", uid="uid-4")
    exchange.cluster.pods[bank.uid] = bank
    exchange.cluster.labels["bank"] = {"mesh7.dev/injection": "on-request"}
    found = [await exchange.asks(), await exchange.asks(token_of(bank))]
    now = exchange.time.now()
    for handed in found:
        assert isinstance(handed, Handed)
        assert handed.url == "rediss://redis.example:6380/2"
        assert (handed.credential.user, handed.credential.password) == ("shared", "given-secret")
        assert handed.credential.expires_at == now + timedelta(hours=12)
        assert timedelta(hours=6) <= handed.credential.renew_at - now <= timedelta(hours=9)
    exchange.cluster.labels["bank"] = {}
    exchange.time.pass_(10)
    assert await exchange.asks(token_of(bank)) is Refusal.NOT_ENROLLED


async def test_without_redis_it_says_that_there_is_none(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, settings.RedisMode.NONE)
    found = await exchange.denied(token_of())
    assert found.status == 404
    assert found.refused.detail == (
        "this mesh7 has no Redis (--redis-mode none); nobody needs credentials"
    )
    assert exchange.cluster.asked == []


async def test_the_authorities_of_the_redis_are_handed_out_as_they_lie_there(
    tmp_path: Path,
) -> None:
    authorities = tmp_path / "ca.pem"
    redis = settings.RedisSettings(
        url="rediss://[::1]:6379", nodes=(), ca=authorities, mode=settings.RedisMode.MANAGED
    )
    (tmp_path / "master").write_bytes(MASTER)
    hands = handing.hands_of(redis, tmp_path / "master")
    with pytest.raises(errors.SettingsError, match="--redis-ca"):
        hands.hand(CLAIMS, Time().now())
    authorities.write_text("PEM")
    handed = hands.hand(CLAIMS, Time().now())
    assert (handed.url, handed.document()["ca"]) == ("rediss://[::1]:6379/0", "PEM")


def test_the_managed_mode_needs_its_master_secret() -> None:
    redis = settings.RedisSettings(url="redis://redis.example", nodes=())
    with pytest.raises(errors.SettingsError, match="--redis-master-file: is missing"):
        handing.hands_of(redis, None)
