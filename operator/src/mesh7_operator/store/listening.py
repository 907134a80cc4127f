"""What happens in namespaces' ledgers, as Redis tells it: a hint to look, and nobody's word.

Each namespace has a channel where its sidecars may publish what they like, as often as they like.
One that does so too often is not listened to for a while; it is looked at by the clock all the
same, and the others are heard as before.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

import hiredis

from mesh7_core.delivery import decisions
from mesh7_core.ledger import redis_layout, redis_troubles, resp, resp_client
from mesh7_core.ledger.protocol import LOST
from mesh7_operator.clock import Clock
from mesh7_operator.store.node import Manner, Node

_LOG: Final = logging.getLogger(__name__)
LONGEST_MESSAGE: Final = 64 * 1024
MOST_A_SECOND: Final = 500
"""Of one namespace; a held call comes to some five."""
MUTED_S: Final = 10.0


class Listening:
    """Hears of changes.

    Args:
        make: a connection of its own, of this manner.
        clock: by which messages are too many, and long enough not listened to.
    """

    def __init__(self, make: Callable[[Manner], Node], clock: Clock) -> None:
        self._clock = clock
        self._told: Callable[[str, str], None] = _nobody
        self._missed: Callable[[], None] = _nothing
        self._wanted: dict[bytes, str] = {}
        self._heard: set[bytes] = set()
        self._muted: dict[bytes, float] = {}
        self._counts: Counter[bytes] = Counter()
        self._counted_s = 0.0
        self._pipeline: resp.Pipeline | None = None
        self._greeting = asyncio.Lock()
        self.node = make(
            Manner(
                longest=LONGEST_MESSAGE,
                greet=self._greet,
                pushed=self._pushed,
                connected=self._connected,
            )
        )

    def to(self, told: Callable[[str, str], None], missed: Callable[[], None]) -> None:
        """Who is told from now on.

        Args:
            told: of a namespace and the id of a request; of none when it was something else.
            missed: messages may have been lost, of every namespace.
        """
        self._told, self._missed = told, missed

    async def follow(self, namespaces: Collection[str]) -> None:
        """Listen to these, and to no others."""
        now_s = self._clock.monotonic_s()
        self._wanted = {redis_layout.Layout(one).channel.encode(): one for one in namespaces}
        for channel, since_s in list(self._muted.items()):
            if now_s - since_s >= MUTED_S or channel not in self._wanted:
                del self._muted[channel]
        self.node.renew()
        if self._heard != self._wanted.keys() - self._muted.keys():
            async with self._greeting:
                if why := await self.node.greet_again():
                    _LOG.warning("redis does not tell of changes", extra={"error": why})

    async def _greet(self, pipeline: resp.Pipeline) -> str:
        if pipeline is not self._pipeline:
            self._pipeline, self._heard = pipeline, set()
        wanted = self._wanted.keys() - self._muted.keys()
        for word, channels in (
            ("SUBSCRIBE", wanted - self._heard), ("UNSUBSCRIBE", self._heard - wanted)
        ):  # fmt: skip
            if channels:
                pipeline.send_unanswered(resp.pack(word, *channels))
        self._heard = set(wanted)
        # Refused, SUBSCRIBE answers an error after all: the one that PING is waiting for.
        reply = await resp_client.ask(pipeline, "PING")
        if isinstance(reply, hiredis.ReplyError):
            self._pipeline = None
            pipeline.drop(redis_troubles.of_error(reply))
            return redis_troubles.of_error(reply)
        return "it does not answer within a second" if reply is LOST else ""

    def _connected(self) -> None:
        self._missed()

    def _pushed(self, message: list[resp.Reply]) -> None:
        match message:
            case [b"message", bytes(channel), bytes(text)] if channel in self._heard:
                namespace = self._wanted.get(channel)
                if namespace is not None and not self._is_flooding(channel):
                    self._told(namespace, _request_id(text))
            case _:
                pass

    def _is_flooding(self, channel: bytes) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s - self._counted_s >= 1.0:
            self._counts.clear()
            self._counted_s = now_s
        self._counts[channel] += 1
        if self._counts[channel] <= MOST_A_SECOND:
            return False
        self._muted[channel] = now_s
        self._heard.discard(channel)
        if self._pipeline is not None:
            self._pipeline.send_unanswered(resp.pack("UNSUBSCRIBE", channel))
        _LOG.warning(
            "a namespace publishes without end, and is not listened to for a while",
            extra={"namespace": self._wanted[channel]},
        )
        return True


def _request_id(text: bytes) -> str:
    if len(text) > LONGEST_MESSAGE:
        return ""
    spelled = text.decode("latin-1")
    return spelled if decisions.REQUEST_ID.fullmatch(spelled) else ""


def _nobody(_: str, __: str) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """The same."""
