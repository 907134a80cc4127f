"""Arize Phoenix as a process: a real backend of traces, fed over OTLP/HTTP, asked over REST.

Of a span it keeps ids, parent, name, times, status and attributes; neither its kind nor its links.
"""

import contextlib
import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers import ports

PROGRAM: Final = Path(__file__).parents[2] / ".venv-phoenix" / "bin" / "phoenix"
"""`make test` sets it up."""
START_S: Final = 90.0
"""A slow machine takes half a minute; whoever starts one needs more time than a test has."""
_PATIENCE_S: Final = 60.0
_ATTEMPTS: Final = 2
"""A port can be taken by another before Phoenix listens there."""
_TAKEN: Final = "ddress already in use"
_STEP_S: Final = 0.2
_ANSWER_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A span as Phoenix has it.

    Attributes:
        status: `OK`, `ERROR` or `UNSET`.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    attributes: dict[str, object]


def above(span: Kept, spans: Sequence[Kept]) -> list[Kept]:
    """The span and those above it, up to the root."""
    found = {one.span_id: one for one in spans}
    line = [span]
    while line[-1].parent_id in found:
        line.append(found[line[-1].parent_id])
    return line


class Phoenix:
    """A running one.

    Attributes:
        address: of its web server, where OTLP is taken and questions are answered.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def spans(self, trace_id: str = "") -> list[Kept]:
        """Those of one trace, or all of them; the oldest first."""
        wanted = {"limit": "1000"} | ({"trace_id": trace_id} if trace_id else {})
        query = urllib.parse.urlencode(wanted)
        found: list[dict[str, object]] = json.loads(
            _asked(f"{self.address}/v1/projects/default/spans?{query}")
        )["data"]
        return [_kept(one) for one in sorted(found, key=lambda one: str(one["start_time"]))]

    def await_spans(self, trace_id: str, claim: Callable[[Sequence[Kept]], bool]) -> list[Kept]:
        """The spans of a trace once the claim holds of them.

        Raises:
            TimeoutError: it does not come to hold.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while not claim(found := self.spans(trace_id)):
            if time.monotonic() > deadline:
                names = [one.name for one in found]
                raise TimeoutError(f"trace {trace_id} has no more than {names}")
            time.sleep(_STEP_S)
        return found


def _kept(found: dict[str, object]) -> Kept:
    context, attributes = found["context"], found["attributes"]
    assert isinstance(context, dict)
    assert isinstance(attributes, dict)
    return Kept(
        name=str(found["name"]),
        trace_id=context["trace_id"],
        span_id=context["span_id"],
        parent_id=str(found["parent_id"] or ""),
        status=str(found["status_code"]),
        attributes=attributes,
    )


@contextlib.contextmanager
def running(folder: Path, host: str = "127.0.0.1") -> Iterator[Phoenix]:
    """One with a database of its own, while the block runs.

    Args:
        folder: for what it keeps, and its log.
        host: the address that it listens on.
    """
    with contextlib.ExitStack() as stack:
        yield Phoenix(_started(stack, folder, host))


def _started(stack: contextlib.ExitStack, folder: Path, host: str) -> str:
    deadline, said = time.monotonic() + START_S, ""
    for _ in range(_ATTEMPTS):
        process, address = _begun(stack, folder, host)
        while process.poll() is None and time.monotonic() < deadline:
            if _answers(address):
                return address
            time.sleep(_STEP_S)
        said = (folder / "phoenix.log").read_text("utf-8", errors="replace")
        if _TAKEN not in said:
            break
    raise RuntimeError(f"Phoenix did not start:\n{said[-2000:]}")


def _begun(
    stack: contextlib.ExitStack, folder: Path, host: str
) -> tuple[subprocess.Popen[bytes], str]:
    port = ports.free()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": host,
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(ports.free()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    log = stack.enter_context((folder / "phoenix.log").open("wb"))
    process = stack.enter_context(
        subprocess.Popen([PROGRAM, "serve"], env=environment, cwd=folder, stdout=log, stderr=log)
    )
    stack.callback(process.kill)
    return process, f"http://{host}:{port}"


def _answers(address: str) -> bool:
    try:
        _asked(f"{address}/healthz")
    except OSError:
        return False
    return True


def _asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310 - our own url
        content: bytes = answer.read()
    return content
