"""A sidecar and its store: shared counts, a store that goes and comes, and how it gets there."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from mesh7_core.delivery import payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.payloads import Roster
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_sidecar import pod_settings, state
from mesh7_sidecar.pod import Pod
from mesh7_sidecar.redis_access import Keeping
from tests.conftest import Eventually
from tests.operator.exchange.certificates import write_pair
from tests.peers import redis_servers
from tests.sidecar.bundles.delivering import AGENT, NAMESPACE, NOON, Operator, StandingClock
from tests.sidecar.doors.scripted_source import Script, tool
from tests.sidecar.pod import parts
from tests.sidecar.pod.parts import LOOPBACK, policy, reason_of, rule, tool_source
from tests.sidecar.pod.test_access import Answering, answering, exchanging

LOSING = policy(
    "till",
    rule("shop.strict", limits=["strict"]),
    rule("shop.loose", limits=["loose"]),
    rule("shop.shared", limits=["shared"]),
    rule("shop.pay", "RequireApproval", limits=["payments"], approval={"hold": "0s"}),
    limits=(
        {"name": "strict", "per": "Agent", "max": 3, "window": "1h"},
        {"name": "loose", "per": "Agent", "max": 100, "window": "1h", "onStoreLoss": "Allow"},
        {"name": "shared", "per": "Agent", "max": 4, "window": "1h", "onStoreLoss": "Local"},
        {"name": "payments", "per": "Agent", "max": 100, "window": "1h"},
    ),
)
"""What each tool's limit says of a lost store; `pay` is asked about."""
SHOP = [tool(name) for name in ("strict", "loose", "shared", "pay")]


async def each(pod: parts.Pod) -> list[str]:
    """Why `strict`, `loose`, `shared` and `pay` are refused; empty = they are not."""
    names = ("strict", "loose", "shared", "pay")
    return [reason_of(await pod.call(f"shop.{name}")) for name in names]


async def await_store(pod: parts.Pod) -> None:
    """Wait until the store is reached."""

    async def is_there() -> bool:
        return (await pod.readyz()).body.get("store") == ""

    await pod.eventually(is_there)


LOST = ["limit-unavailable", "", "", "approval-unavailable"]


async def test_two_pods_count_together(tmp_path: Path) -> None:
    """Issue 5: limits are shared by all replicas."""
    operator, script = Operator(), Script(tools=SHOP)
    async with parts.sourced(script) as source:
        files = {
            "bundle": operator.bundle(1, LOSING, tool_source("shop", source.url)),
            "overlay": operator.overlay(1),
        }
        with parts.stored(tmp_path / "store") as store:
            given = {"MESH7_REDIS_URL": store.url, **LOOPBACK}
            async with (
                parts.running(tmp_path / "one", operator, given, **files) as one,
                parts.running(
                    tmp_path / "two", operator, {**given, "MESH7_POD_NAME": "support-2"}, **files
                ) as two,
            ):
                for pod in (one, two):
                    await pod.until_ready()
                    await await_store(pod)
                told = [reason_of(await pod.call("shop.strict")) for pod in (one, two) * 2]
                assert told == ["", "", "", "limit-exceeded"]


@pytest.mark.promise("K8")
async def test_a_store_that_goes_and_comes_back(tmp_path: Path) -> None:
    """docs/administrator/delivery.md: each limit does what its `onStoreLoss` says."""
    operator, script = Operator(), Script(tools=SHOP)
    async with parts.sourced(script) as source:
        bundle = parts.rostered(
            operator, 1, Roster(sidecars=2, agents={AGENT.service_account: 2}),
            LOSING, tool_source("shop", source.url),
        )  # fmt: skip
        with redis_servers.running(parts.VALKEY, tmp_path / "store") as server:
            store = parts.Store(server)
            store.load()
            given = {"MESH7_REDIS_URL": store.url, **LOOPBACK}
            async with parts.running(
                tmp_path, operator, given, bundle=bundle, overlay=operator.overlay(1)
            ) as pod:
                await pod.until_ready()
                await await_store(pod)
                assert await each(pod) == ["", "", "", "approval-required"]
                server.kill()

                async def is_lost() -> bool:
                    return (await pod.readyz()).body["store"] != ""

                await pod.eventually(is_lost)
                assert await each(pod) == LOST
                assert await each(pod) == LOST
                # Its share is half of four.
                assert reason_of(await pod.call("shop.shared")) == "limit-exceeded"
                assert (await pod.readyz()).status == 200
                server.start()
                # The functions came with the old one: the controller has not been there yet.
                assert (await each(pod))[0] == "limit-unavailable"
                store.load()
                await pod.eventually(lambda: _is_told(pod, "shop.loose", ""))
                # Emptied: for one length of its window a count is not known.
                assert (await each(pod))[:2] == ["limit-unavailable", ""]


async def _is_told(pod: parts.Pod, name: str, reason: str) -> bool:
    return reason_of(await pod.call(name)) == reason


async def test_without_a_store_limits_say_what_that_means(tmp_path: Path) -> None:
    """docs/administrator/redis.md, `none`."""
    operator = Operator()
    async with parts.sourced(Script(tools=SHOP)) as source:
        files = {
            "bundle": operator.bundle(1, LOSING, tool_source("shop", source.url)),
            "overlay": operator.overlay(1),
        }
        async with parts.running(tmp_path, operator, LOOPBACK, **files) as pod:
            await pod.until_ready()
            # No roster, no share.
            lost = ["limit-unavailable", "", "limit-unavailable", "approval-unavailable"]
            assert await each(pod) == lost


async def test_a_wrong_password_is_a_lost_store_and_told(tmp_path: Path) -> None:
    operator, password = Operator(), tmp_path / "password"
    password.write_text("wrong-horse")
    async with parts.sourced(Script(tools=SHOP)) as source:
        files = {
            "bundle": operator.bundle(1, LOSING, tool_source("shop", source.url)),
            "overlay": operator.overlay(1),
        }
        with parts.stored(tmp_path / "store") as store:
            store.server.tell("CONFIG", "SET", "requirepass", "correct-horse")
            given = {
                "MESH7_REDIS_URL": store.url, "MESH7_REDIS_PASSWORD_FILE": str(password),
                **LOOPBACK,
            }  # fmt: skip
            async with parts.running(tmp_path, operator, given, **files) as pod:
                await pod.until_ready()

                async def is_refused() -> bool:
                    return "password" in str((await pod.readyz()).body["store"])

                await pod.eventually(is_refused)
                assert (await each(pod))[:2] == ["limit-unavailable", ""]
                assert "wrong-horse" not in pod.log


async def test_a_store_that_is_away_at_the_start_is_used_once_it_is_there(tmp_path: Path) -> None:
    operator = Operator()
    server = redis_servers.Server(parts.VALKEY, tmp_path / "store")
    store = parts.Store(server)
    files = {"bundle": operator.bundle(1, parts.API), "overlay": operator.overlay(1)}
    async with parts.running(tmp_path, operator, {"MESH7_REDIS_URL": store.url}, **files) as pod:
        await pod.until_ready()
        server.start()
        try:
            store.load()
            store.deliver(Kind.BUNDLE, 2, operator.bundle(2, parts.API))

            async def is_taken() -> bool:
                return (await pod.readyz()).body.get("bundle") == 2

            await pod.eventually(is_taken)
            await pod.eventually(lambda: _has_report(store))
        finally:
            server.kill()


async def _has_report(store: parts.Store) -> bool:
    """The report names what is obeyed, and by which way it came."""
    found = store.reports().get("uid-1")
    return found is not None and (found["bundle"], found["origin"]) == (2, "redis")


async def test_credentials_come_from_the_exchange(tmp_path: Path) -> None:
    """From the token in a file to a call that is counted."""
    operator = Operator()
    with parts.stored(tmp_path / "store") as store:
        store.server.tell(
            "ACL", "SETUSER", "m7-shop-7", "on", ">hand-out", f"~m7:{{{NAMESPACE}}}:*",
            f"%R~m7b:{{{NAMESPACE}}}:*", f"&m7:{{{NAMESPACE}}}:*", f"&m7b:{{{NAMESPACE}}}:*",
            "+@all", "-@admin",
        )  # fmt: skip
        answer = answering(
            ("url", f"{store.url}/0"), ("username", "m7-shop-7"), ("password", "hand-out"),
            ("renewAt", "2036-11-21T12:00:00Z"),
        )  # fmt: skip
        async with (
            parts.sourced(Script(tools=SHOP)) as source,
            exchanging(tmp_path, answer) as served,
        ):
            exchange = {
                "MESH7_EXCHANGE_URL": served.url,
                "MESH7_EXCHANGE_AUTHORITIES": (tmp_path / "cert.pem").read_text(),
                "MESH7_TOKEN_FILE": str(tmp_path / "token"), **LOOPBACK,
            }  # fmt: skip
            files = {
                "bundle": operator.bundle(1, LOSING, tool_source("shop", source.url)),
                "overlay": operator.overlay(1),
            }
            async with parts.running(tmp_path, operator, exchange, **files) as pod:
                await pod.until_ready()
                await await_store(pod)
                assert reason_of(await pod.call("shop.strict")) == ""
                assert served.tokens == ["Bearer e.y.J"]
                assert "hand-out" not in pod.log


@pytest.mark.promise("K7")
async def test_a_pod_learns_of_another_authority_of_the_exchange_while_it_runs(
    tmp_path: Path,
) -> None:
    """docs/administrator/certificates.md: by its bundle, and without a restart."""
    operator, overlay = Operator(), {"overlay": Operator().overlay(1)}
    (tmp_path / "old").mkdir()
    of_the_pod = write_pair(tmp_path / "old" / "cert.pem", tmp_path / "old" / "key.pem")
    async with exchanging(tmp_path, answering()) as served:
        exchange = {
            **LOOPBACK,
            "MESH7_EXCHANGE_URL": served.url,
            "MESH7_EXCHANGE_AUTHORITIES": of_the_pod,
            "MESH7_TOKEN_FILE": str(tmp_path / "token"),
        }
        first = operator.bundle(1, parts.API)
        async with parts.running(tmp_path, operator, exchange, bundle=first, **overlay) as pod:
            await pod.until_ready()

            async def is_refused() -> bool:
                return "the exchange cannot be trusted over TLS" in pod.log

            await pod.eventually(is_refused)
            content = payloads.BundleContent(
                namespace=NAMESPACE,
                labels={},
                documents=(payloads.document_of(parts.API),),
                authorities=served.settings.authorities,
            )
            newer = operator.seal(Kind.BUNDLE, 2, payloads.write_bundle(content))
            pod.config_map.write(bundle=newer, **overlay)

            async def is_asked() -> bool:
                return served.tokens == ["Bearer e.y.J"]

            await pod.eventually(is_asked)


async def test_an_exchange_that_is_away_keeps_no_pod_from_starting(tmp_path: Path) -> None:
    """docs/administrator/how-it-works.md: new pods start with the ConfigMap."""
    operator = Operator()
    (tmp_path / "token").write_text("e.y.J")
    write_pair(tmp_path / "cert.pem", tmp_path / "key.pem")
    exchange = {
        **LOOPBACK,
        "MESH7_EXCHANGE_URL": "https://127.0.0.1:1",
        "MESH7_EXCHANGE_AUTHORITIES": (tmp_path / "cert.pem").read_text(),
        "MESH7_TOKEN_FILE": str(tmp_path / "token"),
    }  # fmt: skip
    files = {"bundle": operator.bundle(1, parts.API), "overlay": operator.overlay(1)}
    async with parts.running(tmp_path, operator, exchange, **files) as pod:
        await pod.until_ready()
        assert (await pod.readyz()).body["store"] == "no credentials for it yet"
        assert "no Redis credentials: " in pod.log
        assert await pod.end() == 0


async def in_process(
    folder: Path, operator: Operator, environment: dict[str, str], **files: bytes
) -> Pod:
    """A pod that runs in this process, so that it can be told what the exchange would tell it."""
    started = parts.Pod(folder, operator, environment)
    await started.close()
    if files:
        started.config_map.write(**files)
    settings = pod_settings.read(started.environment)
    held = state.hold(settings.state, "test", NOON)
    assert isinstance(held, state.Held)
    return Pod(settings, held, StandingClock().clock)


async def test_another_server_that_the_exchange_names_is_gone_over_to(
    tmp_path: Path, eventually: Eventually
) -> None:
    """What the exchange answers may change: a store is moved, and its counts begin anew."""
    operator = Operator()
    with parts.stored(tmp_path / "one") as one, parts.stored(tmp_path / "two") as two:
        one.deliver(Kind.BUNDLE, 1, operator.bundle(1, parts.API))
        one.deliver(Kind.OVERLAY, 1, operator.overlay(1))
        two.deliver(Kind.BUNDLE, 2, operator.bundle(2, parts.API))
        pod = await in_process(tmp_path, operator, {"MESH7_REDIS_URL": one.url})
        try:
            await pod.start()
            assert pod.ready()[1]["bundle"] == 1
            pod.use(RedisServer(host="127.0.0.1", port=two.server.port))
            await eventually(lambda: pod.ready()[1]["bundle"] == 2)
        finally:
            await pod.close()


def _redis(ca: str, port: int) -> Answering:
    url = ("url", f"rediss://127.0.0.1:{port}/0")
    return answering(url, ("username", "default"), ("password", "any"), ("ca", ca))


@pytest.mark.promise("K7")
async def test_a_redis_whose_authority_has_gone_is_trusted_again_by_asking_the_exchange(
    tmp_path: Path, eventually: Eventually
) -> None:
    """docs/administrator/redis.md, The embedded one: who vouches for it comes with credentials."""
    operator, folder = Operator(), tmp_path / "redis"
    folder.mkdir()
    paths = folder / "cert.pem", folder / "key.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    looks = asyncio.Semaphore(0)

    async def until_looked(_: float) -> None:
        await looks.acquire()

    async with contextlib.AsyncExitStack() as stack:
        one = stack.enter_context(parts.stored(tmp_path / "one"))
        before = write_pair(*paths)
        context.load_cert_chain(*paths)
        proxy = await stack.enter_async_context(
            redis_servers.proxying(one.server.port, tls=context)
        )
        served = await stack.enter_async_context(exchanging(tmp_path, _redis(before, proxy.port)))
        files = {"bundle": operator.bundle(1, parts.API), "overlay": operator.overlay(1)}
        pod = await in_process(tmp_path, operator, {}, **files)
        stack.push_async_callback(pod.close)
        keeping = Keeping(served.exchange, pod, lambda: NOON, until_looked)
        await pod.start()
        asking = asyncio.create_task(keeping.keep())
        stack.callback(asking.cancel)
        await eventually(lambda: pod.ready()[1]["store"] == "")
        # The server begins anew with a certificate of an authority that was not known before.
        served.answer = _redis(write_pair(*paths), proxy.port)
        context.load_cert_chain(*paths)
        proxy.cut()
        await eventually(lambda: "certificate cannot be trusted" in str(pod.ready()[1]["store"]))
        assert len(served.tokens) == 1
        for _ in range(2):
            looks.release()
        await eventually(lambda: pod.ready()[1]["store"] == "")
        assert len(served.tokens) == 2
