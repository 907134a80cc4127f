"""How a gateway starts, and how it says that it cannot."""

import json
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from mesh7_sidecar import state
from tests.peers import processes
from tests.sidecar.doors import parts as doors
from tests.sidecar.doors.scripted_source import Script
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, Guarded, guarded, scripted

SECRET = "hunter2-is-a-secret"  # noqa: S105 - it must be shown nowhere
ANY_PORTS = ("--listen", "127.0.0.1:0", "--admin", "off")


async def sends(served: Guarded, script: Script, value: str) -> bool:
    """Whether a call carries this credential by now."""
    await served.call("s.echo")
    return bool(script.seen) and script.seen[-1].headers.get("x-key") == value


async def run(*words: str | Path) -> processes.Finished:
    """A `mesh7 run` that is expected to end by itself."""
    return await parts.mesh7("run", *words, *ANY_PORTS)


@pytest.mark.promise("C4")
async def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    found = await run(tmp_path / "nowhere")

    assert found.code == 3
    assert found.err == (
        f"mesh7: {tmp_path / 'nowhere'}: cannot be entered: No such file or directory"
        " – give a folder of manifests\n"
    )


@pytest.mark.promise("C4")
async def test_a_broken_folder_prints_every_mistake_once_and_nothing_else(tmp_path: Path) -> None:
    """docs/reference/exit-codes.md: 1 = a manifest is wrong."""
    folder = tmp_path / "folder"
    folder.mkdir()
    broken = ALLOW_ALL.replace("action: Allow", "action: Alow")
    (folder / "one.yaml").write_text(broken, encoding="utf-8")
    (folder / "two.yaml").write_text("kind: Nonsense\n", encoding="utf-8")

    found = await run(folder)

    assert found.code == 1
    lines = found.err.splitlines()
    assert [line.partition(": error: ")[0] for line in lines] == [
        f"{folder / 'one.yaml'}:8",
        f"{folder / 'two.yaml'}:1",
    ]


@pytest.mark.promise("C4")
async def test_a_missing_variable_is_an_error_at_load_with_its_place(tmp_path: Path) -> None:
    """Issue 1, "Ways out"."""
    folder = tmp_path / "folder"
    written = parts.stdio_source("s").replace(
        "}\n", ", env: [{name: A, value: '${M7_NOT_SET}'}]}\n"
    )
    doors.write(folder, written, ALLOW_ALL)

    found = await run(folder)

    assert found.code == 1
    assert f"{folder / 'all.yaml'}:5: error: " in found.err
    assert "`${M7_NOT_SET}`" in found.err or "`M7_NOT_SET`" in found.err


async def test_an_empty_folder_starts_denies_everything_and_says_so(tmp_path: Path) -> None:
    """P2: what is legal as an edit is legal at the start, and nothing is allowed by it."""
    (tmp_path / "folder").mkdir()
    async with guarded(tmp_path) as served:
        assert "no manifest found: every call is denied" in served.logged
        found = await served.status()
        assert len(found["warnings"]) == 1
        assert (await served.call("any.thing")).json["reason"] == "unknown-tool"


@pytest.mark.promise("C4")
async def test_a_second_gateway_on_one_state_folder_says_who_holds_it(tmp_path: Path) -> None:
    """Issue 1, "Bad input"."""
    async with guarded(tmp_path, ALLOW_ALL) as served:
        found = await run(tmp_path / "folder", "--state", served.gateway.state)

        assert found.code == 3
        assert f"state folder `{served.gateway.state}` is held by `mesh7 run` " in found.err
        assert f"(process {served.gateway.pid}) since 20" in found.err
        assert "--state" in found.err
        assert (await served.status())["pid"] == served.gateway.pid


@pytest.mark.promise("C4")
async def test_a_state_folder_that_lies_too_deep_is_refused(tmp_path: Path) -> None:
    """A unix socket's path has 107 bytes."""
    doors.write(tmp_path / "folder", ALLOW_ALL)

    found = await run(tmp_path / "folder", "--state", tmp_path / ("deep" * 30))

    assert found.code == 3
    assert "its socket's path would be longer than" in found.err


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
async def test_an_audit_file_that_is_somebody_else_s_is_refused(tmp_path: Path, kind: str) -> None:
    """Design 10: files in the state folder are private; a link would let us append anywhere."""
    doors.write(tmp_path / "folder", ALLOW_ALL)
    audit, target = tmp_path / "state" / "audit.jsonl", tmp_path / "target"
    audit.parent.mkdir()
    match kind:
        case "link":
            target.write_bytes(b"precious")
            audit.symlink_to(target)
        case "pipe":
            parts.make_pipe(audit)
        case _:
            audit.mkdir()

    found = await run(tmp_path / "folder", "--state", audit.parent)

    assert found.code == 3
    assert f"`{audit}` cannot be written: " in found.err
    assert kind != "link" or target.read_bytes() == b"precious"


async def test_a_credentials_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    doors.write(tmp_path / "folder", ALLOW_ALL)

    found = await run(tmp_path / "folder", "--credentials", tmp_path / "nowhere")

    assert found.code == 3
    assert f"`--credentials {tmp_path / 'nowhere'}` cannot be read: No such file" in found.err


@pytest.mark.promise("S6")
async def test_a_missing_credential_is_named_and_present_ones_are_shown_nowhere(
    tmp_path: Path,
) -> None:
    """Issue 1, "Ways out": `auth.key` is never shown."""
    auth = "auth: {{key: {key}, header: Authorization, scheme: Bearer}}"
    async with scripted("echo", "fail") as source:
        source.script.calls["fail"] = parts.unauthorized
        good, bad = (
            doors.source(name, source.url, auth.format(key=key))
            for name, key in (("good", "present"), ("bad", "absent"))
        )
        environment = {"MESH7_CREDENTIAL_PRESENT": SECRET}
        async with guarded(tmp_path, good, bad, ALLOW_ALL, environment=environment) as served:
            found = await served.until(parts.is_ready("good"))
            assert (await served.call("good.echo")).status == 200
            failed = await served.call("good.fail")
            refused = await served.call("bad.echo")

            [call] = [
                each for each in source.script.asked("tools/call") if "echo" in str(each.body)
            ]
            assert call.headers["authorization"] == f"Bearer {SECRET}"
            problem = parts.of_source(found, "bad")
            assert problem["state"] == "failed"
            assert "credential `absent` is missing" in problem["error"]
            assert "MESH7_CREDENTIAL_ABSENT" in problem["error"]
            assert "`absent`" in refused.body.decode()
            listed = await parts.mesh7("tools", "--state", served.gateway.state)
            shown = [
                json.dumps(await served.status()), failed.body.decode(), refused.body.decode(),
                served.gateway.announced, listed.out + listed.err,
            ]  # fmt: skip
        shown += [served.logged, (tmp_path / "state" / "audit.jsonl").read_text(encoding="utf-8")]
        assert [text for text in shown if SECRET in text] == []


@pytest.mark.promise("S6")
async def test_a_credential_that_arrives_or_changes_needs_no_restart(tmp_path: Path) -> None:
    key = tmp_path / "credentials" / "billing"
    key.parent.mkdir()
    auth = "auth: {key: billing, header: X-Key}"
    async with scripted("echo") as source, guarded(
        tmp_path, doors.source("s", source.url, auth), ALLOW_ALL,
        arguments=["--credentials", str(key.parent)],
    ) as served:  # fmt: skip
        found = await served.status()
        assert "credential `billing` is missing" in parts.of_source(found, "s")["error"]
        for value in ("first", "second"):
            key.write_text(f"{value}\n", encoding="utf-8")
            await parts.comes_true(partial(sends, served, source.script, value))


@pytest.mark.promise("D14")
@pytest.mark.promise("S9")
async def test_a_source_that_does_not_start_stops_no_other_and_is_told(tmp_path: Path) -> None:
    """Issue 1, "Bad input": one bad source does not stop the others."""
    hang = parts.stdio_source("hangs", command=[sys.executable, "-c", "input(); input()"])
    bounded = f"{hang}  bounds: {{timeout: 1s}}\n"
    crash = parts.stdio_source("crashes", command=[sys.executable, "-c", "exit('no licence')"])
    absent = parts.stdio_source("absent", command=["no-such-program-anywhere"])
    async with scripted("echo") as source:
        sources = bounded, crash, absent, doors.source("good", source.url)
        async with guarded(tmp_path, *sources, ALLOW_ALL) as served:
            await served.until(parts.is_ready("good"))
            assert (await served.call("good.echo")).status == 200
            bad = ("absent", "crashes", "hangs")
            found = await served.until(
                lambda found: all(parts.of_source(found, name)["error"] for name in bad)
            )

            states = {name: parts.of_source(found, name)["state"] for name in (*bad, "good")}
            assert states == {
                "absent": "failed", "crashes": "failed", "hangs": "failed", "good": "ready",
            }  # fmt: skip
            assert "no licence" in parts.of_source(found, "crashes")["child"]["stderr"]
            refused = await served.call("absent.tool")
            assert refused.json["reason"] == "source-unavailable"
            said = await parts.mesh7("status", "--state", served.gateway.state)
            assert said.code == 0, "the folder itself is in order"
            assert "cannot be started" in said.out


@pytest.mark.promise("D14")
async def test_a_source_that_was_down_at_the_start_is_served_once_it_is_up(tmp_path: Path) -> None:
    """D14: a server down at start is never retried."""
    async with scripted("echo") as source:
        port = source.port
        await source.stop()
        async with guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served:
            found = await served.until(lambda found: parts.of_source(found, "s")["error"])
            assert parts.of_source(found, "s")["state"] == "failed"
            assert (await served.call("s.echo")).json["reason"] == "source-unavailable"

            await source.start(port)

            async def is_served() -> bool:
                return (await served.call("s.echo")).status == 200

            await parts.comes_true(is_served)
            await served.until(parts.is_ready("s"))


async def test_what_a_killed_gateway_left_stands_in_nobody_s_way(tmp_path: Path) -> None:
    """The lock decides, never the files (state.py)."""
    async with guarded(tmp_path, ALLOW_ALL) as served:
        first = served.gateway
        socket = first.state / state.SOCKET_NAME
        first.process.send_signal(signal.SIGKILL)
        assert await first.process.wait() == -signal.SIGKILL
        assert socket.is_socket(), "left behind, or this test proves nothing"
    async with guarded(tmp_path) as served:
        assert (await served.status())["pid"] == served.gateway.pid
