"""Drives all homes with the same calls and the same time; whoever answers otherwise is named."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mesh7_core.ledger.protocol import Ledger, Observation, Observed, Use, Window
from tests.core.ledger.contract import Home, observed
from tests.core.ledger.homes import HOMES

Operation = Callable[[Ledger], Awaitable[object]]

DIGESTS = st.sampled_from(["sha256:a", "sha256:b", "sha256:c"])
WINDOWS = st.builds(
    Window,
    key=st.sampled_from(["p/one", "p/two"]),
    maximum=st.sampled_from([0, 1, 2, 3, 300]),
    window_ms=st.sampled_from([0, 1000, 1000, 5000, 60_000]),
    idle_ms=st.sampled_from([0, 10_000]),
)
LIMITS = st.lists(WINDOWS, max_size=2, unique_by=lambda one: one.key).map(tuple)
LOOPS = st.lists(
    st.builds(
        Window,
        key=st.sampled_from(["p/loops:1", "p/loops:2"]),
        maximum=st.integers(1, 3),
        window_ms=st.sampled_from([1000, 5000]),
    ),
    max_size=1,
).map(tuple)
GRANTS = st.lists(
    st.tuples(
        st.sampled_from(["g/1", "g/2"]), st.integers(0, 3), st.sampled_from([0, 2000, 20_000])
    ),
    max_size=2,
)


def shown(answer: object) -> object:
    """Observed has no equality of its own: it is made on every call."""
    if not isinstance(answer, Observed):
        return answer
    return {name: getattr(answer, name) for name in sorted(answer.__slots__)}


def differing(answers: dict[str, object], homes: dict[str, Home]) -> str:
    """What each home answered; and its trouble, since a busy machine can lose one of them."""
    lines = [f"{name}: {answer} {homes[name].ledger.trouble()}" for name, answer in answers.items()]
    return "\n".join(["the homes answer differently", *lines])


class Counting(RuleBasedStateMachine):
    """All homes, asked the same about counts. Memory is asked first; who differs is named."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.homes: dict[str, Home] = {}
        self.start_ms = 0

    @initialize()
    def open_homes(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        for name, opening in HOMES.items():
            home = await self.stack.enter_async_context(opening(Path(folder)))
            if not home.slack_ms:
                self.homes[name] = home
        now_ms = await self.homes["memory"].ledger.now_ms()
        assert isinstance(now_ms, int)
        self.start_ms = now_ms

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def same(self, operation: Operation) -> None:
        async def ask() -> dict[str, object]:
            return {name: shown(await operation(one.ledger)) for name, one in self.homes.items()}

        answers = self.runner.run(ask())
        expected = dict.fromkeys(answers, answers["memory"])
        assert answers == expected, differing(answers, self.homes)

    def advance(self, ms: int) -> None:
        async def advanced() -> None:
            for home in self.homes.values():
                await home.advance(ms)

        self.runner.run(advanced())

    @rule(ms=st.sampled_from([1, 3, 200, 999, 1000, 1001, 5000, 30_000, 90_000_000]))
    def time_passes(self, ms: int) -> None:
        self.advance(ms)

    @rule(windows=LIMITS, repeats=LOOPS, is_dry=st.booleans(), times=st.integers(1, 4))
    def a_call_comes(
        self, windows: tuple[Window, ...], repeats: tuple[Window, ...], is_dry: bool, times: int
    ) -> None:
        for _ in range(times):
            self.same(lambda one: observed(one, Observation(windows, repeats, is_dry=is_dry)))

    @rule(
        windows=LIMITS,
        repeats=LOOPS,
        digest=DIGESTS,
        lease_ms=st.sampled_from([500, 5000, 80_000]),
        grants=st.lists(GRANTS, min_size=1, max_size=2),
        is_dry=st.booleans(),
    )
    def a_call_comes_that_is_asked_about(
        self,
        windows: tuple[Window, ...],
        repeats: tuple[Window, ...],
        digest: str,
        lease_ms: int,
        grants: list[list[tuple[str, int, int]]],
        is_dry: bool,
    ) -> None:
        uses = tuple(
            tuple(
                Use(key, maximum, self.start_ms + after_ms if after_ms else 0)
                for key, maximum, after_ms in each
            )
            for each in grants
        )
        observation = Observation(windows, repeats, uses, digest, lease_ms, is_dry)
        self.same(lambda one: observed(one, observation))

    @rule(digest=DIGESTS, windows=LIMITS)
    def places_are_given_back(self, digest: str, windows: tuple[Window, ...]) -> None:
        self.same(lambda one: one.give_back(digest, windows))
