"""Looking up host names of sources, by threads of their own and few at once.

The event loop's own lookups (Redis is found by them) have room for two, and one that nobody
answers holds its place for a minute or more: it cannot be cancelled. So sources, whose names
anybody in the namespace may write, never take a place there.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

MOST_AT_ONCE: Final = 8
"""Threads; one for each name. A lookup that nobody waits for any more still holds its place."""
FAILED_S: Final = 3.0
"""How long a name that has no address is not looked up again."""
Ask = Callable[[str], Sequence[str]]


def system(host: str) -> list[str]:
    """Ask as the system is set up; blocks.

    Raises:
        OSError, UnicodeError: there is no address.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Lookups:
    """Those of one process, or of one purpose in it.

    Args:
        clock_s: monotonic seconds.
        ask: who knows; called in a thread, and may hang there.
    """

    def __init__(self, clock_s: Callable[[], float], ask: Ask = system) -> None:
        self._clock_s = clock_s
        self._ask = ask
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._under_way: dict[str, asyncio.Task[_Answer]] = {}
        self._failed: dict[str, tuple[float, _Error]] = {}

    async def find(self, host: str) -> list[str]:
        """The addresses, each once, in the resolver's order; when cancelled, the lookup goes on.

        Raises:
            OSError, UnicodeError: there are none, now or a moment ago.
        """
        if _is_address(host):
            return [host]
        again_s, error = self._failed.get(host, (float("-inf"), None))
        if error is not None and self._clock_s() < again_s:
            raise _like(error)
        task = self._under_way.get(host)
        if task is None:
            task = self._under_way[host] = asyncio.create_task(self._look_up(host))
            task.add_done_callback(lambda _: self._under_way.pop(host, None))
        found = await asyncio.shield(task)
        if isinstance(found, OSError | UnicodeError):
            raise _like(found)
        return list(dict.fromkeys(found))

    async def _look_up(self, host: str) -> "_Answer":
        async with self._places:
            found = await self._asked(host)
        now_s = self._clock_s()
        self._failed = {name: one for name, one in self._failed.items() if now_s < one[0]}
        if isinstance(found, OSError | UnicodeError):
            self._failed[host] = (now_s + FAILED_S, found)
        return found

    async def _asked(self, host: str) -> "_Answer":
        """What a thread is told; a daemon, so that one that hangs keeps no process from ending."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Answer] = loop.create_future()

        def settle(found: _Answer) -> None:
            if not answer.done():
                answer.set_result(found)

        def asking() -> None:
            found = _answered(self._ask, host)
            # The gateway may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, found)

        try:
            threading.Thread(target=asking, name="lookup", daemon=True).start()
        except RuntimeError:
            return socket.gaierror(socket.EAI_AGAIN, "no thread can be started")
        return await answer


_Error = OSError | UnicodeError
_Answer = Sequence[str] | _Error


def _answered(ask: Ask, host: str) -> _Answer:
    try:
        return ask(host)
    except (OSError, UnicodeError) as error:
        return error


def _like(error: _Error) -> _Error:
    """A fresh one: one that is raised again and again would grow its traceback."""
    if isinstance(error, OSError):
        return socket.gaierror(error.errno, error.strerror)
    return UnicodeError("the host name cannot be written in ASCII")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host
