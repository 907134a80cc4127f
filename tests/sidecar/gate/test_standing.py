"""Vetoes and kills hold whatever lies in the ledger, and whether or not it is there."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from typing_extensions import override

from mesh7_core.compiling import drafting
from mesh7_core.ledger.protocol import LOST, MOST_STANDING, Lost, Refused, Standing
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.policy.reasons import Reason
from mesh7_sidecar.gate.gate import Gate
from mesh7_sidecar.gate.notes import Notes
from mesh7_sidecar.gate.standing import StandingGrants
from mesh7_sidecar.gate.terms import HoldTerms
from tests.sidecar.gate.parts import (
    NOON,
    Caller,
    FaultyLedger,
    World,
    in_told_time,
    policy,
    refund,
)

DEEP = ["[" * 100_000, '{"spec":' * 100_000, '{"a":' * 30 + "1" + "}" * 30, "{" + " " * 100_000]
GRANT = {
    "effect": "Allow",
    "subject": {"serviceAccount": "support"},
    "tools": ["billing.create_refund"],
    "policyRef": {"namespace": "default", "name": "shop"},
    "expiresAt": "2026-11-21T12:30:00Z",
    "maxUses": 1,
    "reason": "INC-1",
}


class UnwellLedger(FaultyLedger):
    """A ledger that also takes no grant when it is told so, or fails in a way of ours."""

    fails = False

    @override
    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        if "stand" in self.lost:
            return LOST
        kept = await super().stand(name, document, by)
        return LOST if "stand" in self.unanswered else kept

    @override
    async def standing(self) -> tuple[Standing, ...] | Lost:
        if self.fails:
            message = "a defect of ours"
            raise RuntimeError(message)
        return await super().standing()


def kill(name: str = "stop", agent: str | None = None) -> Standing:
    """As the people's door makes it; it is called `hand-<name>`."""
    written = drafting.veto(agent, "stop", namespace="default", suffix=name, now=NOON)
    return Standing(name=f"hand-{name}", document=json.dumps(written), made_at_ms=1, by="ann")


def grant(expires_at: str, created_at: str = "2026-11-21T12:00:00Z") -> str:
    return json.dumps(
        {
            "apiVersion": "mesh7.dev/v1alpha1",
            "kind": "Grant",
            "metadata": {"name": "g", "creationTimestamp": created_at},
            "spec": GRANT | {"expiresAt": expires_at},
        }
    )


def listing(world: World) -> Reason | None:
    """What an everyday call comes to."""
    return Caller(world, world.gate(), refund(tool="list")).reason


async def decided(world: World, gate: Gate, call: calls.Call) -> Decision:
    """What a call that people may be asked about comes to."""
    caller = Caller(world, gate, call)
    await world.until(lambda: caller.decision is not None)
    assert caller.decision is not None
    return caller.decision


@pytest.mark.promise("A10")
@in_told_time
async def test_an_unreadable_entry_stops_everything_and_no_later_kill_is_lost(
    world: World,
) -> None:
    """One entry that nobody can read made every later kill ineffective, and said nothing."""
    standing = StandingGrants(world.ledger, world.current)
    await world.home.stand("forged", "", "")
    await standing.start()
    forged = listing(world)
    made = await standing.veto(kill(agent="other"))
    names = [one.name for one in standing.known()]
    await standing.fall("forged")
    after = listing(world)
    await standing.veto(kill("all"))
    standing.close()

    assert (forged, after, listing(world)) == (
        Reason.VETOED, Reason.ALLOWED_BY_RULE, Reason.VETOED,
    )  # fmt: skip
    assert isinstance(made, Standing)
    assert names == ["forged", "hand-stop"]


@pytest.mark.promise("A10")
@pytest.mark.parametrize("document", DEEP, ids=["lists", "objects", "deep", "long"])
def test_a_document_too_deep_or_long_is_a_veto_and_ends_no_watch(
    document: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A hundred thousand brackets ended the watch for good, or kept the gateway from starting."""

    @in_told_time
    async def scenario(world: World) -> None:
        standing = StandingGrants(world.ledger, world.current)
        await world.home.stand("deep", document, "")
        await standing.start()
        watching = asyncio.create_task(standing.watch())
        await world.quiet()
        at_once = listing(world)
        await world.home.fall("deep")
        await world.quiet()
        world.pass_by(1)
        await world.quiet()
        assert (at_once, listing(world)) == (Reason.VETOED, Reason.ALLOWED_BY_RULE)
        watching.cancel()
        standing.close()

    scenario(tmp_path_factory.mktemp("deep"))


@pytest.mark.promise("A10")
@in_told_time
async def test_a_turn_of_the_watch_that_fails_is_told_of_and_the_next_one_goes_on(
    world: World,
) -> None:
    """Gate's edge: a defect of ours is seen in the log, and lifts nothing."""
    ledger = UnwellLedger(world.home)
    standing = StandingGrants(ledger, world.current)
    ledger.fails = True
    await standing.start()
    unread = listing(world)
    watching = asyncio.create_task(standing.watch())
    await world.quiet()
    ledger.fails = False
    await world.home.stand("hand-stop", kill().document, "ann")
    await world.quiet()
    killed = [one.name for one in standing.known()]
    await world.home.fall("hand-stop")
    await world.quiet()
    watching.cancel()
    standing.close()

    assert (unread, killed, listing(world)) == (
        Reason.VETOED, ["hand-stop"], Reason.ALLOWED_BY_RULE,
    )  # fmt: skip


@pytest.mark.promise("A10")
@in_told_time
async def test_a_restart_while_the_ledger_is_away_lifts_no_kill(world: World) -> None:
    """What was last read is noted beside the claims, and in force until the next reading."""
    journal = world.journal()
    before = StandingGrants(world.ledger, world.current, Notes(journal, "default"))
    await world.home.stand("hand-stop", kill().document, "ann")
    await before.start()
    before.close()
    await journal.close()

    world.current.swap_overlay(())
    world.ledger.lost.add("standing")
    journal = world.journal()
    after = StandingGrants(world.ledger, world.current, Notes(journal, "default"))
    await after.start()
    during = listing(world)
    world.ledger.lost.clear()
    await world.home.fall("hand-stop")
    await after.refresh()
    after.close()
    lifted = listing(world)
    await journal.close()

    assert (during, lifted) == (Reason.VETOED, Reason.ALLOWED_BY_RULE)


@pytest.mark.promise("A10")
@in_told_time
async def test_what_was_never_read_stops_everything_until_it_is(world: World) -> None:
    """Fail closed: a gateway with a fresh state folder cannot know whom people have stopped."""
    journal = world.journal()
    world.ledger.lost.add("standing")
    standing = StandingGrants(world.ledger, world.current, Notes(journal, "default"))
    await standing.start()
    denied = Caller(world, world.gate(), refund(tool="list"))
    world.ledger.lost.clear()
    await standing.refresh()
    standing.close()
    await journal.close()

    assert denied.decision is not None
    assert denied.decision.reason is Reason.VETOED
    assert denied.decision.text == "the vetoes in force cannot be read yet"
    assert denied.decision.rules == ("default/not-read-yet",)
    assert listing(world) is Reason.ALLOWED_BY_RULE


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '[["a"]]', "7"])
@pytest.mark.promise("A10")
def test_a_note_that_cannot_be_read_lifts_nothing(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The file of claims may be damaged as any other."""

    @in_told_time
    async def scenario(world: World) -> None:
        journal = world.journal()
        await journal.remember("standing:default", text)
        world.ledger.lost.add("standing")
        standing = StandingGrants(world.ledger, world.current, Notes(journal, "default"))
        await standing.start()
        assert listing(world) is Reason.VETOED
        standing.close()
        await journal.close()

    scenario(tmp_path_factory.mktemp("note"))


@pytest.mark.promise("A10")
@pytest.mark.parametrize("faults", [["stand"], ["stand", "standing"]])
def test_a_kill_holds_at_once_without_the_ledger_and_is_stored_when_it_is_back(
    faults: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A full disk or a lost Redis kept people from stopping an agent."""

    @in_told_time
    async def scenario(world: World) -> None:
        ledger = UnwellLedger(world.home)
        standing = StandingGrants(ledger, world.current)
        await standing.start()
        ledger.lost.update(faults)
        assert await standing.veto(kill()) is LOST
        assert standing.is_waiting("hand-stop")
        assert listing(world) is Reason.VETOED
        watching = asyncio.create_task(standing.watch())
        await world.quiet()
        assert listing(world) is Reason.VETOED
        ledger.lost.clear()
        world.pass_by(1)
        await world.quiet()
        assert [one.name for one in await world.home.standing()] == ["hand-stop"]
        assert not standing.is_waiting("hand-stop")
        assert isinstance(await standing.fall("hand-stop"), Standing)
        assert listing(world) is Reason.ALLOWED_BY_RULE
        watching.cancel()
        standing.close()

    scenario(tmp_path_factory.mktemp("kill"))


@pytest.mark.promise("A10")
@in_told_time
async def test_a_kill_whose_storing_was_not_answered_is_stored_once(world: World) -> None:
    """It is there when it is tried again, and is one that was read from then on."""
    ledger = UnwellLedger(world.home)
    standing = StandingGrants(ledger, world.current)
    await standing.start()
    ledger.unanswered.add("stand")
    assert await standing.veto(kill()) is LOST
    watching = asyncio.create_task(standing.watch())
    await world.quiet()
    assert not standing.is_waiting("hand-stop")
    assert [one.name for one in standing.known()] == ["hand-stop"]
    watching.cancel()
    standing.close()


@pytest.mark.promise("A10")
@in_told_time
async def test_a_kill_that_is_not_stored_can_be_lifted(world: World) -> None:
    """Whoever stopped the wrong agent need not wait for a disk."""
    ledger = UnwellLedger(world.home)
    standing = StandingGrants(ledger, world.current)
    await standing.start()
    ledger.lost.add("stand")
    await standing.veto(kill())
    fallen = await standing.fall("hand-stop")
    standing.close()

    assert fallen == kill()
    assert listing(world) is Reason.ALLOWED_BY_RULE


@pytest.mark.promise("A10")
@in_told_time
async def test_a_kill_that_finds_no_place_in_the_ledger_holds_here(world: World) -> None:
    """So many grants may not keep people from stopping an agent."""
    standing = StandingGrants(world.ledger, world.current)
    await standing.start()
    for number in range(MOST_STANDING):
        await world.home.stand(f"g-{number}", kill(agent="other").document, "ann")
    refused = await standing.veto(kill())
    standing.close()

    assert isinstance(refused, Refused)
    assert standing.is_waiting("hand-stop")
    assert listing(world) is Reason.VETOED


@pytest.mark.promise("A9")
@in_told_time
async def test_a_grant_that_is_made_anew_under_its_old_name_begins_with_no_use(
    world: World,
) -> None:
    """Else a used-up grant of a file could never be renewed; the decision shows its id."""
    world.store_ms = world.wall_ns // 1_000_000
    standing = StandingGrants(world.ledger, world.current)
    gate = world.gate(HoldTerms(hold_s=0.0))
    reasons = []
    for number, ends in enumerate(("12:30:00Z", "12:40:00Z")):
        await world.home.stand("g", grant(f"2026-11-21T{ends}"), "ann")
        await standing.refresh()
        for turn in range(2):
            decision = await decided(world, gate, refund(str(10 * number + turn)))
            reasons.append((decision.reason, decision.grants))
        await standing.fall("g")
    standing.close()

    passed, asked = (Reason.GRANTED, ("default/g",)), (Reason.APPROVAL_REQUIRED, ())
    assert reasons == [passed, asked, passed, asked]


@in_told_time
async def test_an_agent_that_was_judged_is_known_by_name(world: World) -> None:
    """A kill of a name that nobody has is told of."""
    world.apply(policy("\n  - {name: all, tools: ['*'], action: Allow}\n"))
    listing(world)

    assert world.current.may_have_seen("support")
    assert not world.current.may_have_seen("suport")
