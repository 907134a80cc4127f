"""What a sidecar in a pod dials and what it sends there; and what it weighs."""

import logging
import os
import socket
from pathlib import Path

import pytest

from tests.sidecar.bundles.delivering import Operator
from tests.sidecar.doors.scripted_source import Script, ScriptedSource, tool
from tests.sidecar.pod import parts
from tests.sidecar.pod.parts import HERE, LOOPBACK, policy, reason_of, rule, tool_source
from tests.sidecar.pod.test_access import answering, exchanging

log = logging.getLogger(__name__)

ALLOW = policy("everything", rule("*"))
MOST_RESIDENT_MB = 95
MOST_WORK_S = 5.0


def delivered(operator: Operator, source: ScriptedSource, **more: object) -> dict[str, bytes]:
    """Everything of one source is allowed."""
    served = tool_source("shop", source.url, **more)
    return {"bundle": operator.bundle(1, ALLOW, served), "overlay": operator.overlay(1)}


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="loopback"),
        pytest.param(
            {**LOOPBACK, "KUBERNETES_SERVICE_HOST": socket.gethostbyname(HERE)}, id="API server"
        ),
        pytest.param(
            {"MESH7_DIALLED": "0.0.0.0/0", "KUBERNETES_SERVICE_HOST": socket.gethostbyname(HERE)},
            id="API server in a network that may be dialled",
        ),
    ],
)
async def test_the_pod_itself_and_the_api_server_are_never_dialled(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """X14: whatever name a tenant gives them; docs/reference/pod-environment.md."""
    operator, script = Operator(), Script(tools=[tool("look")])
    async with parts.sourced(script) as source:
        if environment or socket.gethostbyname(HERE).startswith("127."):
            files = delivered(operator, source)
            async with parts.running(tmp_path, operator, environment, **files) as pod:
                await pod.until_ready()
                assert reason_of(await pod.call("shop.look")) == "source-unavailable"
                assert script.seen == []


@pytest.mark.promise("K15")
@pytest.mark.parametrize(
    ("host", "own"),
    [
        pytest.param("127.0.0.1", "", id="loopback"),
        pytest.param("10.9.8.7", "10.9.8.7", id="own address"),
    ],
)
async def test_a_false_exchange_in_the_pod_is_told_no_token(
    tmp_path: Path, host: str, own: str
) -> None:
    """Attack: `hostAliases`, and an authority of the pod's maker."""
    operator = Operator()
    files = {"bundle": operator.bundle(1, ALLOW), "overlay": operator.overlay(1)}
    async with exchanging(tmp_path, answering()) as served:
        exchange = {
            **({"MESH7_POD_IP": own} if own else {}),
            "MESH7_EXCHANGE_URL": served.url.replace("127.0.0.1", host),
            "MESH7_EXCHANGE_AUTHORITIES": (tmp_path / "cert.pem").read_text(),
            "MESH7_TOKEN_FILE": str(tmp_path / "token"),
        }
        async with parts.running(tmp_path, operator, exchange, **files) as pod:
            await pod.until_ready()
            assert "the exchange is at an address that is not dialled here" in pod.log
            assert served.tokens == []


async def test_a_credential_goes_where_its_hosts_say_and_nowhere_else(tmp_path: Path) -> None:
    """S6: `<key>.hosts` beside the credential, in the mounted Secret."""
    operator, script, secret = Operator(), Script(tools=[tool("look")]), tmp_path / "secret"
    secret.mkdir()
    (secret / "till").write_text("s3cret-value\n")
    (secret / "till.hosts").write_text("elsewhere.internal")
    async with parts.sourced(script) as source:
        files = delivered(operator, source, auth={"key": "till"})
        environment = {**LOOPBACK, "MESH7_CREDENTIALS": str(secret)}
        async with parts.running(tmp_path, operator, environment, **files) as pod:
            await pod.until_ready()
            refused = await pod.call("shop.look")
            assert reason_of(refused) == "source-unavailable"
            assert script.seen == []
            (secret / "till.hosts").write_text(f"elsewhere.internal {HERE}")

            async def is_done() -> bool:
                return reason_of(await pod.call("shop.look")) == ""

            await pod.eventually(is_done)
            assert script.asked("tools/call")[0].headers["authorization"] == "Bearer s3cret-value"
            assert await pod.end() == 0
            assert "s3cret-value" not in pod.log + str(pod.audit) + str(refused)


async def test_it_is_ready_after_little_work_and_weighs_little(tmp_path: Path) -> None:
    """Design 13: what every guarded pod pays."""
    operator = Operator()
    async with parts.sourced(Script(tools=[tool("look")])) as source:
        with parts.stored(tmp_path / "store") as store:
            environment = {**LOOPBACK, "MESH7_REDIS_URL": store.url}
            async with parts.running(
                tmp_path, operator, environment, **delivered(operator, source)
            ) as pod:
                await pod.until_ready()
                worked_s = processor_s(pod.pid)
                for _ in range(50):
                    assert reason_of(await pod.call("shop.look")) == ""
                weight_mb = resident_mb(pod.pid)
    log.info("ready after %.2f s of work, %.0f MB resident", worked_s, weight_mb)
    assert weight_mb < MOST_RESIDENT_MB
    assert worked_s < MOST_WORK_S


def processor_s(pid: int) -> float:
    """Seconds of a processor that a process has used: what others do beside it does not count."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """What a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
