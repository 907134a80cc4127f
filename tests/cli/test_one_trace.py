"""One trace in a real backend: the agent's span, ours, a person's yes, the tool's (promise T1)."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mesh7_cli import exits, main
from tests.cli import terminal
from tests.cli.test_quickstart import running
from tests.peers import phoenix
from tests.peers.phoenix import Kept, Phoenix, above

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "tests.peers.traced"]
POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {{name: billing}}
spec:
  mcp: {{transport: StreamableHTTP, url: "http://127.0.0.1:{port}/mcp"}}
---
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {{name: refunds}}
spec:
  selector: {{}}
  defaultAction: Deny
  rules:
  - {{name: none, tools: ["billing.create_refund"], when: "args.amount > 5000", action: Deny}}
  - name: big
    tools: ["billing.create_refund"]
    when: "args.amount > 500"
    action: RequireApproval
  - {{name: small, tools: ["billing.create_refund"], action: Allow}}
"""
CALL = "tools/call create_refund"
pytestmark = pytest.mark.timeout(3 * phoenix.START_S)
"""The first test waits for Phoenix to start, then, as each, for spans."""


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    with phoenix.running(tmp_path_factory.mktemp("phoenix")) as running_one:
        yield running_one


@pytest.fixture(scope="module")
def guarded(
    backend: Phoenix, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """A folder whose gateway runs before a real MCP server, and where agents reach that."""
    folder = tmp_path_factory.mktemp("guarded")
    with _tools(backend) as port, pytest.MonkeyPatch.context() as patch:
        (folder / "policy.yaml").write_text(POLICY.format(port=port))
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", backend.address)
        with running(folder, "--trace-share", "0") as lines:
            (address,) = {
                word for line in lines for word in line.split() if word.endswith("/mcp/billing")
            }
            yield folder, address


@contextlib.contextmanager
def _tools(backend: Phoenix) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [*PROGRAM, "tools", backend.address, str(listening.fileno())]
        with subprocess.Popen(command, cwd=ROOT, pass_fds=[listening.fileno()]) as process:
            try:
                yield listening.getsockname()[1]
            finally:
                process.kill()


@contextlib.contextmanager
def _calling(backend: Phoenix, url: str, amount: int) -> Iterator[subprocess.Popen[str]]:
    arguments = f'{{"order": "o-1", "amount": {amount}}}'
    command = [*PROGRAM, "agent", backend.address, url, "create_refund", arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _trace_of(agent: "subprocess.Popen[str]") -> str:
    assert agent.stdout is not None
    return agent.stdout.readline().strip()


def _answer_of(agent: "subprocess.Popen[str]") -> str:
    # Not `communicate`: it does not know what `readline` has read ahead.
    assert agent.stdout is not None
    said = agent.stdout.read()
    assert agent.wait() == 0
    return said


def _ours(spans: Sequence[Kept]) -> list[Kept]:
    """What the agent sent, as the gateway saw it."""
    return [one for one in spans if one.name == CALL and "mesh7.policy.effect" in one.attributes]


def _below(span: Kept, spans: Sequence[Kept]) -> list[str]:
    return [one.name for one in spans if one.parent_id == span.span_id]


def _has_tools_span(spans: Sequence[Kept]) -> bool:
    """Whether the tool server's own span is there, with all above it."""
    ours = {one.span_id for one in _ours(spans)}
    return any(ours & {one.span_id for one in above(span, spans)[2:]} for span in spans)


@pytest.mark.promise("T1")
def test_one_trace_leads_from_the_agent_to_the_tool(
    backend: Phoenix, guarded: tuple[Path, str]
) -> None:
    """Agent, gateway and tool send their spans alone; they come to lie in one line."""
    with _calling(backend, guarded[1], 300) as agent:
        trace_id = _trace_of(agent)
        assert _answer_of(agent) == "refunded 300 for o-1\n"
    spans = backend.await_spans(trace_id, _has_tools_span)
    (ours,) = _ours(spans)
    assert _below(ours, spans) == ["policy.evaluate", CALL]
    (tool,) = [one for one in spans if ours in above(one, spans)[2:]]
    # The tool's span, ours of what went there, ours of what the agent sent; the rest is its own.
    assert [one.name for one in above(tool, spans)[:3]] == [CALL, CALL, CALL]
    assert above(tool, spans)[-1].name == "invoke_agent support"
    assert ours.attributes["mesh7.policy.effect"] == "allow"
    assert ours.attributes["gen_ai.tool.name"] == "create_refund"
    assert all("300" not in str(one.attributes) for one in spans if ours in above(one, spans))


@pytest.mark.promise("T1")
@pytest.mark.promise("T2")
def test_the_wait_for_a_person_is_part_of_the_trace(
    backend: Phoenix, guarded: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """D15: what people decided is in the trace, and how long it took them."""
    where = ["--dir", str(guarded[0])]
    with terminal.running(["watch", *where]) as screen:
        screen.until("nothing waits, watching")
        with _calling(backend, guarded[1], 700) as agent:
            trace_id = _trace_of(agent)
            assert trace_id in screen.until("[a]pprove")
            assert main.exit_code(["requests", "-o", "name", *where]) == exits.Exit.OK
            identifier = capsys.readouterr().out.strip()
            screen.until(f"approved `{identifier}`", pressing="a")
            assert _answer_of(agent) == "refunded 700 for o-1\n"
        assert screen.end(pressing="q") == exits.Exit.OK
    spans = backend.await_spans(trace_id, _has_tools_span)
    (ours,) = _ours(spans)
    assert _below(ours, spans) == ["policy.evaluate", "approval.wait", CALL]
    (wait,) = [one for one in spans if one.name == "approval.wait"]
    assert wait.attributes["mesh7.approval.id"] == identifier
    assert wait.attributes["mesh7.approval.outcome"] == "granted"


@pytest.mark.promise("T2")
def test_a_refusal_is_in_the_trace_and_nothing_below_it(
    backend: Phoenix, guarded: tuple[Path, str]
) -> None:
    """protocols.md 4: an error of the kind `tool_error`, our effect, and no CLIENT span."""
    with _calling(backend, guarded[1], 9000) as agent:
        trace_id = _trace_of(agent)
        assert "default/refunds/none" in _answer_of(agent)
    spans = backend.await_spans(trace_id, lambda found: bool(_ours(found)))
    (ours,) = _ours(spans)
    assert ours.status == "ERROR"
    assert ours.attributes["error.type"] == "tool_error"
    assert ours.attributes["mesh7.policy.effect"] == "deny"
    assert CALL not in _below(ours, spans)
