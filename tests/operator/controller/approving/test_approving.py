"""Held calls through the controller: each thing that makes it look, and what it makes of faults."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from mesh7_core.delivery import decisions
from mesh7_core.ledger import approvals as table
from mesh7_core.ledger.asked import Request, State, Verdict, Vote
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.plan import plan
from mesh7_operator.approving.steps import Steps
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import resources
from mesh7_operator.controller.approving.grounding import Allowed, Grounds
from mesh7_operator.controller.approving.living import Pods
from tests.conftest import Eventually
from tests.operator.approving import worlds
from tests.operator.controller.approving.held_calls import (
    SHOP,
    FixedKeys,
    Place,
    asking,
    compiled,
    placed,
)
from tests.operator.store.parts import storing

SHORT = {name: text.replace("timeout: 5m", "timeout: 1s") for name, text in worlds.POLICIES.items()}


STANDING = Clock(wall_ns=lambda: worlds.NOON_MS * 10**6, monotonic_s=lambda: 100.0)


async def _mirrored(place: Place, state: str = "Pending") -> None:
    await place.until(lambda: list(place.mirrors().values()) == [state])


async def test_a_held_call_is_mirrored_and_peoples_yes_reaches_its_sidecar(tmp_path: Path) -> None:
    """Design 6.4 and 6.5: from the ledger to people, and back signed."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.grant()
        found = await place.until_read(ledger, asked.id, State.APPROVED)
        decided = place.decision(asked.id)
        assert decided is not None
        assert (decided.request_id, decided.digest, decided.uid, decided.is_approved) == (
            asked.id, asked.digest, worlds.UID, True,
        )  # fmt: skip
        assert decided.until_ms == table.ends_at(found)
        assert decided.by == ("jane",)
        await _mirrored(place, "Approved")
        await place.until(lambda: place.heard().startswith("Active"))
        assert place.leader.count("mesh7_decisions_total", verdict="approved") == 1
        assert place.leader.count("mesh7_decision_seconds_count") == 1
        claimed = await ledger.claim(asked.id, asked.digest, ())
        assert isinstance(claimed, Request), claimed
        await ledger.finish(asked.id, "succeeded")
        await _mirrored(place, "Used")
        await place.until(lambda: place.leader.count("mesh7_open_requests") == 0)
        # Nothing of that is compiled.
        assert place.leader.marked == [SHOP]


async def test_peoples_no_ends_it(tmp_path: Path) -> None:
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.grant("no", effect="Deny")
        await place.until_read(ledger, asked.id, State.DENIED)
        decided = place.decision(asked.id)
        assert decided is not None
        assert not decided.is_approved
        await _mirrored(place, "Denied")
        assert place.leader.count("mesh7_decisions_total", verdict="denied") == 1


async def test_one_who_may_not_is_told_so_and_counted_once(tmp_path: Path) -> None:
    """Issue 7: a Grant by somebody whose groups no rule names."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.grant("bob", by="bob", groups=())
        # It is counted a moment after people can read it.
        await place.until(
            lambda: (
                place.heard("bob").startswith("Refused")
                and place.leader.count("mesh7_refused_answers_total") == 1
            )
        )
        assert place.decision(asked.id) is None
        assert place.mirrors() == {asked.id: "Pending"}


async def test_the_round_finds_what_nobody_told_of(tmp_path: Path) -> None:
    """A message is lost, as messages are: the clock is the net."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        await place.store.follow([])
        place.work()
        await place.opens(ledger)
        await place.leader.approvals.look_around()
        await _mirrored(place)


async def test_what_the_clock_alone_changes_is_seen_in_time(tmp_path: Path) -> None:
    """A request expires though nothing happens any more."""
    known = worlds.policies(SHORT)
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.leader.compilation = compiled(SHORT)
        place.work()
        for number in itertools.count(1):
            asked = await place.opens(ledger, number, known=known)
            await place.until_read(ledger, asked.id, State.EXPIRED)
            # A machine may be too slow to look at one before its second is over.
            if asked.id in place.mirrors():
                break
        await place.until(lambda: place.mirrors()[asked.id] == "Expired")


async def test_other_policies_are_looked_at_at_once(tmp_path: Path) -> None:
    """Issue 7: the policy that asked was taken away; and one that comes late is waited for."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.leader.compilation = None
        place.work()
        asked = await place.opens(ledger)
        await place.until(lambda: bool(place.leader.approvals._asking))  # noqa: SLF001
        assert place.mirrors() == {}
        place.leader.compilation = compiled()
        place.leader.approvals.compiled(SHOP)
        await _mirrored(place)
        place.leader.compilation = compiled(
            {"baseline.yaml": worlds.POLICIES["baseline/refunds.yaml"]}
        )
        place.leader.approvals.compiled(SHOP)
        await place.until_read(ledger, asked.id, State.WITHDRAWN)
        await _mirrored(place, "Withdrawn")


async def test_a_pod_that_is_gone_takes_its_requests_with_it(tmp_path: Path) -> None:
    """Design 6.5: a pod that is gone takes its approvals with it."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.server.remove(resources.PODS, SHOP, worlds.POD)
        place.time.ahead_s += 16
        await place.leader.approvals.look_around()
        await place.until_read(ledger, asked.id, State.WITHDRAWN)
        await _mirrored(place, "Withdrawn")


@pytest.mark.promise("A12")
async def test_before_a_decision_the_pod_is_looked_up(tmp_path: Path) -> None:
    """Issue 7: a Grant for a deleted pod, made a moment after it went."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.server.remove(resources.PODS, SHOP, worlds.POD)
        place.pod(uid="99999999-2222-3333-4444-555555555555")
        place.grant()
        await place.until(lambda: place.heard().startswith("Refused"))
        assert place.decision(asked.id) is None


@pytest.mark.promise("A12")
async def test_the_pod_of_a_half_answered_request_is_looked_up_once(tmp_path: Path) -> None:
    """Lifecycle review of issue 7: each look asked for the pod of each that waits for a second."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        await place.opens(ledger, tool="billing.wire", rules=("shop/refunds/huge",))
        await _mirrored(place)
        grounds = Grounds(
            board=place.leader.board, store=place.store, keyrings=FixedKeys(),
            pods=Pods(place.api, STANDING), policies=place.leader.policies, clock=STANDING,
        )  # fmt: skip

        async def lookups() -> int:
            place.server.asked.clear()
            assert (
                await grounds.gather(SHOP, (), Allowed(room=1, most_bytes=1, gone=())) is not None
            )
            return sum(path.endswith(f"/pods/{worlds.POD}") for _, path in place.server.asked)

        assert [await lookups(), await lookups()] == [1, 0]
        place.grant()
        await place.until(lambda: place.heard() == "Active Counted")
        await place.stop()
        assert await lookups() == 0
        place.grant("second", by="bob", groups=("board",))
        await place.leader.tell()
        assert await lookups() == 1


async def test_a_closed_request_is_deleted_after_a_day(tmp_path: Path) -> None:
    """Design 6.4: deleted 24 h after closing."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        await ledger.withdraw(asked.id)
        await _mirrored(place, "Withdrawn")
        place.time.ahead_s += 24 * 60 * 60 + 60
        await place.until(lambda: place.mirrors() == {})


@pytest.mark.promise("C3")
async def test_an_id_that_was_shown_once_is_not_shown_for_another_call(tmp_path: Path) -> None:
    """Security review of issue 7, F7: another call under an id that was pushed out."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        await ledger.withdraw(asked.id)
        await _mirrored(place, "Withdrawn")
        place.time.ahead_s += 24 * 60 * 60 + 60
        await place.until(lambda: place.mirrors() == {})
        await place.opens(ledger, 2, id=asked.id)
        await place.until(lambda: place.leader.count("mesh7_doubted_requests_total") == 1)
        assert place.mirrors() == {}


@pytest.mark.promise("A12")
async def test_what_a_redis_writer_makes_up_is_repaired_and_counted(tmp_path: Path) -> None:
    """Issue 7: a Redis writer forging a decision (ignored, counted)."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        mallory = Vote(person="x", name="mallory", groups=("finance",), verdict=Verdict.APPROVE)
        forged = await ledger.vote(asked.id, mallory)
        assert isinstance(forged, Request)
        assert forged.state is State.APPROVED
        found = await place.until_read(ledger, asked.id, State.PENDING)
        assert found.votes == ()
        assert place.mirrors() == {asked.id: "Pending"}
        # It is counted a moment after sidecars are told.
        await place.until(
            lambda: place.leader.count("mesh7_forged_requests_total", namespace=SHOP) >= 1
        )


async def test_what_is_no_genuine_request_is_not_mirrored_and_counted_once(tmp_path: Path) -> None:
    """Issue 7: flooding with made-up requests is no way into the cluster's store."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        await place.opens(ledger, uid="99999999-2222-3333-4444-555555555555")
        await place.until(lambda: place.leader.count("mesh7_doubted_requests_total") == 1)
        for _ in range(3):
            await place.leader.approvals.look_around()
        good = await place.opens(ledger, 2)
        await place.until(lambda: place.mirrors() == {good.id: "Pending"})
        assert place.leader.count("mesh7_doubted_requests_total") == 1


# Crashes


@pytest.mark.promise("K8")
async def test_a_crash_after_the_decision_was_put_there_is_made_good(tmp_path: Path) -> None:
    """Issue 7: idempotent after a crash between any two steps. The decision was first."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        await place.crash()
        stands = await ledger.request(asked.id)
        assert isinstance(stands, Request)
        sealed = decisions.seal(
            decisions.Decision(
                namespace=SHOP, request_id=asked.id, digest=asked.digest, uid=worlds.UID,
                is_approved=True, until_ms=stands.opened_at_ms + 120_000, by=("jane",),
            ),
            worlds.SIGNER,
        )  # fmt: skip
        place.redis.tell("SET", f"m7b:{{{SHOP}}}:v:{asked.id}", sealed)
        await place.leader.tell()
        place.grant()
        place.grant("no", effect="Deny", by="bob", made_s=1)
        await place.leader.tell()
        place.work()
        await place.until_read(ledger, asked.id, State.APPROVED)
        decided = place.decision(asked.id)
        assert decided is not None
        assert (decided.is_approved, decided.until_ms) == (True, stands.opened_at_ms + 120_000)
        await place.until(lambda: place.heard("no").startswith("Refused"))


async def test_a_crash_after_redis_was_told_is_made_good(tmp_path: Path) -> None:
    """The same, one step later: statuses are still to be written."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.server.troubles = [(500, {})] * 100
        place.server.troubled_path, place.server.troubled_method = "/status", "PATCH"
        place.grant()
        await place.until_read(ledger, asked.id, State.APPROVED)
        await place.crash()
        place.server.troubles = []
        place.work()
        await _mirrored(place, "Approved")
        await place.until(lambda: place.heard().startswith("Active"))
        found = await ledger.request(asked.id)
        assert isinstance(found, Request)
        assert found.version == 2


@pytest.mark.promise("A12")
async def test_nobody_is_told_of_a_yes_that_redis_does_not_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Found on a node: an operator's user without SET; people read `approved`, nothing ran."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.redis.tell("ACL", "SETUSER", "default", "-set")
        place.grant()
        await place.until(lambda: "redis did not take a decision" in caplog.text)
        await place.stop()
        assert list(place.mirrors().values()) == ["Pending"]
        assert not place.heard().startswith("Active")
        place.redis.tell("ACL", "SETUSER", "default", "+set")
        place.work()
        await place.leader.tell()
        await place.until_read(ledger, asked.id, State.APPROVED)
        await _mirrored(place, "Approved")
        await place.until(lambda: place.heard().startswith("Active"))


async def test_a_mirror_without_a_status_gets_one(tmp_path: Path) -> None:
    """A crash between its creation and its first status."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.server.troubles = [(500, {})] * 100
        place.server.troubled_path, place.server.troubled_method = "/status", "PATCH"
        place.work()
        await place.opens(ledger)
        await _mirrored(place, "")
        await place.crash()
        place.server.troubles = []
        place.work()
        await _mirrored(place)


async def test_what_is_there_already_is_not_an_error(tmp_path: Path) -> None:
    """Another leader made it, and the watch has not told: 409."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.work()
        await place.opens(ledger)
        await _mirrored(place)
        await place.crash()
        fresh, ground = place.leader, list[Ground]()

        def planned(found: Ground) -> Steps:
            ground.append(found)
            return plan(replace(found, mirrors=()) if len(ground) == 1 else found)

        fresh.plan = planned
        place.work()
        await fresh.tell()
        await place.leader.approvals.look_around()
        await place.until(lambda: bool(ground))
        await _mirrored(place)


@pytest.mark.promise("K8")
async def test_two_that_both_believe_to_lead_decide_once(tmp_path: Path) -> None:
    """Issue 7: operator fail-over while waiting."""
    async with placed(tmp_path) as place, asking(place) as ledger, storing(place.redis) as other:
        await other.follow([SHOP])
        place.another(other)
        place.work()
        asked = await place.opens(ledger)
        await _mirrored(place)
        place.grant()
        found = await place.until_read(ledger, asked.id, State.APPROVED)
        await _mirrored(place, "Approved")
        assert (found.version, [one.name for one in found.votes]) == (2, ["jane"])
        decided = place.decision(asked.id)
        assert decided is not None
        assert decided.until_ms == table.ends_at(found)


async def test_who_leads_no_longer_writes_nothing(tmp_path: Path) -> None:
    async with placed(tmp_path) as place, asking(place) as ledger:
        place.leader.may_write = False
        planned = asyncio.Event()

        def noted(ground: Ground) -> Steps:
            steps = plan(ground)
            if steps.mirror:
                planned.set()
            return steps

        place.leader.plan = noted
        place.work()
        await place.opens(ledger)
        await asyncio.wait_for(planned.wait(), 30)
        await place.until(lambda: place.leader.approvals.age_s < 30)
        assert [method for method, _ in place.server.asked if method != "GET"] == []


# Redis


async def test_while_redis_is_lost_nothing_is_closed_and_people_are_told_to_wait(
    tmp_path: Path,
) -> None:
    """Issue 7: Redis fail-over while waiting."""
    async with placed(tmp_path) as place:
        async with asking(place) as ledger:
            place.work()
            asked = await place.opens(ledger)
            await _mirrored(place)
        place.redis.kill()
        place.grant()
        await place.until(lambda: place.heard().startswith("Pending"))
        assert place.mirrors() == {asked.id: "Pending"}
        place.leader.regained.clear()
        place.redis.start()
        await place.until(lambda: bool(place.leader.regained))

        def is_closed() -> bool:
            # As the round does: connections come back one after the other, and whoever is told
            # first may still find that the others are lost.
            place.leader.approvals.mark(SHOP)
            return place.mirrors()[asked.id] not in {"Pending", "Approved"}

        # It kept nothing: whoever asked asks anew.
        await place.until(is_closed)
        await place.until(lambda: place.heard().startswith("Refused"))


# Others


async def test_a_defect_that_one_namespace_shows_costs_it_alone(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Issue 7: healthz is unaffected by one bad namespace."""
    async with placed(tmp_path) as place, asking(place) as ledger:
        crashed: list[str] = []

        def planned(ground: Ground) -> Steps:
            if not crashed:
                crashed.append(ground.namespace)
                raise ZeroDivisionError
            return plan(ground)

        place.leader.plan = planned
        place.work()
        await place.opens(ledger)
        await eventually(lambda: crashed == [SHOP])
        await _mirrored(place)
