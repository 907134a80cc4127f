"""A sidecar process from its start to its end: with nothing, with either way, ended."""

import asyncio
import signal
from pathlib import Path

import pytest
from aiohttp.web import StreamResponse

from mesh7_core.delivery.envelopes import Kind
from tests.sidecar.bundles.delivering import Operator
from tests.sidecar.doors.scripted_source import Script, Talk, text_result, tool
from tests.sidecar.pod import parts
from tests.sidecar.pod.parts import AT_ONCE, LOOPBACK, policy, reason_of, rule, tool_source

ALLOW = (policy("everything", rule("*")), parts.API)
DENY = (policy("nothing", rule("*", "Deny")), parts.API)
NOTHING_YET = {"bundle": 0, "overlay": 0, "origin": "none", "problems": []}


async def test_with_nothing_it_lives_is_not_ready_and_denies(tmp_path: Path) -> None:
    """docs/reference/pod-environment.md: `no-bundle` until there is one."""
    async with parts.running(tmp_path, Operator(), AT_ONCE) as pod:
        await pod.lives()
        assert (await pod.readyz()) == parts.Answer(
            503, {"ready": False, **NOTHING_YET, "store": "no store is configured"}
        )
        assert (await pod.healthz()).status == 200
        assert (await pod.decide()).body["reason"] == "no-bundle"
        assert reason_of(await pod.call("any.tool")) == "no-bundle"
        listed = await pod.ask("/mcp/any", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert listed.status == 503
        assert (await pod.ask("/http/any/path")).body["reason"] == "no-bundle"
        assert (await pod.ask("/v1/tools")).body["reason"] == "no-bundle"
        await pod.eventually(lambda: _has(pod, "every call is denied until one does"))
        assert await pod.end() == 0


async def test_it_has_started_once_calls_are_served_with_a_bundle_or_after_a_while_without(
    tmp_path: Path,
) -> None:
    """docs/reference/pod-environment.md; issue 6: the probe must not hold a pod up for ever."""
    operator = Operator()
    async with parts.running(tmp_path / "waits", operator) as pod:
        await pod.lives()
        assert (await pod.startz()) == parts.Answer(503, {"started": False})
        pod.config_map.write(bundle=operator.bundle(1, *ALLOW), overlay=operator.overlay(1))
        await pod.until(pod.startz, 200)
        assert (await pod.decide()).body["decision"] == "Allow"
    async with parts.running(tmp_path / "gives-up", operator, AT_ONCE) as pod:
        await pod.until(pod.startz, 200)
        assert (await pod.readyz()).status == 503
        assert (await pod.decide()).body["reason"] == "no-bundle"


async def _has(pod: parts.Pod, text: str) -> bool:
    return text in pod.log


async def test_calls_wait_for_the_first_bundle_and_are_judged_by_it(tmp_path: Path) -> None:
    """Clients list once: an error at the start would stay."""
    operator = Operator()
    async with parts.running(tmp_path, operator) as pod:
        await pod.lives()
        early = asyncio.create_task(pod.decide())
        pod.config_map.write(bundle=operator.bundle(1, *ALLOW), overlay=operator.overlay(1))
        assert (await early).body["decision"] == "Allow"
        ready = await pod.readyz()
        assert ready == parts.Answer(
            200,
            {
                "ready": True, "bundle": 1, "overlay": 1, "origin": "configmap", "problems": [],
                "store": "no store is configured",
            },
        )  # fmt: skip


async def test_redis_alone_is_enough(tmp_path: Path) -> None:
    operator = Operator()
    with parts.stored(tmp_path / "store") as store:
        store.deliver(Kind.BUNDLE, 3, operator.bundle(3, *ALLOW))
        store.deliver(Kind.OVERLAY, 2, operator.overlay(2))
        async with parts.running(tmp_path, operator, {"MESH7_REDIS_URL": store.url}) as pod:
            await pod.until_ready()
            await pod.eventually(lambda: _reaches_its_store(pod))
            assert (await pod.readyz()).body == {
                "ready": True, "bundle": 3, "overlay": 2, "origin": "redis", "problems": [],
                "store": "",
            }  # fmt: skip
            assert (await pod.decide()).body["decision"] == "Allow"


async def _reaches_its_store(pod: parts.Pod) -> bool:
    return (await pod.readyz()).body.get("store") == ""


async def test_of_both_ways_the_higher_version_wins(tmp_path: Path) -> None:
    """docs/administrator/delivery.md."""
    operator = Operator()
    with parts.stored(tmp_path / "store") as store:
        store.deliver(Kind.BUNDLE, 3, operator.bundle(3, *DENY))
        store.deliver(Kind.OVERLAY, 2, operator.overlay(2))
        mounted = {"bundle": operator.bundle(4, *ALLOW), "overlay": operator.overlay(1)}
        given = {"MESH7_REDIS_URL": store.url}
        async with parts.running(tmp_path, operator, given, **mounted) as pod:
            await pod.until_ready()
            await pod.eventually(lambda: _is_in_force(pod, 4, 2))


async def _is_in_force(pod: parts.Pod, bundle: int, overlay: int) -> bool:
    body = (await pod.readyz()).body
    return (body.get("bundle"), body.get("overlay")) == (bundle, overlay)


async def test_sigterm_ends_it_while_it_waits_for_a_first_bundle(tmp_path: Path) -> None:
    async with parts.running(tmp_path, Operator()) as pod:
        await pod.lives()
        assert await pod.end() == 0
        assert "Traceback" not in pod.log


@pytest.mark.promise("D39")
async def test_sigterm_lets_calls_in_flight_finish(tmp_path: Path) -> None:
    operator, begun, may_end = Operator(), asyncio.Event(), asyncio.Event()

    async def slow(talk: Talk) -> StreamResponse:
        begun.set()
        await may_end.wait()
        return talk.answer(text_result("done"))

    script = Script(tools=[tool("slow")], calls={"slow": slow})
    async with parts.sourced(script) as source:
        sources = operator.bundle(1, *ALLOW, tool_source("shop", source.url))
        files = {"bundle": sources, "overlay": operator.overlay(1)}
        async with parts.running(tmp_path, operator, LOOPBACK, **files) as pod:
            await pod.until_ready()
            calling = asyncio.create_task(pod.call("shop.slow"))
            await asyncio.wait_for(begun.wait(), 30)
            pod.send_signal(signal.SIGTERM)
            await pod.until(pod.readyz, 503)
            may_end.set()
            assert (await calling).body["content"] == [{"type": "text", "text": "done"}]
            assert await pod.ended() == 0
            assert [each["outcome"] for each in pod.audit] == ["dry-run", "ok"]


@pytest.mark.promise("K8")
async def test_a_restarted_container_starts_with_what_it_had_and_takes_nothing_older(
    tmp_path: Path,
) -> None:
    """docs/administrator/delivery.md: what a sidecar keeps."""
    operator = Operator()
    older = {"bundle": operator.bundle(1, *ALLOW), "overlay": operator.overlay(1)}
    async with parts.running(
        tmp_path, operator, bundle=operator.bundle(2, *DENY), overlay=operator.overlay(2)
    ) as pod:
        await pod.until_ready()
        assert await pod.end() == 0
        pod.config_map.write(**older)
        await pod.start()
        await pod.until_ready()
        assert (await pod.readyz()).body["origin"] == "none"
        await pod.eventually(lambda: _has(pod, "is ignored (old"))
        assert (await pod.readyz()).body["bundle"] == 2
        assert (await pod.decide()).body["reason"] == "denied-by-rule"


@pytest.mark.promise("K9")
async def test_a_floor_of_the_pod_refuses_what_was_signed_before(tmp_path: Path) -> None:
    """Design 7: the floor comes from the Namespace, which its editors cannot write."""
    operator = Operator()
    floors = AT_ONCE | {"MESH7_BUNDLE_FLOOR": "5", "MESH7_OVERLAY_FLOOR": "5"}
    older = {"bundle": operator.bundle(4, *ALLOW), "overlay": operator.overlay(4)}
    async with parts.running(tmp_path, operator, floors, **older) as pod:
        await pod.lives()
        await pod.eventually(lambda: _has(pod, "is ignored (old"))
        assert (await pod.decide()).body["reason"] == "no-bundle"
        pod.config_map.write(bundle=operator.bundle(5, *ALLOW), overlay=operator.overlay(5))
        await pod.until_ready()


async def test_labels_of_the_pod_select_its_policies(tmp_path: Path) -> None:
    operator, labels = Operator(), tmp_path / "labels"
    labels.write_text('app="support"\nteam="blue"', "ascii")
    chosen = policy("of-support", rule("*"))
    spec = chosen["spec"]
    assert isinstance(spec, dict)
    spec["selector"] = {"matchLabels": {"app": "support"}}
    files = {"bundle": operator.bundle(1, chosen, parts.API), "overlay": operator.overlay(1)}
    async with parts.running(
        tmp_path, operator, {"MESH7_LABELS_FILE": str(labels)}, **files
    ) as pod:
        await pod.until_ready()
        assert (await pod.decide()).body["decision"] == "Allow"
        labels.unlink()
        assert await pod.end() == 0
        await pod.start()
        assert await pod.ended() == 1
        assert "mesh7-sidecar: MESH7_LABELS_FILE: " in pod.log


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MESH7_NAMESPACE", "", "MESH7_NAMESPACE is not set – the injector sets it"),
        ("MESH7_REDIS_PASSWORD_FILE", "/nowhere/password", "MESH7_REDIS_PASSWORD_FILE: `/nowhere"),
        ("MESH7_STATE", "/proc/nowhere", "give another state folder with `MESH7_STATE`"),
    ],
)
async def test_it_cannot_start_and_says_why_in_one_line(
    tmp_path: Path, variable: str, value: str, says: str
) -> None:
    """C4: no traceback reaches a user."""
    environment = {"MESH7_REDIS_URL": "redis://127.0.0.1:1", variable: value}
    async with parts.running(tmp_path, Operator(), environment) as pod:
        assert await pod.ended() == 1
        (line,) = pod.log.splitlines()
        assert line.startswith("mesh7-sidecar: ")
        assert says in line


@pytest.mark.parametrize("variable", ["MESH7_LISTEN", "MESH7_ADMIN"])
async def test_a_taken_address_is_named_by_its_variable(tmp_path: Path, variable: str) -> None:
    async with parts.running(tmp_path / "one", Operator()) as first:
        await first.lives()
        taken = {variable: first.environment[variable]}
        async with parts.running(tmp_path / "two", Operator(), taken) as second:
            assert await second.ended() == 1
            assert f"`{variable}={taken[variable]}` is in use by another program" in second.log
            assert "Traceback" not in second.log


async def test_a_state_folder_has_one_holder(tmp_path: Path) -> None:
    async with parts.running(tmp_path / "one", Operator()) as first:
        await first.lives()
        other = {"MESH7_STATE": str(first.state)}
        async with parts.running(tmp_path / "two", Operator(), other) as second:
            assert await second.ended() == 1
            assert "is held by `mesh7-sidecar`" in second.log
            assert "`MESH7_STATE`" in second.log


async def test_records_go_to_stdout_and_none_into_the_state_folder(tmp_path: Path) -> None:
    """docs/reference/audit.md: an emptyDir does not fill."""
    operator = Operator()
    files = {"bundle": operator.bundle(1, *ALLOW), "overlay": operator.overlay(1)}
    async with parts.running(tmp_path, operator, {"MESH7_AUDIT": "denied"}, **files) as pod:
        await pod.until_ready()
        await pod.decide()
        await pod.call("un.known", secret="hunter2")  # noqa: S106 - not to be seen
        assert await pod.end() == 0
        (line,) = [each for each in pod.audit if each["door"] == "v1"]
        assert (line["decision"], line["tool"]) == ("Deny", "un.known")
        assert "hunter2" not in str(line) + pod.log
        assert not [path.name for path in pod.state.iterdir() if "audit" in path.name]


async def test_restarts_leave_nothing_behind(tmp_path: Path) -> None:
    """Issue 5: killed again and again, the folder holds what one process needs."""
    operator = Operator()
    files = {"bundle": operator.bundle(1, *ALLOW), "overlay": operator.overlay(1)}
    async with parts.running(tmp_path, operator, None, **files) as pod:
        await pod.until_ready()
        await pod.restart()
        before = kept(pod.state)
        for _ in range(4):
            await pod.end(signal.SIGKILL)
            await pod.start()
            await pod.until_ready()
            await pod.restart()
        assert kept(pod.state) == before


def kept(state: Path) -> dict[str, int]:
    """Names and sizes of all that lies there; of the lock, which names its holder, the name."""
    return {
        str(path.relative_to(state)): 0 if path.name == "lock" else path.stat().st_size
        for path in state.rglob("*")
        if path.is_file() and not path.name.endswith("-journal")
    }
