"""A Redis that holds our function library: its functions are called, its messages are heard.

What it cannot answer is LOST, and `trouble` says why; nothing is raised.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import hiredis

from mesh7_core import awake
from mesh7_core.ledger import functions, redis_troubles, resp, resp_client
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_core.ledger.redis_layout import Word
from mesh7_core.ledger.redis_url import RedisServer

log = logging.getLogger("mesh7.ledger")

LONGEST_MESSAGE: Final = 64 * 1024
"""Bytes of a published message; ours are names and numbers."""
_RELOAD_S: Final = 1.0
_LEADS_NO_MORE: Final = ("READONLY", "MASTERDOWN")


class Store:
    """Two connections to one server: calls and answers on one, published messages on the other.

    Args:
        server: where it is, and who we are there.
        library: what we call.
        load: whether we load it when it is missing.
        channels: what is listened to, and who takes each message there; None = messages may have
            been missed.
        connected: told of each new connection.
    """

    def __init__(
        self,
        server: RedisServer,
        library: functions.Library,
        *,
        load: bool,
        channels: Mapping[str, Callable[[bytes | None], None]],
        connected: Callable[[], None],
    ) -> None:
        self._place = server.place
        self._library = library
        self._loads = load
        self._channels = {name.encode(): heard for name, heard in channels.items()}
        self._connected = connected
        self._trouble = ""
        self._logged: set[str] = set()
        self._names: dict[str, bytes] = {}
        self._reloading: asyncio.Task[None] | None = None
        self._reloaded_at_s = float("-inf")
        self._was_listening = False
        self._turn = asyncio.Event()
        self._calls = resp_client.Client(
            server, greet=self._greet, changed=self._changed, pushed=_ignore
        )
        self._messages = resp_client.Client(
            server,
            greet=self._subscribe,
            changed=self._messages_changed,
            pushed=self._pushed,
            longest=LONGEST_MESSAGE,
        )

    async def start(self, within_s: float) -> None:
        """Connect; come back when that is done or has failed once, and go on trying."""
        self._calls.start()
        self._messages.start()
        connecting = resp_client.Condition.CONNECTING
        try:
            async with awake.timeout(within_s):
                while connecting in {self._calls.condition, self._messages.condition}:
                    self._turn.clear()
                    await self._turn.wait()
        except TimeoutError:
            if why := self.trouble():
                self._log(why)

    async def close(self) -> None:
        """Let go of the server."""
        if self._reloading is not None:
            self._reloading.cancel()
        await self._messages.close()
        await self._calls.close()

    def trouble(self) -> str:
        """Why calls are lost, or messages late; empty when all is well."""
        if self._calls.trouble or self._trouble:
            return self._calls.trouble or self._trouble
        deaf = self._messages.trouble
        return f"{deaf}; what others decide is seen when a call is repeated" if deaf else ""

    def send(
        self, function: str, keys: Sequence[str], words: Sequence[Word], answer: resp.Answer
    ) -> None:
        """Call a function; the answer comes by callback and may be an error reply."""
        name = self._names.get(function)
        if name is None:
            name = self._names[function] = f"{self._library.name}_{function}".encode()
        self._calls.send(resp.pack(b"FCALL", name, len(keys), *keys, *words), answer)

    async def call(self, function: str, keys: Sequence[str], *words: Word) -> resp.Reply | Lost:
        """Call a function and wait for what it answers; an error reply is LOST."""
        reply = await resp_client.awaited(lambda answer: self.send(function, keys, words, answer))
        if isinstance(reply, hiredis.ReplyError):
            self.failed(reply)
            return LOST
        if reply is not LOST:
            self.answered()
        return reply

    async def ask(self, *commands: Sequence[Word]) -> list[resp.Reply | Lost]:
        """Send commands together; an error reply is LOST."""
        packed = [resp.pack(*command) for command in commands]
        waiting = [resp_client.awaited(partial(self._calls.send, one)) for one in packed]
        replies = await asyncio.gather(*waiting)
        errors = [one for one in replies if isinstance(one, hiredis.ReplyError)]
        if errors:
            self.failed(errors[0])
        elif LOST not in replies:
            self.answered()
        return [LOST if isinstance(one, hiredis.ReplyError) else one for one in replies]

    async def quietly(self, *words: Word) -> resp.Reply | Lost:
        """Send a command whose failure costs no call anything: an error reply is a value."""
        command = resp.pack(*words)
        return await resp_client.awaited(lambda answer: self._calls.send(command, answer))

    def use(self, server: RedisServer) -> None:
        """Be another user from now on; commands in flight get their answers."""
        self._place = server.place
        for client in (self._calls, self._messages):
            client.use(server, self._refused)

    def answered(self) -> None:
        """A function did what was asked of it."""
        if self._trouble:
            self._trouble = ""

    def failed(self, error: hiredis.ReplyError) -> None:
        """A function answered an error."""
        self._complain(redis_troubles.of_error(error))
        if redis_troubles.is_missing_function(error):
            self._reload()
        elif str(error).startswith(_LEADS_NO_MORE):
            self._calls.reconnect(redis_troubles.of_error(error))

    def doubt(self, what: str) -> None:
        """Something was read that nobody of ours has written; it is as if it were not there."""
        self._log(f"redis at {self._place}: {what}; it is ignored, see who else may write there")

    def keep_out(self, what: str) -> None:
        """Something of ours is not written there."""
        self._log(f"redis at {self._place}: {what}")

    def _refused(self, error: hiredis.ReplyError) -> None:
        self._log(
            f"redis at {self._place}: the new credentials are not taken:"
            f" {redis_troubles.of_error(error)}; the connection keeps the old ones while it lasts"
        )

    def _complain(self, why: str) -> None:
        self._trouble = f"redis at {self._place}: {why}"
        self._log(self._trouble)

    def _log(self, text: str) -> None:
        """Once until the connection is a new one: what goes wrong often says so once."""
        if text not in self._logged:
            self._logged.add(text)
            log.warning("%s", text)

    # Connections

    async def _greet(self, pipeline: resp.Pipeline) -> str:
        return await functions.load(pipeline, self._library) if self._loads else ""

    async def _subscribe(self, pipeline: resp.Pipeline) -> str:
        pipeline.send_unanswered(resp.pack("SUBSCRIBE", *self._channels))
        # Refused, SUBSCRIBE answers an error after all: the one that PING is waiting for.
        reply = await resp_client.ask(pipeline, "PING")
        if isinstance(reply, hiredis.ReplyError):
            return redis_troubles.of_error(reply)
        return "it does not answer within a second" if reply is LOST else ""

    def _changed(self) -> None:
        self._turn.set()
        if self._calls.condition is resp_client.Condition.READY:
            self._trouble = ""
            self._logged.clear()
            self._connected()
        elif self._calls.trouble:
            self._log(self._calls.trouble)

    def _messages_changed(self) -> None:
        self._turn.set()
        if self._messages.condition is resp_client.Condition.READY:
            if self._was_listening:
                for heard in self._channels.values():
                    heard(None)
            self._was_listening = True
            self._connected()
        elif self._messages.trouble:
            self._log(self._messages.trouble)

    def _pushed(self, message: list[resp.Reply]) -> None:
        match message:
            case [b"message", bytes(channel), bytes(text)] if channel in self._channels:
                self._channels[channel](text)
            case _:
                pass

    def _reload(self) -> None:
        """Load the library once more, at most once a second."""
        loop = asyncio.get_running_loop()
        if self._loads and loop.time() - self._reloaded_at_s >= _RELOAD_S:
            self._reloaded_at_s = loop.time()
            self._reloading = loop.create_task(self._load_again())

    async def _load_again(self) -> None:
        if why := await self._calls.greet_again():
            self._complain(why)


def _ignore(_: list[resp.Reply]) -> None:
    """Nothing is pushed to a connection that listens to nothing."""
