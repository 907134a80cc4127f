"""A client that keeps one connection to one Redis: connects, greets, comes back after a loss."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import Enum
from typing import Final

import hiredis

from mesh7_core import awake
from mesh7_core.ledger import redis_troubles, resp
from mesh7_core.ledger.protocol import LOST, Lost
from mesh7_core.ledger.redis_url import RedisServer

_CONNECT_S: Final = 2.0
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0
_LASTING_S: Final = 2.0  # a connection that stood as long was a good one
_IDLE_S: Final = 5.0


class Condition(Enum):
    """How the connection is."""

    CONNECTING = "connecting"
    READY = "ready"
    AWAY = "away"
    CLOSED = "closed"


class _FailedError(Exception):
    """The connection cannot be used; the text says why, for people."""


class Client:
    """Keeps a connection until it is closed; commands while there is none are lost at once.

    Args:
        settings: which server, and who we are there.
        greet: what else a fresh connection needs; answers why it cannot be used, or nothing.
        changed: told of each change of `condition` or `trouble`.
        pushed: takes what the server sends by itself.
        longest: bytes that may arrive without completing a reply; 0 = any number.

    Attributes:
        condition: how the connection is.
        trouble: why there is no connection, for people; empty when it is ready or closed.
    """

    def __init__(
        self,
        settings: RedisServer,
        *,
        greet: Callable[[resp.Pipeline], Awaitable[str]],
        changed: Callable[[], None],
        pushed: Callable[[list[resp.Reply]], None],
        longest: int = 0,
    ) -> None:
        self.condition = Condition.CONNECTING
        self.trouble = f"redis at {settings.place}: it does not answer yet; we go on trying"
        self._settings = settings
        self._made_with = settings
        self._greet = greet
        self._changed = changed
        self._pushed = pushed
        self._longest = longest
        self._refused: Callable[[hiredis.ReplyError], None] = _forgive
        self._pipeline: resp.Pipeline | None = None
        self._over = asyncio.Event()
        self._why = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected; needs a running loop."""
        if self._task is None and self.condition is not Condition.CLOSED:
            self._task = asyncio.get_running_loop().create_task(self._stay())

    def send(self, command: bytes, answer: resp.Answer) -> None:
        """Send a packed command with this turn's others; LOST at once when there is no way."""
        if self._pipeline is None:
            answer(LOST)
        else:
            self._pipeline.send(command, answer)

    def use(self, settings: RedisServer, refused: Callable[[hiredis.ReplyError], None]) -> None:
        """Be another user from now on: on this connection, and on those to come.

        Commands sent before are answered to the old user, later ones to the new one. Another place
        needs another connection; what is in flight on this one is lost then.

        Args:
            refused: told when the server does not take the new user here; the old one stays.
        """
        self._settings, self._refused = settings, refused
        if self._pipeline is not None:
            self._follow(self._pipeline)

    def _follow(self, pipeline: resp.Pipeline) -> None:
        """Let a connection be what the settings say by now."""
        settings, before = self._settings, self._made_with
        if settings == before:
            return
        # Who vouches for it is asked when a connection begins, and is no reason to end one.
        same = replace(before, user=settings.user, password=settings.password)
        if replace(same, authorities=settings.authorities) != settings:
            pipeline.drop("we were told another place")
            return

        def answered(reply: resp.Reply | Lost) -> None:
            if isinstance(reply, hiredis.ReplyError):
                self._refused(reply)
            elif reply is not LOST:
                self._made_with = settings

        pipeline.send(resp.pack("AUTH", *_user_of(settings)), answered)

    async def greet_again(self) -> str:
        """Give the connection what it needs once more; why it cannot be used, or nothing."""
        return "" if self._pipeline is None else await self._greet(self._pipeline)

    def reconnect(self, why: str) -> None:
        """Leave this server and look again where the address leads (another may lead now)."""
        if self._pipeline is not None:
            self._pipeline.drop(why)

    async def close(self) -> None:
        """Let go; everything in flight is lost."""
        self._become(Condition.CLOSED, "")
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # Staying connected

    async def _stay(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_WAIT_S
        while True:
            started_s = loop.time()
            why = await self._live_once()
            if loop.time() - started_s > _LASTING_S + _CONNECT_S:
                wait_s = _FIRST_WAIT_S
            self._become(Condition.AWAY, f"redis at {self._settings.place}: {why}")
            # Spread, so that all gateways of a cluster do not come back in the same moment.
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)

    async def _live_once(self) -> str:
        """One connection from beginning to end; why it ended."""
        self._over.clear()
        pipeline: resp.Pipeline | None = None
        settings = self._made_with = self._settings
        try:
            pipeline = await self._connect(settings)
            await _hello(pipeline, settings)
            if (why := await self._greet(pipeline)) or (why := self._why_over()):
                return why
            self._pipeline = pipeline
            self._follow(pipeline)
            self._become(Condition.READY, "")
            await self._watch(pipeline)
        except _FailedError as failed:
            return str(failed)
        else:
            return self._why
        finally:
            self._pipeline = None
            if pipeline is not None:
                pipeline.drop("we left")

    async def _connect(self, settings: RedisServer) -> resp.Pipeline:
        loop = asyncio.get_running_loop()
        tls = _tls(settings) if settings.is_tls else None
        try:
            async with awake.timeout(_CONNECT_S):
                _, pipeline = await loop.create_connection(
                    lambda: resp.Pipeline(
                        loop, ended=self._ended, pushed=self._pushed, longest=self._longest
                    ),
                    settings.host,
                    settings.port,
                    ssl=tls,
                )
        except (OSError, ssl.SSLError, TimeoutError, UnicodeError) as error:
            raise _FailedError(redis_troubles.of_connecting(error)) from error
        return pipeline

    async def _watch(self, pipeline: resp.Pipeline) -> None:
        """Wait for the end; ask now and then whether the other side still lives."""
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await self._over.wait()
            pipeline.send(_PING, _ignore)

    def _ended(self, why: str) -> None:
        self._pipeline = None
        self._why = why
        self._over.set()
        if self.condition is Condition.READY:
            self._become(Condition.AWAY, f"redis at {self._settings.place}: {why}")

    def _why_over(self) -> str:
        return self._why if self._over.is_set() else ""

    def _become(self, condition: Condition, trouble: str) -> None:
        if self.condition is Condition.CLOSED:
            return
        is_news = self.condition is not condition or self.trouble != trouble
        self.condition = condition
        self.trouble = trouble
        if is_news:
            self._changed()


_PING: Final = resp.pack("PING")


def _ignore(_: resp.Reply | Lost) -> None:
    """Whether the answer came at all is the sweep's business."""


def _forgive(_: hiredis.ReplyError) -> None:
    """Nobody wants to know."""


async def ask(pipeline: resp.Pipeline, *words: bytes | str | int) -> resp.Reply | Lost:
    """Send one command and wait for what comes of it; may be cancelled."""
    command = resp.pack(*words)
    return await awaited(lambda answer: pipeline.send(command, answer))


async def awaited(send: Callable[[resp.Answer], None]) -> resp.Reply | Lost:
    """What the answer given to `send` is called with; may be cancelled."""
    future: asyncio.Future[resp.Reply | Lost] = asyncio.get_running_loop().create_future()

    def settle(reply: resp.Reply | Lost) -> None:
        if not future.done():
            future.set_result(reply)

    send(settle)
    return await future


async def _hello(pipeline: resp.Pipeline, settings: RedisServer) -> None:
    """Say who we are, in RESP 3, and choose the database."""
    words: list[str] = ["HELLO", "3"]
    if settings.user or settings.password:
        words += ["AUTH", *_user_of(settings)]
    steps: list[list[str]] = [words]
    if settings.database:
        steps.append(["SELECT", str(settings.database)])
    for step in steps:
        match await ask(pipeline, *step):
            case Lost():
                raise _FailedError("it does not answer within a second")
            case hiredis.ReplyError() as error:
                raise _FailedError(redis_troubles.of_error(error))
            case _:
                pass


def _user_of(settings: RedisServer) -> tuple[str, str]:
    return settings.user or "default", settings.password


def _tls(settings: RedisServer) -> ssl.SSLContext:
    if settings.authorities is not None:
        return _trusting(settings.authorities)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except ssl.SSLError as error:
        raise _FailedError("the file of --redis-ca holds no certificate in PEM") from error
    except OSError as error:
        raise _FailedError(f"the file of --redis-ca cannot be read ({error.strerror})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _trusting(authorities: str) -> ssl.SSLContext:
    """One that trusts these alone; without any there is no connection, not one to anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise _FailedError("who vouches for its certificate is not known yet") from error
    return context
