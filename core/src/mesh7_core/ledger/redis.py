"""The home in Redis or Valkey: what many gateways share, one function call for a guarded call.

Counts are taken by `functions.lua`, whole or not at all, by the server's clock. What becomes of a
request is worked out here by the one table in `approvals` and exchanged for the version that it
was worked out from, so two gateways never both use one approval. A store that was emptied since it
was last seen says so by its epoch: for one length of a window its counts are then not known.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import hiredis

from mesh7_core.ledger import approvals, functions, redis_layout, resp
from mesh7_core.ledger.asked import Refused, Request, Vote
from mesh7_core.ledger.deliveries import Deliveries
from mesh7_core.ledger.memory import no_place
from mesh7_core.ledger.protocol import (
    LOST,
    MOST_STANDING,
    OBSERVED_ADMITTED,
    OBSERVED_LOST,
    Caps,
    Changed,
    Full,
    Lost,
    Observation,
    Observed,
    Opened,
    Standing,
    Unknown,
    Window,
)
from mesh7_core.ledger.redis_audit import RedisAudit
from mesh7_core.ledger.redis_deliveries import RedisDeliveries
from mesh7_core.ledger.redis_layout import DONE, FULL
from mesh7_core.ledger.redis_store import Store
from mesh7_core.ledger.redis_url import RedisServer
from mesh7_core.ledger.stands import unreadable
from mesh7_core.ledger.telling import Listeners

_TRIES: Final = 8
_READ_AT_ONCE: Final = 100
_READ_BYTES: Final = 256 * 1024
_CONNECT_S: Final = 3.0


class RedisLedger:
    """One namespace's ledger in a Redis. `start` it before use.

    Args:
        server: where it is, and who we are there.
        namespace: whose ledger; part of every key.
        load: load the function library when it is missing (a gateway without an operator).
        known_epoch: what `on_epoch` was last told, perhaps by an earlier process; empty = this
            gateway has never seen the store and believes what it finds.
        on_epoch: told what to remember of the store; an opaque text.
        library: what is called there; None = ours.
        delivers: be told of deliveries; needs a user that may listen to them. Without it there is
            no telling, only asking.

    Attributes:
        deliveries: what the operator delivers there.
        audit: where this gateway's records are appended.
    """

    def __init__(  # noqa: PLR0913 - what a gateway is started with
        self,
        server: RedisServer,
        namespace: str,
        *,
        load: bool,
        known_epoch: str = "",
        on_epoch: Callable[[str], None] | None = None,
        library: functions.Library | None = None,
        delivers: bool = False,
    ) -> None:
        self._epoch = known_epoch
        self._on_epoch = on_epoch
        self._layout = redis_layout.Layout(namespace)
        self._listeners = Listeners()
        self._delivery = Listeners()
        channels = {self._layout.channel: self._heard}
        if delivers:
            channels[self._layout.delivered] = self._delivered
        self._store = Store(
            server,
            library or functions.library_of(functions.written()),
            load=load,
            channels=channels,
            connected=self._connected,
        )
        self.deliveries: Deliveries = RedisDeliveries(self._store, self._layout, self._delivery)
        self.audit = RedisAudit(self._store, self._layout)

    async def start(self) -> None:
        """Connect; a store that is away is tried again until `close`."""
        await self._store.start(_CONNECT_S)

    def use(self, server: RedisServer) -> None:
        """Be another user of the same server from now on, without losing a call.

        Connections that stand ask to be the new user; where the server refuses, they go on as the
        old one, and the log says so. Another place means other connections: what is in flight then
        is lost.
        """
        self._store.use(server)

    # The data path

    def observe(self, observation: Observation, answer: Callable[[Observed], None]) -> None:
        """Take all that a call hangs on, or nothing, in one function call."""
        keys, words = self._layout.observe(observation, self._epoch)
        self._store.send("observe", keys, words, partial(self._observed, observation, answer))

    def _observed(
        self,
        observation: Observation,
        answer: Callable[[Observed], None],
        reply: resp.Reply | Lost,
    ) -> None:
        if reply == redis_layout.ADMITTED:
            self._store.answered()
            answer(OBSERVED_ADMITTED)
            return
        if isinstance(reply, Lost):
            answer(OBSERVED_LOST)
            return
        if isinstance(reply, hiredis.ReplyError):
            self._store.failed(reply)
            answer(OBSERVED_LOST)
            return
        self._store.answered()
        read = redis_layout.read_observed(reply, observation)
        if read is None:
            self._store.doubt("a function of ours answered what it never answers")
            answer(OBSERVED_LOST)
            return
        observed, learned = read
        if learned:
            self._epoch = learned
            if self._on_epoch is not None:
                self._on_epoch(learned)
        answer(observed)

    # Requests

    async def open(self, request: Request, caps: Caps) -> Opened | Full | Lost:
        """Ask people, or join."""
        layout = self._layout
        if why := redis_layout.too_long(request):
            self._store.keep_out(why)
            return LOST
        for _ in range(_TRIES):
            now_ms = await self.now_ms()
            if isinstance(now_ms, Lost):
                return LOST
            opened = approvals.opened(request, now_ms)
            _, ends_ms, kept_ms = redis_layout.standing_of(opened)
            reply = await self._store.call(
                "open", layout.of_request(opened), opened.id, redis_layout.write_request(opened),
                now_ms, ends_ms, kept_ms, caps.per_pod, caps.per_namespace, layout.channel,
                redis_layout.write_arguments(opened),
            )  # fmt: skip
            match reply:
                case [int(code), bytes(found), *surplus] if code == DONE:
                    await self._let_go(surplus)
                    return Opened(found.decode("utf-8", "replace"))
                case [int(code), bytes(per)] if code == FULL:
                    return Full(per.decode("ascii", "replace"))
                case Lost():
                    return LOST
                case _:
                    pass  # too late: once more, by the time of now
        return LOST

    async def _let_go(self, surplus: list[resp.Reply]) -> None:
        """Let go of requests that are too many, and of arguments; they closed longest ago."""
        match surplus:
            case [list(requests), list(arguments)]:
                await self._each("forget", [self._layout.requests], requests)
                await self._each("shorten", [], arguments)
            case _:
                pass  # joined: nothing was added

    async def _each(self, function: str, keys: list[str], found: list[resp.Reply]) -> None:
        ids = [one for one in found if isinstance(one, bytes)]
        if ids:
            each = [self._layout.request(one.decode("utf-8", "replace")) for one in ids]
            await self._store.call(function, [*self._layout.of_arguments, *keys, *each], *ids)

    async def vote(self, request_id: str, vote: Vote) -> Request | Refused | Unknown | Lost:
        """One person's yes or no."""
        return await self._change(request_id, lambda one, now: approvals.vote(one, vote, now))

    async def claim(
        self, request_id: str, digest: str, windows: Sequence[Window]
    ) -> Request | Refused | Lost:
        """Use an approval, once, its places stamped in the same step."""
        changed = await self._change(
            request_id, lambda one, now: approvals.claim(one, digest, now), windows, digest
        )
        if isinstance(changed, Unknown):
            return Refused(f"there is no request `{request_id}`")
        return changed

    async def finish(self, request_id: str, outcome: str) -> Lost | None:
        """Note what became of a claimed call."""
        changed = await self._change(request_id, lambda one, _: approvals.finish(one, outcome))
        return LOST if isinstance(changed, Lost) else None

    async def withdraw(self, request_id: str) -> Lost | None:
        """Nobody needs an answer any more."""
        changed = await self._change(request_id, approvals.withdraw)
        return LOST if isinstance(changed, Lost) else None

    async def give_back(self, digest: str, windows: Sequence[Window]) -> Lost | None:
        """Free what is reserved under `digest`."""
        keys = self._layout.of_windows(windows)
        reply = await self._store.call("give_back", keys, digest, *redis_layout.sizes_of(windows))
        return LOST if isinstance(reply, Lost) else None

    async def requests(self) -> tuple[Request, ...] | Lost:
        """All that are open or closed lately, oldest first."""
        listed = await self._store.call("listing", [self._layout.requests])
        if not isinstance(listed, list):
            return LOST
        ids = [one.decode("utf-8", "replace") for one in listed if isinstance(one, bytes)]
        found: list[Request] = []
        start = 0
        while start < len(ids):
            read = await self._read(ids[start : start + _READ_AT_ONCE])
            if isinstance(read, Lost):
                return LOST
            found += [approvals.at(one, read[0]) for one in read[1] if one is not None]
            start += len(read[1])
        return tuple(sorted(found, key=lambda one: (one.opened_at_ms, one.id)))

    async def request(self, request_id: str) -> Request | Unknown | Lost:
        """One of them, by its whole id."""
        read = await self._read([request_id])
        if isinstance(read, Lost):
            return LOST
        now_ms, (request,) = read
        return Unknown() if request is None else approvals.at(request, now_ms)

    async def used(self, keys: Sequence[str]) -> tuple[int, ...] | Lost:
        """How often each grant was used."""
        reply = await self._store.call("used", [self._layout.grant(key) for key in keys])
        if not isinstance(reply, list):
            return LOST
        return tuple(one if isinstance(one, int) else 0 for one in reply)

    async def _read(self, ids: list[str]) -> tuple[int, list[Request | None]] | Lost:
        """The time, and each request as it was written; None = there is none that is ours.

        The first ones only when they are long: other calls' answers wait behind what is read.
        """
        keys = [self._layout.request(one) for one in ids]
        reply = await self._store.call("read", keys, _READ_BYTES)
        match reply:
            case [int(now_ms), *pairs] if bool(pairs) == bool(ids) and len(pairs) <= 2 * len(ids):
                texts, arguments = pairs[::2], pairs[1::2]
                read = zip(texts, arguments, ids, strict=False)
                return now_ms, [self._trusted(*each) for each in read]
            case _:
                return LOST

    def _trusted(
        self, written: resp.Reply, arguments: resp.Reply, request_id: str
    ) -> Request | None:
        request = redis_layout.read_request(written, arguments, request_id)
        if request is None and written is not None:
            self._store.doubt(f"what is kept as request `{request_id}` is none of ours")
        return request

    async def _change(
        self,
        request_id: str,
        plan: Callable[[Request, int], Request | Refused],
        windows: Sequence[Window] = (),
        digest: str = "",
    ) -> Request | Refused | Unknown | Lost:
        """Exchange a request for what a plan makes of it, unless somebody else was faster."""
        for _ in range(_TRIES):
            read = await self._read([request_id])
            if isinstance(read, Lost):
                return LOST
            now_ms, (before,) = read
            if before is None:
                return Unknown()
            after = plan(before, now_ms)
            if isinstance(after, Refused):
                return after
            if len(redis_layout.write_request(after)) > redis_layout.LONGEST_TEXT:
                return Refused(f"request `{request_id}` would be longer than any may be")
            match await self._exchange(before, after, now_ms, windows, digest):
                case [int(code)] if code == DONE:
                    return after
                case [int(code), int(index)] if code == FULL and index < len(windows):
                    return no_place(windows[index])
                case Lost():
                    return LOST
                case _:
                    pass  # changed meanwhile, or too late: once more
        return LOST

    async def _exchange(
        self,
        before: Request,
        after: Request,
        now_ms: int,
        windows: Sequence[Window],
        digest: str,
    ) -> resp.Reply | Lost:
        layout = self._layout
        return await self._store.call(
            "exchange", [*layout.of_request(after), *layout.of_windows(windows)],
            after.id, before.version, after.version, redis_layout.write_request(after), now_ms,
            *redis_layout.standing_of(after), layout.channel, digest,
            *redis_layout.sizes_of(windows),
        )  # fmt: skip

    # Standing grants

    async def standing(self) -> tuple[Standing, ...] | Lost:
        """All standing grants and vetoes made by hand, by name."""
        reply = await self._store.call("standing", [self._layout.standing])
        if not isinstance(reply, list):
            return LOST
        found: list[Standing] = []
        for name, written in zip(reply[::2], reply[1::2], strict=False):
            found.append(_stood(name, written))
        return tuple(sorted(found, key=lambda one: one.name))

    async def stand(self, name: str, document: str, by: str) -> Standing | Refused | Lost:
        """Keep a grant or veto."""
        written = redis_layout.write_standing(document, by)
        reply = await self._store.call(
            "stand", [self._layout.standing], name, written, self._layout.channel, MOST_STANDING
        )
        match reply:
            case 0:
                return Refused(f"there is a grant `{name}` already; revoke it first")
            case -1:
                return Refused(
                    f"there are {MOST_STANDING} standing grants already; revoke some first"
                )
            case int(made_at_ms):
                return Standing(name=name, document=document, made_at_ms=made_at_ms, by=by)
            case _:
                return LOST

    async def fall(self, name: str) -> Standing | Unknown | Lost:
        """Remove one; what it was."""
        keys = [self._layout.standing]
        reply = await self._store.call("fall", keys, name, self._layout.channel)
        if isinstance(reply, Lost):
            return LOST
        if reply is None:
            return Unknown()
        return _stood(name.encode(), reply)

    # The rest

    def subscribe(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        """Be told of changes, whoever made them; of everything after a lost connection."""
        return self._listeners.add(told)

    async def now_ms(self) -> int | Lost:
        """The server's clock."""
        read = await self._read([])
        return LOST if isinstance(read, Lost) else read[0]

    def trouble(self) -> str:
        """Why it is lost, for people."""
        return self._store.trouble()

    async def close(self) -> None:
        """Let go; the server keeps everything."""
        await self._store.close()

    def _heard(self, message: bytes | None) -> None:
        self._listeners.tell(Changed("" if message is None else message.decode("utf-8", "replace")))

    def _delivered(self, message: bytes | None) -> None:
        if message is not None:
            self._connected()

    def _connected(self) -> None:
        self._delivery.tell(Changed(""))


def _stood(name: resp.Reply, written: resp.Reply) -> Standing:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else ""
    return redis_layout.read_standing(text, written) or unreadable(text)
