"""Child processes as upstreams: real processes, one scripted server and two from PyPI."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS

from mesh7_core.policy import bundle, calls
from mesh7_sidecar.net import headers as header_lines
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.fetch import FetchError, Response, Stream, fetch, streaming
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.sources import child, stdio
from mesh7_sidecar.sources.pending import STATUS_OF_ERROR
from mesh7_sidecar.wire import sse
from tests.conftest import Eventually

SERVER = Path(__file__).parents[2] / "fakes" / "stdio_server.py"
PLAIN = (sys.executable, "-S", str(SERVER))
VERSION = "2026-07-28"
Json = dict[str, Any]
"""A message as a test looks into it; what is expected of it the test says."""
LIMIT = 64 * 1024 * 1024


def source_of(
    command: tuple[str, ...],
    *,
    timeout_s: float = 10,
    maximum_response_bytes: int = 1024 * 1024,
    maximum_concurrency: int = 64,
    environment: tuple[tuple[str, str], ...] = (),
) -> bundle.Source:
    no = bundle.ServerRequest.DENY
    return bundle.Source(
        name="child",
        kind=calls.SourceKind.MCP,
        transport=bundle.Transport.STDIO,
        url="",
        host="stdio",
        command=command,
        environment=environment,
        headers=(),
        credential=None,
        include=(),
        exclude=(),
        pinning=bundle.Pinning.IGNORE,
        accepted={},
        validate_arguments=False,
        server_requests=bundle.ServerRequests(sampling=no, roots=no, elicitation=no),
        bounds=bundle.Bounds(
            timeout=timedelta(seconds=timeout_s),
            maximum_response_bytes=maximum_response_bytes,
            maximum_concurrency=maximum_concurrency,
        ),
    )


@asynccontextmanager
async def serving(source: bundle.Source) -> AsyncIterator[stdio.StdioUpstream]:
    children = stdio.Children(os.environ, Sweep(0.02))
    try:
        yield children.upstream(source)
    finally:
        await children.close()


def modern(
    tool: str,
    arguments: Json | None = None,
    *,
    identifier: int | str = 1,
    method: str = "tools/call",
    meta: Json | None = None,
) -> upstream.Request:
    envelope = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        **(meta or {}),
    }
    params = {"name": tool, "arguments": arguments or {}, "_meta": envelope}
    return post({"id": identifier, "method": method, "params": params})


def post(
    message: Json,
    session: bytes | None = None,
    accept: bytes = b"application/json, text/event-stream",
) -> upstream.Request:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    fields = [(b"accept", accept), (b"content-type", b"application/json")]
    if session is not None:
        fields.append((b"mcp-session-id", session))
    return upstream.Request("POST", "/mcp", fields, body)


def legacy(tool: str, session: bytes, identifier: int | str = 1) -> upstream.Request:
    params = {"name": tool, "arguments": {}}
    return post({"id": identifier, "method": "tools/call", "params": params}, session)


def bare(method: str, session: bytes) -> upstream.Request:
    fields = [(b"accept", b"text/event-stream"), (b"mcp-session-id", session)]
    return upstream.Request(method, "/mcp", fields, b"")


async def ask(way: upstream.Upstream, request: upstream.Request) -> Response:
    return await fetch(way, request, LIMIT)


async def initialize(way: upstream.Upstream) -> bytes:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    response = await ask(way, post({"id": "hello", "method": "initialize", "params": params}))
    assert json.loads(response.body)["id"] == "hello"
    session = response.header(b"mcp-session-id")
    assert session is not None
    return session


def seen(response: Response) -> Any:
    """What the server says that it saw, from the last message of an answer."""
    return told(messages(response)[-1])


def told(message: Json) -> Any:
    return json.loads(message["result"]["content"][0]["text"])


def messages(response: Response) -> list[Json]:
    if response.header(b"content-type") == b"text/event-stream":
        return [json.loads(event.data) for event in sse.Decoder().feed(response.body)]
    return [json.loads(response.body)]


async def next_message(stream: Stream) -> Json:
    decoder = sse.Decoder()
    async for piece in stream:
        for event in decoder.feed(piece):
            found: Json = json.loads(event.data)
            return found
    raise AssertionError("the stream ended")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    except FileNotFoundError:
        return False


async def failure_of(way: upstream.Upstream, request: upstream.Request) -> upstream.Failure:
    with pytest.raises(FetchError) as raised:
        await ask(way, request)
    return raised.value.failure


@pytest.mark.promise("M4")
async def test_a_modern_answer_is_plain_json_with_the_clients_id_and_spelling() -> None:
    """Promised by M4: number spelling, ids and unknown fields pass unchanged."""
    async with serving(source_of(PLAIN)) as way:
        response = await ask(way, modern("spelling", identifier="mine"))
    assert (response.status, response.body) == (
        200,
        b'{"result":{"content":[],"n":1.00e+2,"x":"\\u0041"},"jsonrpc":"2.0","id":"mine"}',
    )
    assert response.headers == [(b"content-type", b"application/json")]


@pytest.mark.promise("M5")
async def test_clients_with_the_same_id_and_token_share_a_child_and_never_meet() -> None:
    """Promised by M5: an id is never confused."""
    async with serving(source_of(PLAIN)) as way:
        answers = await asyncio.gather(
            *(
                ask(way, modern("echo", {"who": who}, meta={"progressToken": "same"}))
                for who in range(20)
            )
        )
        pids = {seen(await ask(way, modern("pid"))) for _ in range(3)}
    found = [seen(answer) for answer in answers]
    assert [each["arguments"] for each in found] == [{"who": who} for who in range(20)]
    assert len({each["id"] for each in found}) == 20
    assert len({each["_meta"]["progressToken"] for each in found}) == 20
    assert {messages(answer)[-1]["id"] for answer in answers} == {1}
    assert len(pids) == 1


@pytest.mark.promise("M5")
async def test_progress_precedes_the_answer_on_a_stream_with_the_clients_own_token() -> None:
    """Promised by M5: progress passes."""
    async with serving(source_of(PLAIN)) as way:
        response = await ask(
            way, modern("progress", identifier="call", meta={"progressToken": "tok"})
        )
    first, second, last = messages(response)
    assert response.header(b"content-type") == b"text/event-stream"
    assert [first, second] == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": "tok", "progress": step},
        }
        for step in (1, 2)
    ]
    assert last["id"] == "call"


async def test_a_client_that_reads_no_streams_gets_the_answer_alone() -> None:
    """Promised by the transport's rules: the client's Accept says what it can read."""
    async with serving(source_of(PLAIN)) as way:
        request = modern("progress", meta={"progressToken": 5})
        request.headers[0] = (b"accept", b"application/json")
        response = await ask(way, request)
    assert response.header(b"content-type") == b"application/json"
    assert len(messages(response)) == 1


@pytest.mark.promise("D13")
async def test_a_servers_request_under_the_id_of_a_pending_call_is_not_its_answer() -> None:
    """Promised by D13: request and response are never confused."""
    async with serving(source_of(PLAIN)) as way:
        session = await initialize(way)
        async with streaming(way, legacy("ask", session, identifier=2)) as stream:
            asked = await next_message(stream)
            assert asked["method"] == "sampling/createMessage"
            # The server asked under the number that our call has with it.
            answer = {"id": asked["id"], "result": {"text": "hello"}}
            accepted = await ask(way, post(answer, session))
            last = await next_message(stream)
    assert accepted.status == 202
    assert last["id"] == 2
    assert told(last) == {"text": "hello"}


@pytest.mark.promise("D13")
async def test_a_server_may_not_ask_anything_on_the_shared_child() -> None:
    """Promised by D13 and the modern revision: there are no server requests."""
    async with serving(source_of(PLAIN)) as way:
        response = await ask(way, modern("ask"))
    assert seen(response) == {"code": -32601, "message": "nobody here can answer"}


@pytest.mark.promise("M5")
async def test_a_session_has_a_child_and_a_stream_of_its_own() -> None:
    """Promised by M7 and M5: one upstream session per client session."""
    async with serving(source_of(PLAIN)) as way:
        first, second = await initialize(way), await initialize(way)
        pids = {seen(await ask(way, legacy("pid", each))) for each in (first, second)}
        pids.add(seen(await ask(way, modern("pid"))))
        assert len(pids) == 3
        async with streaming(way, bare("GET", first)) as stream:
            told_ready = {"method": "notifications/initialized"}
            assert (await ask(way, post(told_ready, first))).status == 202
            assert (await next_message(stream))["method"] == "notifications/tools/list_changed"
            assert (await ask(way, bare("GET", first))).status == 409
        # What comes while nobody reads waits for the next reader.
        assert (await ask(way, post(told_ready, first))).status == 202
        request = legacy("pid", first)
        request.headers[0] = (b"accept", b"application/json")
        await ask(way, request)
        async with streaming(way, bare("GET", first)) as stream:
            assert (await next_message(stream))["method"] == "notifications/tools/list_changed"


@pytest.mark.promise("M5")
async def test_headers_that_are_rendered_already_count() -> None:
    """Promised by the upstream's protocol: `block` holds more header lines."""
    async with serving(source_of(PLAIN)) as way:
        session = await initialize(way)
        request = legacy("echo", session)
        request.block = header_lines.render(request.headers)
        request.headers = []
        assert seen(await ask(way, request))["name"] == "echo"


async def test_delete_ends_the_session_and_its_child(eventually: Eventually) -> None:
    """Promised by the transport: the session is unknown afterwards."""
    async with serving(source_of(PLAIN)) as way:
        session = await initialize(way)
        pid = seen(await ask(way, legacy("pid", session)))
        assert isinstance(pid, int)
        assert (await ask(way, bare("DELETE", session))).status == 204
        for request in (legacy("pid", session), bare("GET", session), bare("DELETE", session)):
            assert (await ask(way, request)).status == 404
        await eventually(lambda: not is_alive(pid))


async def test_a_request_that_belongs_nowhere_reaches_no_child() -> None:
    """Promised by the transport: legacy needs a session, modern its envelope."""
    async with serving(source_of(PLAIN)) as way:
        request = post({"id": 3, "method": "tools/call", "params": {"name": "die"}})
        response = await ask(way, request)
        assert not way.status().is_running
    assert response.status == 400
    assert json.loads(response.body)["id"] == 3


async def test_at_most_32_sessions_are_open_and_the_idlest_gives_way() -> None:
    """Promised by the brief: at most 32 children a source."""
    async with serving(source_of((sys.executable, "-S", "-c", "input()"))) as way:
        requests = [post({"id": 1, "method": "initialize"}) for _ in range(33)]
        asked = [asyncio.ensure_future(ask(way, each)) for each in requests]
        answered, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        statuses = [each.result().status for each in answered]
        assert statuses == [503]
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.promise("M5")
async def test_an_aborted_call_is_cancelled_at_the_child_and_its_late_answer_dropped() -> None:
    """Promised by M5: cancellation passes, and reaches the right call."""
    async with serving(source_of(PLAIN)) as way:
        request = asyncio.ensure_future(ask(way, modern("cancel")))
        number = seen(await ask(way, modern("echo")))["id"]
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        notices = seen(await ask(way, modern("seen")))
    assert notices == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {
                "requestId": number + 1,
                "reason": "the client is gone or its time is over",
            },
        }
    ]


@pytest.mark.promise("M5")
async def test_a_legacy_cancellation_names_the_childs_id_and_ends_the_call() -> None:
    """Promised by M5 and D32: cancelled passes as a notification."""
    async with serving(source_of(PLAIN)) as way:
        session = await initialize(way)
        request = asyncio.ensure_future(ask(way, legacy("silent", session, "long")))
        await ask(way, legacy("pid", session))
        params = {"requestId": "long", "reason": "bored"}
        cancelled = {"method": "notifications/cancelled", "params": params}
        assert (await ask(way, post(cancelled, session))).status == 202
        response = await request
        notices = seen(await ask(way, legacy("seen", session)))
    assert json.loads(response.body)["error"]["code"] == -32800
    assert [each["params"] for each in notices] == [{"requestId": 3, "reason": "bored"}]


@pytest.mark.promise("M5")
async def test_a_subscription_keeps_the_clients_own_id() -> None:
    """Promised by M5: subscriptions pass."""
    async with serving(source_of(PLAIN)) as way:
        request = modern("", method="subscriptions/listen", identifier="sub")
        async with streaming(way, request) as stream:
            first = await next_message(stream)
    assert first["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}


async def test_logs_go_to_the_one_who_asked_for_them_or_to_nobody() -> None:
    """Promised by M5: one client never sees what belongs to another."""
    async with serving(source_of(PLAIN)) as way:
        silent = await ask(way, modern("log"))
        level = {"io.modelcontextprotocol/logLevel": "info"}
        heard = await ask(way, modern("log", meta=level))
    assert len(messages(silent)) == 1
    assert [each.get("method") for each in messages(heard)] == ["notifications/message", None]


@pytest.mark.promise("M8")
async def test_a_dead_child_fails_its_calls_and_the_next_call_starts_another() -> None:
    """Promised by M8 and D14: restart, and nothing is sent twice."""
    async with serving(source_of(PLAIN)) as way:
        waiting = asyncio.ensure_future(failure_of(way, modern("silent")))
        first = seen(await ask(way, modern("pid")))
        failure = await failure_of(way, modern("die"))
        assert failure == upstream.Failure(
            kind=upstream.FailureKind.CLOSED,
            message="gave no answer: its program exited with code 3",
        )
        assert await waiting == failure
        assert seen(await ask(way, modern("pid"))) != first
        assert way.status().stderr[-1] == "cannot go on"
        assert seen(await ask(way, modern("seen"))) == []


@pytest.mark.promise("D12")
async def test_a_child_that_exits_after_each_handshake_costs_a_growing_pause_only() -> None:
    """Promised by D12: a crash-looping upstream takes nothing down and is not started in a loop."""
    command = (*PLAIN, "--exit-after-handshake")
    async with serving(source_of(command)) as way:
        session = await initialize(way)
        await ask(way, post({"method": "notifications/initialized"}, session))
        failures = [await failure_of(way, legacy("pid", session)) for _ in range(8)]
    kinds = [each.kind for each in failures]
    assert kinds == sorted(kinds), "closed, and then refused at once"
    assert {kinds[0], kinds[-1]} == {"closed", "refused"}
    assert failures[-1].is_unsent
    last = failures[-1].message
    assert last.startswith("is started again in 2 s: its program exited with code 0")


@pytest.mark.promise("M8")
async def test_a_session_whose_child_died_goes_on_with_another(eventually: Eventually) -> None:
    """Promised by M8: clients do not open a new session by themselves, so the gateway does."""
    async with serving(source_of(PLAIN)) as way:
        session = await initialize(way)
        first = seen(await ask(way, legacy("pid", session)))
        async with streaming(way, bare("GET", session)) as stream:
            failure = await failure_of(way, legacy("die", session))
            assert [piece async for piece in stream] == []
        late = {"method": "notifications/cancelled", "params": {"requestId": 1}}
        assert (await ask(way, post(late, session))).status == 202
        asked = [asyncio.ensure_future(ask(way, legacy("pid", session, n))) for n in ("a", "b")]
        answers = await asyncio.gather(*asked)
        notices = seen(await ask(way, legacy("seen", session)))
        async with streaming(way, bare("GET", session)) as stream:
            await ask(way, post({"method": "notifications/initialized"}, session))
            assert (await next_message(stream))["method"] == "notifications/tools/list_changed"
        assert (await ask(way, bare("DELETE", session))).status == 204
        assert (await ask(way, legacy("pid", session))).status == 404
        await eventually(lambda: way.status().sessions == 0)
    assert failure.message == "gave no answer: its program exited with code 3"
    assert [messages(each)[-1]["id"] for each in answers] == ["a", "b"]
    assert len({seen(each) for each in answers} | {first}) == 2
    assert [each["method"] for each in notices] == ["notifications/initialized"]


@pytest.mark.promise("D14")
async def test_a_program_that_is_not_there_is_tried_again_later(tmp_path: Path) -> None:
    """Promised by D14: the first failure is not fatal."""
    program = tmp_path / "server"
    async with serving(source_of((str(program), "x"))) as way:
        failure = await failure_of(way, modern("pid"))
        assert (failure.message, failure.is_unsent) == (
            "gave no answer: its program cannot be started",
            True,
        )
        program.write_text(f"#!/bin/sh\nexec {sys.executable} -S {SERVER}\n")
        program.chmod(0o755)
        assert isinstance(seen(await ask(way, modern("pid"))), int)


@pytest.mark.promise("X26")
async def test_a_child_gets_fixed_arguments_and_an_allow_listed_environment() -> None:
    """Promised by X26 and F71: no shell, no leaking of our environment."""
    passed = {"PATH": os.environ["PATH"], "HOME": "/h", "LC_ALL": "C"}
    own = {**passed, "AWS_SECRET": "x", "LD_PRELOAD": "y", "SHELL": "() { :; }"}
    children = stdio.Children(own, Sweep(0.02))
    try:
        way = children.upstream(source_of(PLAIN, environment=(("TOKEN", "$HOME;`id`"),)))
        found = seen(await ask(way, modern("environment")))
    finally:
        await children.close()
    assert isinstance(found, dict)
    found.pop("LC_CTYPE", None)
    assert found == {**passed, "TOKEN": "$HOME;`id`"}


@pytest.mark.promise("X26")
async def test_a_message_with_line_feeds_reaches_the_child_as_one_line() -> None:
    """Promised by X26: newlines inject nothing; between JSON tokens they are blanks."""
    async with serving(source_of(PLAIN)) as way:
        request = modern("echo", {"text": "a\nb"})
        assert request.body is not None
        request.body = json.dumps(json.loads(request.body), indent=1).replace("\n", "\r\n").encode()
        assert seen(await ask(way, request))["arguments"] == {"text": "a\nb"}
        assert seen(await ask(way, modern("seen"))) == []


@pytest.mark.promise("X26")
async def test_an_overlong_answer_fails_its_call_and_no_other() -> None:
    """Promised by X26: an overlong line is bounded."""
    async with serving(source_of(PLAIN, maximum_response_bytes=100_000)) as way:
        waiting = asyncio.ensure_future(ask(way, modern("big", {"size": 90_000})))
        failure = await failure_of(way, modern("big", {"size": 5_000_000}))
        assert failure.kind is upstream.FailureKind.TOO_LARGE
        assert seen(await waiting) == "x" * 90_000


@pytest.mark.parametrize("tool", ["nan"])
async def test_an_answer_that_is_not_strict_json_fails_its_call(tool: str) -> None:
    """Promised by design 10: a source's answer is read strictly."""
    async with serving(source_of(PLAIN)) as way:
        failure = await failure_of(way, modern(tool))
    assert failure.kind is upstream.FailureKind.MALFORMED


async def test_garbage_and_answers_to_nothing_are_dropped() -> None:
    """Promised by design 10: an answer must carry the id asked for."""
    async with serving(source_of(PLAIN)) as way:
        assert seen(await ask(way, modern("garbage"))) == "after garbage"


@pytest.mark.promise("M8")
async def test_a_flood_on_stderr_blocks_nothing_and_its_end_is_kept() -> None:
    """Promised by M8: stderr is drained."""
    async with serving(source_of(PLAIN)) as way:
        assert seen(await ask(way, modern("stderr", {"lines": 20_000}))) == "quiet again"
        lines = way.status().stderr
    assert len(lines) <= 51
    assert lines[-1] == "last words"


@pytest.mark.promise("M8")
async def test_a_call_that_is_never_answered_times_out_and_is_cancelled() -> None:
    """Promised by design 10: `bounds.timeout` in total."""
    async with serving(source_of(PLAIN, timeout_s=2.0)) as way:
        await ask(way, modern("pid"))
        failure = await failure_of(way, modern("silent"))
        notices = seen(await ask(way, modern("seen")))
    assert failure == upstream.Failure(
        kind=upstream.FailureKind.TIMED_OUT, message="did not answer in time"
    )
    assert [each["method"] for each in notices] == ["notifications/cancelled"]


async def test_more_calls_than_the_source_may_get_are_refused_unsent() -> None:
    """Promised by the source's bounds: maxConcurrency."""
    async with serving(source_of(PLAIN, maximum_concurrency=1)) as way:
        waiting = asyncio.ensure_future(failure_of(way, modern("silent")))
        await asyncio.sleep(0)
        failure = await failure_of(way, modern("pid"))
        assert (failure.kind, failure.is_unsent) == (upstream.FailureKind.BUSY, True)
        way.abort()
        await waiting


@pytest.mark.promise("M8")
async def test_a_stubborn_child_is_killed_with_its_whole_group(tmp_path: Path) -> None:
    """Promised by M8 and X26: stdin closed, SIGTERM, SIGKILL; no zombie, no orphan."""
    pid_file = tmp_path / "pids"
    async with serving(source_of((*PLAIN, "--stubborn", str(pid_file)))) as way:
        await ask(way, modern("pid"))
        pids = [int(pid) for pid in pid_file.read_text().split()]
        assert [is_alive(pid) for pid in pids] == [True, True]
    assert [is_alive(pid) for pid in pids] == [False, False]
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)  # noqa: ASYNC222 - it does not wait


async def test_closing_lets_calls_finish_and_takes_no_more(eventually: Eventually) -> None:
    """Promised by the upstream's protocol: those under way finish within their terms."""
    async with serving(source_of(PLAIN)) as way:
        pid = seen(await ask(way, modern("pid")))
        assert isinstance(pid, int)
        waiting = asyncio.ensure_future(ask(way, modern("big", {"size": 10})))
        await asyncio.sleep(0)
        way.close()
        assert (await failure_of(way, modern("pid"))).is_unsent
        assert seen(await waiting) == "x" * 10
        await eventually(lambda: not is_alive(pid))


async def test_errors_of_modern_requests_have_the_status_that_the_revision_gives_them() -> None:
    """Promised by M2: an unknown method on modern is HTTP 404; the table is the SDK's."""
    async with serving(source_of(PLAIN)) as way:
        unknown = await ask(way, modern("", method="no/such"))
        session = await initialize(way)
        old = await ask(way, post({"id": 1, "method": "no/such"}, session))
    assert (unknown.status, old.status) == (404, 200)
    assert dict(ERROR_CODE_HTTP_STATUS) == STATUS_OF_ERROR


def test_stderr_keeps_a_bounded_end_whatever_comes() -> None:
    """Promised by M8: stderr is drained into a bounded ring."""
    ring = child.Stderr()
    ring.feed(b"x" * 1_000_000)
    ring.feed(b"\n" + b"\xff\n" * 1000 + b"end")
    assert len(ring.lines()) == 51
    assert ring.lines()[-2:] == ("\ufffd", "end")
