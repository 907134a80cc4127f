"""Who may be judged: one object of a namespace at a time, in threads that end with us.

A thread cannot be stopped. So what nobody waits for any longer keeps its thread, and with it its
namespace's turn, until the compiler is done with it; other namespaces have the other threads.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from typing import Final, TypeVar

from mesh7_core import awake, errors

THREADS: Final = 4
STUCK_S: Final = 30.0
"""Nothing that fits into a review takes so long: then a restart is what helps."""

Answer = TypeVar("Answer")


class Turns:
    """The threads, and whose turn it is; of one event loop.

    Args:
        judge: who works there, for messages.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        threads: int = THREADS,
        judge: str = "the compiler",
    ) -> None:
        self._monotonic_s = monotonic_s
        self._judge = judge
        self._free = asyncio.Semaphore(threads)
        self._namespaces: weakref.WeakValueDictionary[str, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )
        self._begun_s: dict[asyncio.Lock, float] = {}

    @property
    def is_stuck(self) -> bool:
        """Whether a thread has been at one object for longer than any takes."""
        now_s = self._monotonic_s()
        return any(now_s - begun_s > STUCK_S for begun_s in self._begun_s.values())

    async def run(self, namespace: str, ask: Callable[[], Answer], patience_s: float) -> Answer:
        """What `ask` answers, in a thread.

        Raises:
            ClusterError: there was no answer in time.
        """
        try:
            async with awake.timeout(patience_s):
                turn = self._namespaces.setdefault(namespace, asyncio.Lock())
                await turn.acquire()
                try:
                    await self._free.acquire()
                except asyncio.CancelledError:
                    turn.release()
                    raise
                return await asyncio.shield(self._begin(turn, ask))
        except TimeoutError as error:
            raise errors.ClusterError(
                f"{self._judge} took more than {patience_s:g} s for what this namespace sends; "
                "make the object smaller, or try again"
            ) from error

    def _begin(self, turn: asyncio.Lock, ask: Callable[[], Answer]) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        self._begun_s[turn] = self._monotonic_s()

        def end(answer: Answer | None, error: Exception | None) -> None:
            del self._begun_s[turn]
            self._free.release()
            turn.release()
            if error is not None:
                answered.set_exception(error)
                # Told, also when nobody waits any longer.
                answered.exception()
            else:
                # It is what `ask` answered, which may be None.
                answered.set_result(answer)  # type: ignore[arg-type]

        def work() -> None:
            answer, error = None, None
            try:
                answer = ask()
            except Exception as raised:  # noqa: BLE001 - raised again where it is awaited
                error = raised
            # The loop may have ended first: nobody waits then.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end, answer, error)

        threading.Thread(target=work, name="judge", daemon=True).start()
        return answered
