"""Calls of a pod that people decide: what is signed runs once, what only Redis says never.

The controller is played by `tests.peers.deciding`; sidecar, store and tool server are real.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mesh7_core.delivery.envelopes import Kind
from mesh7_core.ledger.asked import State, Verdict
from mesh7_core.ledger.redis_url import RedisServer
from tests.peers import ports
from tests.peers.deciding import Controller, said
from tests.sidecar.bundles.delivering import AGENT, NAMESPACE, Operator
from tests.sidecar.doors.scripted_source import Script, tool
from tests.sidecar.pod import parts
from tests.sidecar.pod.parts import LOOPBACK, Answer, policy, reason_of, rule, tool_source
from tests.sidecar.pod.test_store import await_store, in_process

UID = "uid-1"


def _asking(hold: str) -> dict[str, object]:
    return {"groups": ["finance"], "timeout": "10m", "useWithin": "5m", "hold": hold}


TILL = policy(
    "till",
    rule("shop.pay", "RequireApproval", approval=_asking("50s")),
    rule("shop.ask", "RequireApproval", approval=_asking("0s")),
)
"""A payment waits for people; what is only asked does not wait."""


@dataclass(frozen=True, slots=True)
class World:
    """A pod whose calls people decide, and all around it."""

    operator: Operator
    store: parts.Store
    script: Script
    deciding: Controller
    pod: parts.Pod
    url: str

    @property
    def ran(self) -> list[object]:
        """The calls that reached the tool, by their arguments."""
        return [talk.params["arguments"] for talk in self.script.asked("tools/call")]

    def pay(self, amount: int = 5) -> "asyncio.Task[Answer]":
        """A payment that waits for people."""
        return asyncio.create_task(self.pod.call("shop.pay", amount=amount))

    async def ask(self, amount: int = 5) -> str:
        """Why a payment that does not wait is not made; empty when it is."""
        return reason_of(await self.pod.call("shop.ask", amount=amount))

    async def dry(self, name: str = "pay", amount: int = 5) -> tuple[object, object]:
        """What the payment would come to."""
        question = {"tool": f"shop.{name}", "arguments": {"amount": amount}}
        body = (await self.pod.ask("/v1/decide", question)).body
        return body.get("decision"), body.get("reason")

    async def lead(self, version: int, **spec: object) -> None:
        """Another ToolSource is delivered, and in force."""
        sources = tool_source("shop", self.url, **spec)
        self.store.deliver(Kind.BUNDLE, version, self.operator.bundle(version, TILL, sources))

        async def is_in_force() -> bool:
            return (await self.pod.readyz()).body["bundle"] == version

        await self.pod.eventually(is_in_force)

    async def told(self, text: str) -> None:
        """Wait until the log says so."""

        async def is_told() -> bool:
            return text in self.pod.log

        await self.pod.eventually(is_told)


@contextlib.asynccontextmanager
async def worlds(folder: Path) -> AsyncIterator[World]:
    operator, script = Operator(), Script(tools=[tool("pay"), tool("ask")])
    async with parts.sourced(script) as source:
        files = {
            "bundle": operator.bundle(1, TILL, tool_source("shop", source.url)),
            "overlay": operator.overlay(1),
        }
        with parts.stored(folder / "store") as store:
            deciding = Controller(store.server, NAMESPACE, lambda: operator.signer)
            given = {"MESH7_REDIS_URL": store.url, **LOOPBACK}
            async with parts.running(folder, operator, given, **files) as pod:
                await pod.until_ready()
                await await_store(pod)
                yield World(operator, store, script, deciding, pod, source.url)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with worlds(tmp_path) as made:
        yield made


def _answered(answer: Answer) -> bool:
    """Whether the tool's own answer came."""
    return answer.status == 200 and not answer.body.get("isError")


@pytest.mark.promise("A12", "A2")
async def test_a_held_call_that_people_approved_runs_once(world: World) -> None:
    """Issue 7: the held call runs once, right then, in the pod that asked."""
    paying = world.pay()
    asked = await world.deciding.asked()
    assert (asked.uid, asked.pod, asked.tool, asked.arguments) == (
        UID, AGENT.pod, "shop.pay", '{"amount":5}',
    )  # fmt: skip
    assert (asked.family, asked.source_kind, asked.mark.partition(":")[0]) == (
        "tools", "mcp", "arguments",
    )  # fmt: skip
    approved = world.deciding.decide(asked.id, said("jane"))
    assert approved.state is State.APPROVED
    assert _answered(await paying)
    assert world.ran == [{"amount": 5}]
    used = await world.deciding.became(asked.id, State.USED)
    assert used.votes == approved.votes
    assert "is ignored" not in world.pod.log


async def test_without_a_hold_a_repeat_runs_what_was_approved(world: World) -> None:
    """A4: whoever could not wait repeats the same call."""
    assert await world.ask() == "approval-required"
    asked = await world.deciding.asked()
    assert await world.ask() == "approval-required"
    world.deciding.decide(asked.id, said("jane"))
    assert await world.ask() == ""
    assert world.ran == [{"amount": 5}]
    assert len(world.deciding.requests()) == 1


@pytest.mark.promise("A12")
async def test_a_denial_reaches_the_agent_in_the_persons_words(world: World) -> None:
    """Issue 7: one valid no ends it; repeats are told the same."""
    paying = world.pay()
    asked = await world.deciding.asked()
    world.deciding.decide(asked.id, said("kim", Verdict.DENY, "no refunds in November"))
    answers = [await paying, await world.pod.call("shop.pay", amount=5)]
    assert [reason_of(one) for one in answers] == ["denied-by-person"] * 2
    assert all("no refunds in November" in str(one.body) for one in answers)
    assert await world.dry() == ("Deny", "denied-by-person")
    assert world.ran == []


@pytest.mark.promise("K9", "A12")
@pytest.mark.parametrize("forged", ["pointer", "both"])
@pytest.mark.parametrize("verdict", Verdict)
async def test_a_decision_that_is_forged_in_redis_is_ignored_counted_and_repaired(
    world: World, forged: str, verdict: Verdict
) -> None:
    """Issue 7: a Redis writer forging a decision; whoever waits goes on waiting."""
    paying = world.pay()
    asked = await world.deciding.asked()
    if forged == "both":
        world.deciding.forge(asked, said("mallory", verdict, "forged"))
    else:
        world.deciding.point(asked, "A" if verdict is Verdict.APPROVE else "D")
    await world.told("is ignored (unsigned")
    assert not paying.done()
    assert world.ran == []
    # The controller puts it right, and then people decide.
    assert world.deciding.decide(asked.id).state is State.PENDING
    world.deciding.decide(asked.id, said("jane"))
    assert _answered(await paying)
    assert world.ran == [{"amount": 5}]
    assert "forged" not in world.pod.log


@pytest.mark.promise("K9")
async def test_a_forged_text_behind_a_true_pointer_runs_nothing(world: World) -> None:
    """Only the text says yes: nobody looks at it before the pointer does."""
    assert await world.ask() == "approval-required"
    asked = await world.deciding.asked()
    world.deciding.forge(asked, said("mallory"))
    world.deciding.point(asked, "P")
    assert await world.ask() == "approval-required"
    world.deciding.point(asked, "A")
    assert await world.ask() == "approval-required"
    assert world.ran == []
    assert world.pod.log.count("is ignored (unsigned") == 1
    await world.pod.eventually(lambda: _is_reported(world, "unsigned", 1))


async def _is_reported(world: World, refusal: str, count: int) -> bool:
    refused = world.store.reports().get(UID, {}).get("refused")
    return isinstance(refused, dict) and refused.get(refusal) == count


OTHERS: dict[str, tuple[dict[str, object], str]] = {
    "pod": ({"uid": "uid-2"}, "foreign"),
    "namespace": ({"namespace": "bank"}, "foreign"),
    "request": ({"request_id": "r-" + "a" * 26}, "foreign"),
    "digest": ({"digest": "sha256:" + "0" * 64}, "foreign"),
    "verdict": ({"is_approved": False}, "unsigned"),
    "expired": ({"until_ms": 1}, "old"),
}


@pytest.mark.promise("A12")
@pytest.mark.parametrize("other", OTHERS)
async def test_a_signed_decision_about_something_else_runs_nothing(
    world: World, other: str
) -> None:
    """Issue 7: a decision of another pod, namespace, request or digest; an expired one."""
    changed, refusal = OTHERS[other]
    paying = world.pay()
    asked = await world.deciding.asked()
    world.deciding.lay_otherwise(asked.id, changed)
    await world.told(f"is ignored ({refusal}")
    assert not paying.done()
    assert world.ran == []
    world.deciding.decide(asked.id)
    world.deciding.decide(asked.id, said("jane"))
    assert _answered(await paying)
    assert world.ran == [{"amount": 5}]


@pytest.mark.promise("A12")
async def test_a_key_that_was_rotated_away_approves_nothing(world: World) -> None:
    """Issue 7: a decision signed with a retired key."""
    retired = world.operator.signer
    world.operator.rotate()
    world.store.deliver(Kind.OVERLAY, 2, world.operator.overlay(2))

    async def is_known() -> bool:
        return (await world.pod.readyz()).body["overlay"] == 2

    await world.pod.eventually(is_known)
    paying = world.pay()
    asked = await world.deciding.asked()
    world.deciding.lay_otherwise(asked.id, {}, signer=retired)
    await world.told("is not one that may sign now")
    assert not paying.done()
    assert world.ran == []
    world.deciding.decide(asked.id)
    world.deciding.decide(asked.id, said("jane"))
    assert _answered(await paying)


@pytest.mark.promise("A2", "D1")
async def test_a_used_request_that_a_redis_writer_makes_approved_again_runs_nothing(
    world: World,
) -> None:
    """Issue 7: the signed yes still stands, and the journal of the pod says that it ran."""
    paying = world.pay()
    asked = await world.deciding.asked()
    approved = world.deciding.decide(asked.id, said("jane"))
    assert _answered(await paying)
    used = await world.deciding.finished(asked.id, "ok")
    # Results of a minute ago are not kept over a restart; the journal is.
    await world.pod.restart()
    await world.pod.until_ready()
    await await_store(world.pod)
    world.deciding.exchange(used, replace(approved, version=used.version + 1))
    assert await world.dry() == ("Allow", "approved")
    assert reason_of(await world.pod.call("shop.pay", amount=5)) == "outcome-unknown"
    assert world.ran == [{"amount": 5}]
    again = await world.deciding.finished(asked.id, "ok")
    assert again.state is State.USED


@pytest.mark.promise("A4", "D5")
async def test_a_restarted_sidecar_joins_the_request_that_was_open(world: World) -> None:
    """Issue 7: sidecar restart while waiting; SIGTERM answers held calls pending."""
    paying = world.pay()
    asked = await world.deciding.asked()
    world.pod.send_signal(signal.SIGTERM)
    answer = await paying
    assert reason_of(answer) == "approval-required"
    assert asked.id in str(answer.body)
    assert await world.pod.ended() == 0
    world.deciding.decide(asked.id, said("jane"))
    await world.pod.start()
    await world.pod.until_ready()
    await await_store(world.pod)
    assert _answered(await world.pod.call("shop.pay", amount=5))
    assert world.ran == [{"amount": 5}]
    assert [one.id for one in world.deciding.requests()] == [asked.id]


@pytest.mark.promise("A12")
async def test_a_store_that_was_emptied_is_asked_anew_and_the_old_yes_is_worthless(
    world: World,
) -> None:
    """Issue 7: Redis emptied while a call waits."""
    paying = world.pay()
    before = await world.deciding.asked()
    after = world.deciding.forge(before, said("jane"))
    old = world.deciding.decision(after)
    world.store.server.tell("FLUSHALL")
    fresh = await world.deciding.asked(but=(before.id,))
    assert (fresh.digest, fresh.arguments) == (before.digest, before.arguments)
    world.deciding.lay_otherwise(fresh.id, {"request_id": old.request_id})
    await world.told("is ignored (foreign")
    assert world.ran == []
    world.deciding.decide(fresh.id)
    world.deciding.decide(fresh.id, said("jane"))
    assert _answered(await paying)
    assert world.ran == [{"amount": 5}]


@pytest.mark.promise("A7")
async def test_callers_that_race_for_one_approval_run_it_once(world: World) -> None:
    """Issue 7: once or not at all; the others get its result."""
    paying = [world.pay() for _ in range(8)]
    asked = await world.deciding.asked()
    world.deciding.decide(asked.id, said("jane"))
    assert all(_answered(one) for one in await asyncio.gather(*paying))
    assert world.ran == [{"amount": 5}]


@pytest.mark.promise("A1", "A12")
async def test_a_yes_is_not_used_for_a_source_that_leads_elsewhere_by_now(world: World) -> None:
    """Whoever edits a ToolSource could otherwise have it run with another account."""
    assert await world.ask() == "approval-required"
    asked = await world.deciding.asked()
    world.deciding.decide(asked.id, said("jane"))
    await world.lead(2, headers=[{"name": "x-account", "value": "savings"}])
    assert await world.ask() == "approval-required"
    other = await world.deciding.asked(but=(asked.id,))
    assert world.ran == []
    assert (other.source != asked.source, other.mark) == (True, asked.mark)
    await world.lead(3, bounds={"timeout": "30s"})
    assert await world.ask() == ""
    assert world.ran == [{"amount": 5}]


@pytest.mark.promise("A11")
async def test_a_request_has_a_salt_that_is_each_pods_own(world: World) -> None:
    """Redis and the operator know it; by a digest without one what is masked could be tried out."""
    assert await world.ask() == "approval-required"
    asked = await world.deciding.asked()
    assert len(asked.salt) == 32
    assert asked.salt not in world.pod.log + json.dumps(world.pod.audit)


@pytest.mark.promise("A1")
async def test_the_same_pod_name_with_another_uid_asks_for_itself(
    world: World, tmp_path: Path
) -> None:
    """A pod that is made anew under its old name has none of the old one's approvals."""
    assert await world.ask() == "approval-required"
    asked = await world.deciding.asked()
    world.deciding.decide(asked.id, said("jane"))
    assert await world.pod.end() == 0
    given = {**world.pod.environment, "MESH7_POD_UID": "uid-2", "MESH7_STATE": str(tmp_path / "2")}
    async with parts.made(tmp_path / "new", world.operator, given) as anew:
        anew.port, anew.admin_port = world.pod.port, world.pod.admin_port
        await anew.start()
        await anew.until(anew.readyz, 200)
        await await_store(anew)
        assert reason_of(await anew.call("shop.ask", amount=5)) == "approval-required"
        other = await world.deciding.asked()
        assert (other.uid, other.pod) == ("uid-2", asked.pod)
        assert other.digest != asked.digest
        assert other.salt != asked.salt
    assert world.ran == []


async def test_a_dry_run_says_what_the_call_would_come_to(world: World) -> None:
    """P1: `/v1/decide` in a pod; nothing is opened or used by it."""
    assert await world.dry() == ("Hold", "approval-required")
    assert world.deciding.requests() == ()
    paying = world.pay()
    asked = await world.deciding.asked()
    assert await world.dry() == ("Hold", "approval-required")
    forged = world.deciding.forge(asked, said("mallory"))
    assert await world.dry() == ("Hold", "approval-required")
    world.deciding.decide(forged.id)
    world.deciding.decide(asked.id, said("jane"))
    assert _answered(await paying)
    assert await world.dry(amount=6) == ("Hold", "approval-required")
    assert len(world.deciding.requests()) == 1


async def test_a_yes_for_another_policy_decides_nothing(
    world: World,
) -> None:
    """Issue 7: a grant for another policy; a vote counts for the rules of its policy alone."""
    paying = world.pay()
    asked = await world.deciding.asked()
    undecided = world.deciding.decide(asked.id, said("jane", policies=("shop/other",)))
    assert undecided.state is State.PENDING
    assert world.deciding.laid(asked.id) == b""
    world.deciding.decide(asked.id, said("jane", policies=("shop/till",)))
    assert _answered(await paying)


@pytest.mark.promise("A12")
async def test_another_store_while_a_call_waits_runs_it_once_or_not_at_all(
    tmp_path: Path,
) -> None:
    """Issue 7: the exchange names another Redis; a yes in the old one is nobody's word there."""
    operator, script = Operator(), Script(tools=[tool("pay"), tool("ask")])
    port = ports.free()
    async with contextlib.AsyncExitStack() as stack:
        source = await stack.enter_async_context(parts.sourced(script))
        one = stack.enter_context(parts.stored(tmp_path / "one"))
        two = stack.enter_context(parts.stored(tmp_path / "two"))
        first, second = (
            Controller(each.server, NAMESPACE, lambda: operator.signer) for each in (one, two)
        )
        pod = await in_process(
            tmp_path, operator,
            {"MESH7_REDIS_URL": one.url, "MESH7_LISTEN": f"127.0.0.1:{port}", **LOOPBACK},
            bundle=operator.bundle(1, TILL, tool_source("shop", source.url)),
            overlay=operator.overlay(1),
        )  # fmt: skip
        stack.push_async_callback(pod.close)
        caller = await stack.enter_async_context(parts.made(tmp_path / "caller", operator))
        await pod.start()
        caller.port = port
        paying = asyncio.create_task(caller.call("shop.pay", amount=5))
        before = await first.asked()
        pod.use(RedisServer(host="127.0.0.1", port=two.server.port))
        repeating = asyncio.create_task(_insisted(caller))
        fresh = await second.asked()
        first.decide(before.id, said("jane"))
        second.lay(fresh.id, first.laid(before.id))
        second.point(fresh, "A")
        second.decide(fresh.id, said("jane"))
        assert _answered(await repeating)
        answer = await paying
        assert _answered(answer) or reason_of(answer) == "approval-unavailable"
        assert len(script.asked("tools/call")) == 1


async def _insisted(caller: parts.Pod) -> Answer:
    """What the payment comes to once there is a store again."""
    while True:
        answer = await caller.call("shop.pay", amount=5)
        if reason_of(answer) != "approval-unavailable":
            return answer
        await asyncio.sleep(parts.STEP_S)
