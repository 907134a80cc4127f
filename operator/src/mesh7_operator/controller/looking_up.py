"""What the audit of a namespace answers to one question: read page by page, within bounds.

Pages are looked through beside the event loop, a bounded slice at a time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar

from mesh7_core import errors
from mesh7_core.ledger.audit_entries import Entry
from mesh7_core.telemetry import deeds
from mesh7_operator.anchoring.anchor import Anchor
from mesh7_operator.anchoring.verifying import Verified, Verifying
from mesh7_operator.clock import Clock
from mesh7_operator.querying import answers, questions, verdicts
from mesh7_operator.querying.answers import Answer, Status
from mesh7_operator.querying.questions import Question
from mesh7_operator.reconciling.world import Written

ANSWER_S: Final = 20.0
"""After so long an answer ends with a cursor."""
VERIFY_S: Final = 240.0
_THREADS: Final = 4
_LOST: Final = (
    "Redis does not answer, and the audit lies there; `kubectl mesh7 check` says what is wrong, "
    "then ask again"
)
_NO_ANCHOR: Final = (
    "the anchor of this audit cannot be read, or its signing key; the controller's log says why"
)
_TOO_LONG: Final = f"verifying took longer than {VERIFY_S:.0f} s; see that Redis answers quickly"
T = TypeVar("T")


class Trail(Protocol):
    """The audit of namespaces (`store.audit.Audit` is the real one)."""

    async def read(self, namespace: str, *, after: str = "") -> list[Entry] | None:
        """Some entries, oldest first, after this id; None = it is lost."""

    async def read_back(self, namespace: str, *, before: str = "") -> list[Entry] | None:
        """Some entries, newest first, before this id; None = it is lost."""


class Vouching(Protocol):
    """Whoever signs where chains stand."""

    def walk(self, namespace: str) -> AbstractAsyncContextManager[Anchor | None]:
        """The anchor as signed; None when it cannot be read. Nothing is trimmed meanwhile."""

    async def note(self, namespace: str, deed: deeds.Deed) -> bool:
        """Write what a person did into our own chain; whether it is written."""


class Reader:
    """Answers questions.

    Args:
        trail: where the records are.
        vouching: who knows how they should stand.
        clock: for how long one may take.
    """

    def __init__(self, trail: Trail, vouching: Vouching, clock: Clock) -> None:
        self._trail = trail
        self._vouching = vouching
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="audit-queries")

    def close(self) -> None:
        """Begin nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, query: Written) -> Status:
        """What its status is to say; that it was asked is recorded first.

        Raises:
            ClusterError: it cannot be known now; the message is for whoever asks.
        """
        spec = query.value.get("spec")
        question = questions.read(spec if isinstance(spec, dict) else {})
        if isinstance(question, str):
            return answers.failed(question)
        deed = questions.deed(question, query.name, self._clock.wall_ns())
        if not await self._vouching.note(query.namespace, deed):
            raise errors.ClusterError(_LOST)
        if question.is_verify:
            return await self._verified(query.namespace)
        return await self._found(query.namespace, question)

    async def _found(self, namespace: str, question: Question) -> Status:
        answer, until_s = Answer(question), self._clock.monotonic_s() + ANSWER_S
        while not answer.is_full:
            entries = await self._trail.read_back(namespace, before=answer.before)
            if entries is None:
                raise errors.ClusterError(_LOST)
            await self._beside(lambda page=entries: answer.take(page))  # type: ignore[misc]
            if self._clock.monotonic_s() >= until_s:
                break
        return answer.status()

    async def _verified(self, namespace: str) -> Status:
        try:
            async with asyncio.timeout(VERIFY_S), self._vouching.walk(namespace) as anchor:
                if anchor is None:
                    raise errors.ClusterError(_NO_ANCHOR)
                return verdicts.status(await self._walked(namespace, Verifying(anchor)))
        except TimeoutError:
            raise errors.ClusterError(_TOO_LONG) from None

    async def _walked(self, namespace: str, walk: Verifying) -> Verified:
        after = ""
        while True:
            entries = await self._trail.read(namespace, after=after)
            if entries is None:
                raise errors.ClusterError(_LOST)
            if not entries:
                return walk.end()
            await self._beside(lambda page=entries: walk.take(page))  # type: ignore[misc]
            after = entries[-1].id

    async def _beside(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, do)
