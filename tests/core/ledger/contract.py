"""What a home has to bring so that the contract suite runs on it, and what its tests build with.

To add a home: write an async context manager that makes a fresh, empty one (`OpenHome`), and name
it in `homes.HOMES`. `test_contract.py` then runs on it, and `test_agreement.py` holds it to the
answers of the others.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from mesh7_core.ledger.approvals import Asking, Request, Verdict, Vote
from mesh7_core.ledger.protocol import (
    Caps,
    Ledger,
    Observation,
    Observed,
    Opened,
    Use,
    Window,
)

PATIENCE_S = 30.0
MINUTE = 60_000
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = 1_000
DAY = 24 * 60 * MINUTE


class Home(Protocol):
    """One fresh, empty ledger whose clock the tests move.

    Attributes:
        ledger: what is tested.
        slack_ms: how much time can pass by itself within a test; 0 when the clock stands still.
    """

    ledger: Ledger
    slack_ms: int

    async def advance(self, ms: int) -> None:
        """Let `ms` pass by the ledger's clock: exactly, or `slack_ms` more at most."""


OpenHome = Callable[[Path], AbstractAsyncContextManager[Home]]
"""Given a folder of its own, make a home; leaving the context closes it."""


async def observed(ledger: Ledger, observation: Observation) -> Observed:
    """What an observation comes to, now or soon."""
    answer: asyncio.Future[Observed] = asyncio.get_running_loop().create_future()
    ledger.observe(observation, answer.set_result)
    return await asyncio.wait_for(answer, PATIENCE_S)


async def opened(ledger: Ledger, request: Request, caps: Caps | None = None) -> str:
    """Open a request; its id, or the id of the one that was joined."""
    answer = await ledger.open(request, caps or Caps())
    assert isinstance(answer, Opened), answer
    return answer.request_id


def window(
    key: str = "p/writes:Agent:a", maximum: int = 3, window_ms: int = MINUTE, idle_ms: int = 0
) -> Window:
    return Window(key, maximum, window_ms, idle_ms)


def plain(*windows: Window, repeats: tuple[Window, ...] = (), is_dry: bool = False) -> Observation:
    """A call that asks nobody."""
    return Observation(windows, repeats, is_dry=is_dry)


def asked(
    *windows: Window,
    digest: str = "sha256:a",
    repeats: tuple[Window, ...] = (),
    uses: tuple[tuple[Use, ...], ...] = ((),),
    lease_ms: int = MINUTE,
) -> Observation:
    """A call about which people are asked."""
    return Observation(windows, repeats, uses, digest, lease_ms)


def request_id(number: int) -> str:
    return f"r-{number:026d}"


def request(
    number: int = 1,
    digest: str = "sha256:a",
    pod: str = "pod-1",
    asking: tuple[Asking, ...] = (),
    timeout_ms: int = 10 * MINUTE,
    use_within_ms: int = 5 * MINUTE,
) -> Request:
    return Request(
        id=request_id(number),
        digest=digest,
        agent="default/tester",
        pod=pod,
        tool="git.commit",
        arguments='{"arguments":{"amount":12345678901234567890.0}}',
        definition="sha256:def",
        asking=asking or (rule(),),
        timeout_ms=timeout_ms,
        use_within_ms=use_within_ms,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        traceparent=TRACEPARENT,
    )


def rule(name: str = "big", groups: tuple[str, ...] = (), count: int = 1) -> Asking:
    return Asking(rule=f"default/p/{name}", groups=groups, count=count, text="ask finance")


def vote(
    name: str = "lea",
    verdict: Verdict = Verdict.APPROVE,
    groups: tuple[str, ...] = ("finance",),
    reason: str = "",
) -> Vote:
    return Vote(
        person=f"uid:{name}",
        name=name,
        groups=groups,
        verdict=verdict,
        reason=reason,
        evidence="pid 1 (zsh)",
    )


NO = Verdict.DENY
