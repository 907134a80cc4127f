"""How soon a person's yes reaches the call that waits, and how long a long list takes.

A gateway of its own with a real tool server; every call is held, approved through the socket that
`mesh7 approve` uses, and timed from the answer to that until the call's own answer is here.
"""

import http.client
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import calls, children, contenders, gateway, report, upstream

_APPROVED = 200
_LISTED = 200
_LISTS = 50
_FIRST = 100
_LAST = 999
"""Amounts have three digits, and each makes another call."""
_POLICY = """\
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: bench}
spec:
  selector: {}
  rules:
  - {name: ask, tools: ["billing.*"], action: RequireApproval, approval: {timeout: 1h}}
"""


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def markdown() -> str:
    """The figures of one run."""
    upstream.require_programs()
    cores = children.cores()
    with tempfile.TemporaryDirectory(prefix="mesh7-bench-") as name:
        folder = Path(name)
        with upstream.serving(cores.load, folder) as port:
            waits, lists = _measured(port, cores.measured, folder)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    rows = {
        f"from the answer to `approve` to the answer to the call, {_APPROVED} calls": waits,
        f"`GET /control/requests` with {_LISTED} pending, {_LISTS} times": lists,
    }
    lines = [
        f"Measured by `python -m bench approvals` on {today}, {report.machine()}.", "",
        "| ms | p50 | p99 | worst |", "| --- | ---: | ---: | ---: |",
    ]  # fmt: skip
    for title, spans_s in rows.items():
        p50, p99, worst = statistics.median(spans_s), _percentile(spans_s, 99), max(spans_s)
        lines.append(f"| {title} | {p50 * 1e3:.1f} | {p99 * 1e3:.1f} | {worst * 1e3:.1f} |")
    return "\n".join(lines)


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _measured(port: int, core: int, folder: Path) -> tuple[list[float], list[float]]:
    ours = gateway.contender("mesh7", gateway.Shape(), port, folder)
    place = folder / "mesh7"
    argv = [*ours.argv, "--allow-scripted-approval", "--approval-caps", f"{_LISTED},{_LISTED}"]
    with children.running("mesh7", argv, core, folder) as child:
        contenders.wait(ours, child)
        # In force before it is used: the gateway reloads within a second.
        (place / "manifests" / "policy.yaml").write_text(_POLICY, encoding="utf-8")
        control = _Unix(place / "state" / "gateway.sock")
        _until(lambda: _is_held(control, ours.port))
        waits = [
            _approved_after(control, ours.port, number)
            for number in range(_FIRST, _FIRST + _APPROVED)
        ]
        first = _FIRST + _APPROVED
        held = [_send(ours.port, number) for number in range(first, first + _LISTED)]
        _until(lambda: len(_requests(control)) >= _LISTED)
        lists = [_timed(lambda: _requests(control)) for _ in range(_LISTS)]
        for each in held:
            each.close()
        return waits, lists


def _approved_after(control: _Unix, port: int, number: int) -> float:
    answered: list[float] = []
    connection = _send(port, number)

    def wait() -> None:
        connection.recv(65_536)
        answered.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    waiting.start()
    _until(lambda: bool(_requests(control)))
    for each in _requests(control):
        _post(control, f"/control/requests/{each['id']}/approve")
    approved = time.monotonic()
    waiting.join(10.0)
    connection.close()
    return max(0.0, answered[0] - approved)


def _is_held(control: _Unix, port: int) -> bool:
    """Whether calls are held yet: one is sent, refused, and let go of."""
    connection = _send(port, _LAST)
    time.sleep(0.05)
    found = _requests(control)
    for each in found:
        _post(control, f"/control/requests/{each['id']}/deny")
    connection.close()
    return bool(found)


def _send(port: int, number: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10.0)
    connection.sendall(calls.request("/mcp/billing", calls.Names.KNOWN, number))
    return connection


def _requests(control: _Unix) -> list[dict[str, str]]:
    control.request("GET", "/control/requests?state=open")
    listed: list[dict[str, str]] = json.loads(control.getresponse().read())["requests"]
    return listed


def _post(control: _Unix, path: str) -> None:
    control.request("POST", path, b"{}", {"content-type": "application/json"})
    response = control.getresponse()
    said = response.read()
    if response.status >= http.client.BAD_REQUEST:
        raise SystemExit(f"bench: {path} answered {response.status}: {said!r}")


def _timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def _until(is_so: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit("bench: what was waited for did not come")
        time.sleep(0.002)
