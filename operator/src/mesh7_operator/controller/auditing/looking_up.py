"""What the audit of a namespace answers to one question: read page by page, within bounds.

Pages are looked through beside the event loop, a bounded slice at a time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, Protocol, TypeVar

from mesh7_core import errors
from mesh7_core.audit import deeds
from mesh7_core.ledger.audit_entries import Entry
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
_NO_REDIS: Final = (
    "mesh7 is installed without Redis, where an audit of all pods would be kept (`redis.mode: "
    "none`); each sidecar's records are on its stdout: kubectl logs POD -c mesh7"
)
_NO_ANCHOR: Final = (
    "what was signed of this audit cannot be read; the controller's log says why, ask again later"
)
_MOST_TAKEN_IN: Final = 4
_TOO_LONG: Final = f"verifying took longer than {VERIFY_S:.0f} s; see that Redis answers quickly"
T = TypeVar("T")


class Trail(Protocol):
    """The audit of namespaces (`store.audit.Audit` is the real one); None = it is lost."""

    async def read(self, namespace: str, *, after: str = "") -> list[Entry] | None:
        """Some entries, oldest first, after this id."""

    async def read_back(self, namespace: str, *, before: str = "") -> list[Entry] | None:
        """Some entries, newest first, before this id."""


class Vouching(Protocol):
    """Whoever signs where chains stand (`anchoring.Auditing`)."""

    async def gather(self, namespace: str) -> int | None:
        """Take in some of what was appended lately; how much is left, None = it is lost."""

    def walk(self, namespace: str) -> AbstractAsyncContextManager[Anchor | None]:
        """The anchor as signed; None when there is none. Nothing is trimmed meanwhile."""


class Answering(Protocol):
    """Whoever knows the answers."""

    async def answer(self, query: Written) -> Status:
        """What a question's status is to say.

        Raises:
            ClusterError: it cannot be known now; the message is for whoever asks.
        """

    def close(self) -> None:
        """Begin nothing any more."""


class Nothing:
    """There is no Redis, where an audit would be kept."""

    async def answer(self, _: Written) -> Status:
        """Nobody knows."""
        return answers.failed(_NO_REDIS)

    def close(self) -> None:
        """Nothing was begun."""


class Reader:
    """Answers questions.

    Args:
        trail: where the records are.
        vouching: who knows how they should stand.
        note: takes a line into our own chain of a namespace.
        clock: for how long one may take.
    """

    def __init__(
        self, trail: Trail, vouching: Vouching, note: Callable[[str, bytes], None], clock: Clock
    ) -> None:
        self._trail = trail
        self._vouching = vouching
        self._note = note
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="audit-queries")

    def close(self) -> None:
        """Begin nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, query: Written) -> Status:
        """What its status is to say; that it was asked is recorded before anybody can read it.

        Raises:
            ClusterError: it cannot be known now; the message is for whoever asks.
        """
        spec = query.value.get("spec")
        question = questions.read(spec if isinstance(spec, dict) else {})
        if isinstance(question, str):
            return answers.failed(question)
        try:
            if question.is_verify:
                return await self._verified(query.namespace)
            return await self._found(query.namespace, question)
        finally:
            # Not before: it is no part of its own answer.
            deed = questions.deed(question, query.name, self._clock.wall_ns())
            self._note(query.namespace, deeds.line(deed))

    async def _found(self, namespace: str, question: Question) -> Status:
        answer = Answer(question, namespace)
        until_s = self._clock.monotonic_s() + ANSWER_S
        if question.place is None:
            await self._take_in(namespace)
        while not answer.is_full:
            entries = await self._trail.read_back(namespace, before=answer.before)
            if entries is None:
                raise errors.ClusterError(_LOST)
            await self._beside(partial(answer.take, entries))
            if self._clock.monotonic_s() >= until_s:
                break
        return answer.status()

    async def _take_in(self, namespace: str) -> None:
        """What a call left a moment ago is there, too; a flood of it is the next round's."""
        for _ in range(_MOST_TAKEN_IN):
            if not await self._vouching.gather(namespace):
                return

    async def _verified(self, namespace: str) -> Status:
        await self._take_in(namespace)
        try:
            async with asyncio.timeout(VERIFY_S), self._vouching.walk(namespace) as anchor:
                return verdicts.status(await self._walked(namespace, anchor))
        except TimeoutError:
            raise errors.ClusterError(_TOO_LONG) from None

    async def _walked(self, namespace: str, anchor: Anchor | None) -> Verified:
        entries = await self._trail.read(namespace)
        if entries is not None and anchor is None:
            raise errors.ClusterError(_NO_ANCHOR)
        walk = Verifying(anchor or Anchor(namespace=namespace))
        while entries:
            await self._beside(partial(walk.take, entries))
            entries = await self._trail.read(namespace, after=entries[-1].id)
        if entries is None:
            raise errors.ClusterError(_LOST)
        return walk.end()

    async def _beside(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, do)
