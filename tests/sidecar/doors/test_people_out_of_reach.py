"""Nothing on a TCP listener decides anything: reaching a port gives no right."""

from pathlib import Path

import aiohttp
import pytest

from mesh7_sidecar.settings import Address
from tests.sidecar.doors import parts
from tests.sidecar.people.parts import REQUEST

ONE = f"/control/requests/{REQUEST.id}"
PATHS = [
    ("GET", "/control/status"),
    ("GET", "/control/join"),
    ("GET", "/control/requests"),
    ("GET", "/control/requests?state=all"),
    ("GET", ONE),
    ("POST", f"{ONE}/approve"),
    ("POST", f"{ONE}/deny"),
    ("GET", "/control/watch"),
    ("GET", "/control/grants"),
    ("POST", "/control/grants"),
    ("DELETE", "/control/grants/hand-n1"),
    ("POST", "/control/kill"),
]
TRICKS: dict[str, dict[str, str]] = {
    "plainly": {},
    "as another agent": {"x-mesh7-agent": "root"},
    "as the socket": {"host": "localhost"},
    "forwarded": {"x-forwarded-for": "127.0.0.1", "forwarded": "for=unix"},
    "overridden": {"x-http-method-override": "POST", "x-original-url": f"{ONE}/approve"},
}
REFUSED: dict[str, dict[str, str]] = {
    "from a page": {"origin": "http://127.0.0.1:7007"},
    "from no page": {"origin": "null"},
    "from a rebound name": {"host": "evil.example"},
}


@pytest.mark.promise("A5", "D10", "AG6")
@pytest.mark.parametrize("trick", TRICKS | REFUSED)
async def test_no_control_path_is_on_a_listener_that_an_agent_reaches(
    tmp_path: Path, trick: str
) -> None:
    """docs/administrator/approvers.md; the data listener and the admin listener."""
    headers = parts.JSON | (TRICKS | REFUSED)[trick]
    admin = Address("127.0.0.1", 0)
    async with (
        parts.running(tmp_path, parts.OPEN_POLICY, admin=admin) as running,
        aiohttp.ClientSession() as session,
    ):
        other = parts.Agent(session, f"http://{running.status['admin']}")
        for agent in (running.agent, other):
            for method, path in PATHS:
                body = {"reason": ""} if method == "POST" else None
                reply = await agent.send(path, body, headers, method)
                assert (path, reply.status) == (path, 403 if trick in REFUSED else 404)
                assert b'"id"' not in reply.body


@pytest.mark.promise("A5", "D10")
@pytest.mark.parametrize(
    "path", ["/%63ontrol/status", "//control/status", "/mcp/../control/status"]
)
async def test_no_spelling_leads_there_either(tmp_path: Path, path: str) -> None:
    async with parts.running(tmp_path, parts.OPEN_POLICY) as running:
        assert (await running.agent.send(path, None, {}, "GET")).status == 404
