"""All homes are driven with the same operations and the same time, and must answer the same."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from mesh7_core.ledger.approvals import Asking, Request, Verdict
from mesh7_core.ledger.protocol import Caps, Ledger, Window
from tests.core.ledger import contract
from tests.core.ledger.agreeing import DIGESTS, LIMITS, Counting
from tests.core.ledger.contract import observed, plain

CAPS = Caps(per_pod=2, per_namespace=3)
ASKING = (
    Asking(rule="default/p/money", groups=("finance",), count=2, text=""),
    Asking(rule="default/p/risk", groups=(), count=1, text=""),
)
IDS = st.integers(1, 8).map(contract.request_id)


class Agreement(Counting):
    """All that a ledger does."""

    @rule(
        number=st.integers(1, 8),
        digest=DIGESTS,
        pod=st.sampled_from(["pod-1", "pod-2"]),
        lives_ms=st.sampled_from([1000, 30_000, 200_000_000]),
    )
    def people_are_asked(self, number: int, digest: str, pod: str, lives_ms: int) -> None:
        wanted = contract.request(
            number + 10 * ["sha256:a", "sha256:b", "sha256:c"].index(digest),
            digest, pod, ASKING, lives_ms, lives_ms,
        )  # fmt: skip

        async def ask(one: Ledger) -> object:
            known = await one.request(wanted.id)
            return known if isinstance(known, Request) else await one.open(wanted, CAPS)

        self.same(ask)

    @rule(
        data=st.data(),
        name=st.sampled_from(["lea", "kim", "eve"]),
        groups=st.sampled_from([("finance",), (), ("interns", "finance")]),
        verdict=st.sampled_from([Verdict.APPROVE, Verdict.APPROVE, Verdict.DENY]),
    )
    def somebody_votes(
        self, data: st.DataObject, name: str, groups: tuple[str, ...], verdict: Verdict
    ) -> None:
        identifier = data.draw(self.known_ids())
        self.same(lambda one: one.vote(identifier, contract.vote(name, verdict, groups)))

    @rule(data=st.data(), digest=DIGESTS, windows=LIMITS)
    def an_approval_is_claimed(
        self, data: st.DataObject, digest: str, windows: tuple[Window, ...]
    ) -> None:
        identifier = data.draw(self.known_ids())
        self.same(lambda one: one.claim(identifier, digest, windows))

    @rule(data=st.data(), outcome=st.sampled_from(["ok", "error"]))
    def a_call_ends(self, data: st.DataObject, outcome: str) -> None:
        identifier = data.draw(self.known_ids())
        self.same(lambda one: one.finish(identifier, outcome))

    @rule(data=st.data())
    def a_request_is_withdrawn(self, data: st.DataObject) -> None:
        identifier = data.draw(self.known_ids())
        self.same(lambda one: one.withdraw(identifier))

    @rule(name=st.sampled_from(["night", "day"]), by=st.sampled_from(["lea", "kim"]))
    def a_grant_is_made(self, name: str, by: str) -> None:
        self.same(lambda one: one.stand(name, '{"kind":"Grant"}', by))

    @rule(name=st.sampled_from(["night", "day"]))
    def a_grant_is_removed(self, name: str) -> None:
        self.same(lambda one: one.fall(name))

    @rule()
    def everything_is_looked_at(self) -> None:
        self.same(lambda one: one.requests())
        self.same(lambda one: one.standing())
        self.same(lambda one: one.used(["g/1", "g/2"]))

    def known_ids(self) -> st.SearchStrategy[str]:
        async def ask() -> list[str]:
            listed = await self.homes["memory"].ledger.requests()
            assert isinstance(listed, tuple)
            return [each.id for each in listed]

        known = self.runner.run(ask())
        return st.sampled_from(known) if known else IDS


class ClockAgreement(Counting):
    """What is counted, by a clock that is set back now and then."""

    @rule(ms=st.sampled_from([1, 999, 1001, 30_000, 4_000_000, 90_000_000]))
    def the_clock_is_set_back(self, ms: int) -> None:
        # What has lapsed by now is gone from all of them, before it could come back.
        self.same(lambda one: observed(one, plain()))
        self.advance(-ms)


SETTINGS = settings(
    max_examples=min(settings().max_examples, 100), stateful_step_count=40, deadline=None
)
LONG = pytest.mark.timeout(240)
"""Four homes, two of them servers: on a busy machine 20 s are not enough."""
Agreement.TestCase.settings = SETTINGS
ClockAgreement.TestCase.settings = SETTINGS
TestAgreement = LONG(pytest.mark.promise("AG25")(Agreement.TestCase))
TestClockAgreement = LONG(pytest.mark.promise("L1")(ClockAgreement.TestCase))
