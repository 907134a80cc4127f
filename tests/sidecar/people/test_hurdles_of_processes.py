"""Real processes that try to approve: what a hurdle stops, and what no hurdle can."""

import grp
import os
import pwd
import socket
from dataclasses import replace

import pytest

from mesh7_core.ledger.asked import Request, State
from mesh7_sidecar.people.hurdles import Rules
from tests.sidecar.people import parts
from tests.sidecar.people.parts import REQUEST

PEOPLE = Rules(own_uid=os.geteuid())
SCRIPTS = Rules(own_uid=os.geteuid(), allows_scripts=True)


async def _state(place: parts.Place) -> State:
    found = await place.ledger.request(REQUEST.id)
    assert isinstance(found, Request)
    return found.state


@pytest.mark.promise("A5")
async def test_a_person_at_a_terminal_approves() -> None:
    """docs/administrator/approvers.md."""
    async with parts.serving(rules=PEOPLE) as place:
        await place.open()
        with parts.terminal() as terminal:
            reply = await place.process("ask", **place.approve(terminal=terminal))
        assert (reply.status, reply.json["state"]) == (200, "approved")
        (deed,) = place.deeds
        assert deed.person == f"uid:{os.geteuid()}"
        assert f" < {os.getpid()} " in deed.evidence


@pytest.mark.promise("A5", "D10")
@pytest.mark.parametrize(
    "tricks",
    [{}, {"closed": [0]}, {"closed": [0, 1, 2]}, {"detach": True}],
    ids=["plainly", "without-stdin", "without-any", "detached"],
)
async def test_a_command_without_a_terminal_is_no_person(tricks: parts.Json) -> None:
    """docs/administrator/approvers.md: a terminal is asked for, not a stdin that looks like one."""
    async with parts.serving(rules=PEOPLE) as place:
        await place.open()
        reply = await place.process("ask", **place.approve(**tricks))
        assert reply.status == 403
        assert "has no terminal" in reply.detail
        assert "--allow-scripted-approval" in reply.detail
        assert await _state(place) is State.PENDING


@pytest.mark.promise("A5", "AG6")
@pytest.mark.parametrize("launcher", [[], ["sh", "-c", '"$0" "$@"; true'], ["env"]])
async def test_what_an_agent_starts_cannot_approve_for_it(launcher: list[str]) -> None:
    """The agent is whoever started `mesh7 stdio`, through whatever launcher."""
    async with parts.serving(rules=SCRIPTS) as place:
        await place.open()
        reply = await place.process("agent", launcher=launcher, ask=place.approve())
        assert reply.status == 403
        assert "who asks cannot approve" in reply.detail
        assert await _state(place) is State.PENDING
        (deed,) = place.deeds
        assert deed.refused == reply.detail
        assert (deed.request_id, deed.tool) == (REQUEST.id, "git.commit")


@pytest.mark.promise("A5", "AG6")
async def test_a_terminal_of_its_own_does_not_make_an_agents_command_a_person() -> None:
    async with parts.serving(rules=PEOPLE) as place:
        await place.open()
        with parts.terminal() as terminal:
            reply = await place.process("agent", ask=place.approve(terminal=terminal))
        assert reply.status == 403
        assert "who asks cannot approve" in reply.detail


@pytest.mark.promise("A5", "AG6")
async def test_a_shell_between_an_agent_and_its_command_changes_nothing() -> None:
    async with parts.serving(rules=SCRIPTS) as place:
        await place.open()
        reply = await place.process(
            "agent", wrapper=["sh", "-c", '"$0" "$@"; true'], ask=place.approve()
        )
        assert reply.status == 403


@pytest.mark.promise("A5", "AG6")
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", f"/control/requests/{REQUEST.id}/deny", {"reason": ""}),
        ("POST", "/control/grants", {"tool": "git.commit", "forSeconds": 60, "reason": "x"}),
        ("DELETE", "/control/grants/hand-n1", None),
    ],
)
async def test_an_agent_neither_denies_nor_grants_nor_revokes(
    method: str, target: str, body: object
) -> None:
    async with parts.serving(rules=SCRIPTS) as place:
        await place.open()
        ask = {"method": method, "target": target, "body": body}
        reply = await place.process("agent", ask=ask)
        assert reply.status == 403
        assert "who asks cannot approve" in reply.detail


@pytest.mark.promise("A10")
async def test_anybody_who_may_stops_an_agent_without_a_terminal() -> None:
    """A kill only narrows: no hurdle may keep people from it."""
    async with parts.serving(rules=PEOPLE) as place:
        ask = {"method": "POST", "target": "/control/kill", "body": {"reason": "stop"}}
        reply = await place.process("ask", **ask)
        assert (reply.status, reply.json["effect"]) == (201, "Deny")


@pytest.mark.promise("A5", "AG6")
async def test_what_an_agent_over_http_starts_cannot_approve_while_it_is_connected() -> None:
    """The port of the agents is 127.0.0.1's, and an agent in a terminal hands that on."""
    async with parts.serving(rules=PEOPLE) as place:
        await place.open()
        # Nobody has to accept: the kernel connects them.
        with socket.create_server(("127.0.0.1", 0)) as server, parts.terminal() as terminal:
            port = server.getsockname()[1]
            place.ports = [port]
            reply = await place.process("agent", port=port, ask=place.approve(terminal=terminal))
        assert reply.status == 403
        assert "is connected to the port that agents call" in reply.detail
        assert await _state(place) is State.PENDING


@pytest.mark.promise("A5")
async def test_an_agent_that_left_is_no_hurdle_to_anybody() -> None:
    async with parts.serving(rules=SCRIPTS) as place:
        await place.open()
        assert (await place.process("agent", ask=place.approve())).status == 403
        assert (await place.process("ask", **place.approve())).status == 200


@pytest.mark.promise("A5", "AG6")
async def test_leaving_its_parent_does_not_free_a_command_in_the_agents_terminal() -> None:
    """`(mesh7 approve … &)` has no agent among its ancestors, but still its terminal."""
    async with parts.serving(rules=PEOPLE) as place:
        await place.open()
        with parts.terminal() as terminal:
            ask = place.approve(orphan=True)
            reply = await place.process("agent", terminal=terminal, ask=ask)
        assert reply.status == 403
        assert "runs in this terminal" in reply.detail


TOOLS = Rules(own_uid=os.geteuid(), own_pid=os.getpid())


@pytest.mark.promise("A5", "AG6")
@pytest.mark.parametrize("rules", [TOOLS, replace(TOOLS, allows_scripts=True)])
async def test_what_the_gateway_started_cannot_approve_even_at_a_terminal(rules: Rules) -> None:
    """A stdio tool that opened a terminal and ran `mesh7 approve` was taken for a person."""
    async with parts.serving(rules=rules) as place:
        await place.open()
        with parts.terminal() as terminal:
            reply = await place.process("ask", **place.approve(terminal=terminal))
        assert reply.status == 403
        assert "a tool cannot approve" in reply.detail
        assert await _state(place) is State.PENDING
        (deed,) = place.deeds
        assert deed.refused == reply.detail


@pytest.mark.promise("A5", "AG6")
async def test_a_tool_that_leaves_its_parents_cannot_approve_from_its_session() -> None:
    """The first process of its session, which the gateway started, lives on."""
    rules = replace(TOOLS, allows_scripts=True)
    async with parts.serving(rules=rules) as place:
        await place.open()
        reply = await place.process("tool", ask=place.approve(orphan=True))
        assert reply.status == 403
        assert "a tool cannot approve" in reply.detail


@pytest.mark.promise("A5")
async def test_a_client_that_nobody_could_refuse_later_cannot_join() -> None:
    """docs/administrator/approvers.md: it was let in, and its agent approved its own calls."""
    async with parts.serving(rules=PEOPLE) as place:
        ask = {"method": "GET", "target": "/control/join", "handed": True}
        reply = await place.process("ask", **ask)
        assert reply.status == 403
        assert "what started `mesh7 stdio` cannot be told" in reply.detail
        assert "hidepid" in reply.detail


async def test_known_gap_a_tool_that_detaches_and_opens_a_terminal_passes() -> None:
    """THREAT_MODEL.md: hurdles and no wall, pinned as it is; such a tool belongs elsewhere."""
    async with parts.serving(rules=TOOLS) as place:
        await place.open()
        with parts.terminal() as terminal:
            ask = place.approve(terminal=terminal, detach=True)
            reply = await place.process("ask", **ask)
        assert reply.status == 200


async def test_known_gap_an_agent_that_detaches_and_opens_a_terminal_passes() -> None:
    """THREAT_MODEL.md: hurdles and no wall, pinned as it is; the wall is another user."""
    async with parts.serving(rules=PEOPLE) as place:
        await place.open()
        with parts.terminal() as terminal:
            ask = place.approve(terminal=terminal, detach=True)
            reply = await place.process("agent", ask=ask)
        assert reply.status == 200


@pytest.mark.promise("A5")
async def test_with_approvers_their_group_decides_and_nobody_else() -> None:
    """docs/administrator/approvers.md: the gateway's own user too is refused unless a member."""
    somebody = parts.somebody_else()
    group = grp.getgrgid(somebody.pw_gid).gr_name
    user = {"uid": somebody.pw_uid, "gid": somebody.pw_gid} if os.geteuid() == 0 else {}
    rules = Rules(own_uid=os.geteuid(), approvers=group, allows_scripts=True)
    async with parts.serving(rules=rules) as place:
        await place.open()
        reply = await place.process("ask", **place.approve(**user))
        assert (reply.status, reply.json["state"]) == (200, "approved")
        (decision,) = reply.json["decisions"]
        assert decision["name"] == somebody.pw_name
        assert decision["person"] == f"uid:{somebody.pw_uid}"


def _foreign_group() -> str:
    """A group that the user of this process is not in."""
    own = {os.getgid(), *os.getgrouplist(pwd.getpwuid(os.geteuid()).pw_name, os.getgid())}
    return next(each.gr_name for each in grp.getgrall() if each.gr_gid not in own)


@pytest.mark.promise("A5")
async def test_who_is_not_in_the_approvers_group_is_refused() -> None:
    group = _foreign_group()
    rules = Rules(own_uid=os.geteuid(), approvers=group, allows_scripts=True)
    async with parts.serving(rules=rules) as place:
        await place.open()
        for method, target, body in (
            ("POST", f"/control/requests/{REQUEST.id}/approve", {"reason": ""}),
            ("POST", "/control/kill", {"reason": ""}),
        ):
            reply = await place.process("ask", method=method, target=target, body=body)
            assert reply.status == 403
            assert f"is not in group `{group}`" in reply.detail


@pytest.mark.promise("A5")
async def test_another_user_who_gets_at_the_socket_is_refused() -> None:
    """Its mode keeps others out; should it not, the kernel's word on the user does."""
    somebody = parts.somebody_else()
    user = {"uid": somebody.pw_uid, "gid": somebody.pw_gid} if os.geteuid() == 0 else {}
    owner = os.geteuid() if user else os.geteuid() + 1
    async with parts.serving(rules=Rules(own_uid=owner, allows_scripts=True)) as place:
        await place.open()
        reply = await place.process("ask", **place.approve(**user))
        assert reply.status == 403
        assert "did not start this gateway" in reply.detail
