"""One server of a Redis, and the operator as its user; what it does not answer is LOST."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import hiredis

from mesh7_core import awake, errors
from mesh7_core.ledger import redis_troubles, redis_url, resp, resp_client
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_operator import settings

Command = Sequence[bytes | str | int]

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 200
"""Commands in flight: the server has a second for each that waits."""
_LEADS_NO_MORE: Final = ("READONLY", "MASTERDOWN")


async def _welcome(_: resp.Pipeline) -> str:
    return ""


def _ignore(_: list[resp.Reply]) -> None:
    """Nothing is pushed to a connection that listens to nothing."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What is peculiar to a connection.

    Attributes:
        longest: bytes that may arrive without completing an answer; more end the connection. 0 =
            any number.
        greet: what else a fresh one needs; why it cannot be used, or nothing.
        pushed: takes what the server sends by itself.
        connected: told of each new one.
        is_beside: another one to the same server says how it stands; this one only to who debugs.
    """

    longest: int = 0
    greet: Callable[[resp.Pipeline], Awaitable[str]] = _welcome
    pushed: Callable[[list[resp.Reply]], None] = _ignore
    connected: Callable[[], None] = _nothing
    is_beside: bool = False


_USUAL: Final = Manner()


class Node:
    """Keeps a connection until it is closed; its address may lead to another server by and by.

    Args:
        chosen: who we are there.
        url: where it is.
        password: ours there, asked for anew at each connection.
        authorities: who vouches for it, PEM, the same; None = those of the settings.
        manner: of this connection.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(
        self,
        chosen: settings.RedisSettings,
        url: str,
        password: Callable[[], str | None],
        authorities: Callable[[], str] | None = None,
        *,
        manner: Manner = _USUAL,
    ) -> None:
        self._password = password
        self._connected = manner.connected
        self._levels = (logging.DEBUG,) * 2 if manner.is_beside else (logging.INFO, logging.WARNING)
        self._authorities = authorities
        self._said = ""
        self._server = redis_url.parse_url(
            url,
            ca_file=None if chosen.ca is None else str(chosen.ca),
        )
        self._turn = asyncio.Event()
        self._client = resp_client.Client(
            self._server,
            greet=manner.greet,
            changed=self._changed,
            pushed=manner.pushed,
            longest=manner.longest,
        )

    @property
    def place(self) -> str:
        """`host:port`, for messages."""
        return self._server.place

    @property
    def user(self) -> str:
        """Who we are there."""
        return self._server.user or "default"

    @property
    def database(self) -> int:
        """Its number."""
        return self._server.database

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent."""
        return self._client.condition is resp_client.Condition.READY

    @property
    def trouble(self) -> str:
        """Why it is lost, for people; empty when it is not."""
        return self._client.trouble

    async def start(self, within_s: float) -> None:
        """Connect, and stay connected; come back when that is done, or has failed once."""
        self.renew()
        self._client.start()
        with contextlib.suppress(TimeoutError):
            async with awake.timeout(within_s):
                while self._client.condition is resp_client.Condition.CONNECTING:
                    self._turn.clear()
                    await self._turn.wait()

    async def close(self) -> None:
        """Let go of it."""
        await self._client.close()

    async def ask(self, commands: Sequence[Command]) -> list[resp.Reply | Lost]:
        """Send commands, many at once; error replies are values.

        Once one is lost the others are not sent any more.
        """
        if not self.is_connected:
            self.renew()
        replies: list[resp.Reply | Lost] = []
        for start in range(0, len(commands), _AT_ONCE):
            some = commands[start : start + _AT_ONCE]
            replies += await asyncio.gather(*(self._awaited(one) for one in some))
            if LOST in replies:
                break
        self._leave_a_replica(replies)
        return replies + [LOST] * (len(commands) - len(replies))

    async def tell(self, *words: bytes | str | int) -> resp.Reply | Lost:
        """Send one command."""
        (reply,) = await self.ask([words])
        return reply

    async def greet_again(self) -> str:
        """Give the connection what it needs once more; why it cannot be used, or nothing."""
        return await self._client.greet_again()

    def renew(self) -> None:
        """Look whether password or authorities have changed, and use those of now."""
        server, password = self._server, self._known_password()
        if password is not None:
            server = replace(server, password=password)
        if self._authorities is not None:
            server = replace(server, authorities=self._authorities())
        if server != self._server:
            self._server = server
            self._client.use(server, self._refused)

    def _known_password(self) -> str | None:
        """None = it cannot be read now: perhaps its Secret is not made yet."""
        try:
            return self._password() or ""
        except errors.Mesh7Error as error:
            self._say(error.message)
            return None

    def _leave_a_replica(self, replies: Sequence[resp.Reply | Lost]) -> None:
        """After a fail-over the address leads to another server by now."""
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_LEADS_NO_MORE):
                self._client.reconnect(redis_troubles.of_error(reply))
                return

    async def _awaited(self, command: Command) -> resp.Reply | Lost:
        packed = resp.pack(*command)
        return await resp_client.awaited(lambda answer: self._client.send(packed, answer))

    def _refused(self, error: hiredis.ReplyError) -> None:
        self._say(f"redis at {self.place}: {redis_troubles.of_error(error)}")

    def _changed(self) -> None:
        self._turn.set()
        if self._client.condition is resp_client.Condition.READY:
            self._said = ""
            _LOG.log(self._levels[0], "redis is connected", extra={"node": self.place})
            self._connected()
        elif self._client.condition is resp_client.Condition.AWAY:
            self._say(self._client.trouble)

    def _say(self, trouble: str) -> None:
        """Once until it is connected anew."""
        if trouble != self._said:
            self._said = trouble
            about = {"node": self.place, "error": trouble}
            _LOG.log(self._levels[1], "redis is lost", extra=about)
