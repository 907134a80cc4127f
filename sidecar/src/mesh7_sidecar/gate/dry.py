"""What a call would come to, asked without making it: nothing is reserved, opened or claimed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from mesh7_core.ledger.protocol import Observation, Observed, Seen
from mesh7_core.policy import calls, judge
from mesh7_core.policy.decision import NO_BUNDLE, Decision
from mesh7_core.policy.rules import Action
from mesh7_core.policy.view import AgentView
from mesh7_sidecar.gate import exact, observing
from mesh7_sidecar.gate.observing import Observing

Judged = tuple[AgentView, judge.Needs]


class DryRun:
    """Asks the ledger and changes nothing.

    Args:
        judged: judges a call by the bundle of the moment; None before the first.
        observe: asks the ledger.
        words: puts needs into the ledger's words.
        now: the time that policies see.
        now_s: never goes back.
        salt: of the digests of exact calls.
    """

    def __init__(
        self,
        judged: Callable[[calls.Call], Judged | None],
        observe: Callable[[Observation], Awaitable[Observed]],
        words: Observing,
        now: Callable[[], datetime],
        now_s: Callable[[], float],
        salt: str,
    ) -> None:
        self._judged = judged
        self._observe = observe
        self._words = words
        self._now = now
        self._now_s = now_s
        self._salt = salt

    async def decide(self, call: calls.Call) -> Decision:
        """The decision about the call, were it made now; a Hold has no request unless one is open.

        A call without a body is taken to forward its arguments and nothing else.
        """
        judged = self._judged(call)
        if judged is None:
            return NO_BUNDLE
        view, needs = judged
        while needs.hangs_on_ledger:
            digest = await self._digest(view, needs, call) if needs.asked else ""
            observed = await self._observe(self._observation(needs, call, digest))
            if observed.seen is Seen.REPEATED:
                loop = needs.loops[observed.index]
                if loop.action is Action.REQUIRE_APPROVAL:
                    needs = judge.looped(needs, loop)
                    continue
            return judge.decide(needs, observing.facts(needs, observed))
        return needs.decision

    def _observation(self, needs: judge.Needs, call: calls.Call, digest: str) -> Observation:
        return self._words.exact(
            needs,
            call,
            self._now_s(),
            covering=judge.covering(needs, call, self._now()) if needs.asked else (),
            digest=digest,
            lease_ms=0,
            is_dry=True,
        )

    async def _digest(self, view: AgentView, needs: judge.Needs, call: calls.Call) -> str:
        asked = call if call.body or call.http is not None else _with_body(call)
        if len(asked.body) > exact.MOST_AT_ONCE_BYTES:
            what = await asyncio.to_thread(exact.forwarded, asked)
        else:
            what = exact.forwarded(asked)
        rules = exact.asked_rules(view, needs.asked)
        return exact.digest(call, what.mark, call.definition, rules, self._salt)


def _with_body(call: calls.Call) -> calls.Call:
    return calls.Call(
        call.agent, call.family, call.source, call.name, call.arguments, call.source_kind,
        call.source_host, call.http, call.session, exact.message(call.arguments),
    )  # fmt: skip
