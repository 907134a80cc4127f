"""Redis as the controller uses it: bundles and overlays out, reports and uses in, users kept.

Nothing here raises when the server is away: what cannot be known is None, what cannot be done is
False, `state` and `trouble` say so, and the next round does it. Whoever leads repeats everything.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import hiredis

from mesh7_core.delivery import envelopes, reports
from mesh7_core.ledger import functions, redis_deliveries, redis_layout, redis_troubles, resp
from mesh7_core.ledger.protocol import Lost
from mesh7_core.ledger.redis_url import parse_url
from mesh7_operator import settings
from mesh7_operator.approving.steps import Settle
from mesh7_operator.clock import Clock
from mesh7_operator.reconciling.plan import Publish
from mesh7_operator.reconciling.world import Published, StoreState
from mesh7_operator.store import audit, keeping, passwords, requests, rules
from mesh7_operator.store.listening import Listening
from mesh7_operator.store.node import Command, Manner, Node
from mesh7_operator.store.reporting import Reporting

_LOG: Final = logging.getLogger(__name__)
_CONNECT_S: Final = 3.0
_READERS: Final = 4
"""Namespaces whose held calls are read at once."""
_MOST_GRANTS: Final = 10_000
"""Of one namespace, whose uses are asked for at once; those beyond are not shown."""
_KINDS: Final = (envelopes.Kind.BUNDLE, envelopes.Kind.OVERLAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TendReport:
    """What was found and done on each node."""

    nodes: tuple[keeping.NodeReport, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether on every node all that is ours is as it should be."""
        return not any(node.trouble for node in self.nodes)

    @property
    def is_closed(self) -> bool:
        """Whether no node lets anybody in without a password."""
        return not any(node.open_users for node in self.nodes)


class Store:
    """One Redis: the server that leads, and every node where users and functions are kept.

    Args:
        chosen: where it is, and who the operator is there.
        master: the secret that passwords follow from, asked for anew each time.
        clock: for spans.
        password: of the operator's own user, the same; None = that of the settings.
        authorities: who vouches for the servers, the same; None = those of the settings.
        own: what the operator's own user may do, where the operator says that; else empty.

    Attributes:
        audit: what sidecars append of their audit, and the controller of its own.

    Raises:
        SettingsError: a URL cannot be used.
    """

    def __init__(
        self,
        chosen: settings.RedisSettings,
        master: Callable[[], bytes],
        clock: Clock,
        *,
        password: Callable[[], str | None] | None = None,
        authorities: Callable[[], str] | None = None,
        own: Sequence[str] = (),
    ) -> None:
        user = parse_url(chosen.url).user
        self._own = rules.Own(user=user, words=tuple(own)) if user and own else None
        self._is_managed = chosen.mode is settings.RedisMode.MANAGED
        self._master = master
        known = (password or chosen.password, authorities)
        self._primary = Node(chosen, chosen.url, *known)
        self._beside = Node(chosen, chosen.url, *known)
        self._reporting = Reporting(self._beside, self._call)
        made = partial(Node, chosen, chosen.url, *known)
        manner = Manner(longest=requests.LONGEST_ANSWER, is_beside=True)
        readers = [made(manner=manner) for _ in range(_READERS)]
        # What tenants write is decoded beside all that the process has its usual threads for.
        self._decoding = ThreadPoolExecutor(1, thread_name_prefix="held-calls")
        self._requests = requests.Requests(self._primary, readers, self._call, self._decoding)
        self._listening = Listening(lambda manner: made(manner=manner), clock)
        auditing = made(manner=Manner(longest=audit.LONGEST_ANSWER, is_beside=True))
        self.audit = audit.Audit(auditing, self._primary, self._call)
        self._more = (self._beside, self._listening.node, auditing, *readers)
        others = [url for url in dict.fromkeys(chosen.nodes) if url != chosen.url]
        self._others = [Node(chosen, url, *known) for url in others]
        # Users and functions are kept where the nodes are named; the address may be one of them.
        is_named = chosen.url in chosen.nodes or not chosen.nodes
        self._kept = [self._primary, *self._others] if is_named else self._others
        self._tending = asyncio.Lock()
        self._tended: set[str] = set()
        self._tended_at: datetime | None = None
        self._library = functions.library_of(functions.written())
        self._trouble = ""

    async def start(self) -> None:
        """Connect; servers that are away are tried again until `close`."""
        nodes = (self._primary, *self._more, *self._others)
        await asyncio.gather(*(node.start(_CONNECT_S) for node in nodes))

    async def close(self) -> None:
        """Let go; the servers keep everything."""
        for node in (self._primary, *self._more, *self._others):
            await node.close()
        self._decoding.shutdown(wait=False, cancel_futures=True)

    @property
    def state(self) -> StoreState:
        """How it stands with the server that leads."""
        is_well = self._primary.is_connected and not self._trouble
        return StoreState.CONNECTED if is_well else StoreState.LOST

    @property
    def trouble(self) -> str:
        """Why it is lost, for people; empty when it is not."""
        return self._primary.trouble or self._trouble

    # What is delivered, and what comes back

    async def published(
        self, wanted: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Published] | None:
        """What lies there of each namespace; None while the store is lost.

        Args:
            wanted: by namespace, what the uses of its grants are counted under
                (`policy.standing.use_key`).
        """
        commands: list[Command] = []
        for namespace, keys in wanted.items():
            commands += self._questions(redis_layout.Layout(namespace), keys)
        replies = await self._ask(commands)
        if replies is None:
            return None
        reported = await self._reporting.read(list(wanted))
        each = iter(replies)
        found: dict[str, Published] = {}
        for namespace, keys in wanted.items():
            delivered, used = next(each), next(each) if keys else []
            uses = dict(zip(keys, _list(used), strict=False))
            found[namespace] = _published(delivered, reported[namespace], uses)
        return found

    async def envelope(self, namespace: str, kind: envelopes.Kind) -> bytes | None:
        """What lies there as this kind, unless it is too large to be ours; None = nothing."""
        key = redis_layout.Layout(namespace).delivery(kind)
        sizes = await self._ask([["HSTRLEN", key, "t"]])
        match sizes:
            case [int(size)] if 0 < size <= envelopes.MAXIMUM_SEALED_BYTES:
                replies = await self._ask([["HGET", key, "t"]])
            case _:
                return None
        match replies:
            case [bytes(found)]:
                return found
            case _:
                return None

    async def publish(self, namespace: str, publish: Publish) -> bool:
        """Put a bundle or overlay there and tell the sidecars; whether it lies there now.

        It does not when the store is lost, or holds a version as high and `force` does not say to
        overwrite that. A namespace that is new here gets its users now, not with the next round.
        """
        await self._admit(namespace)
        layout = redis_layout.Layout(namespace)
        replies = await self._ask([
            self._call(
                "deliver", [layout.delivery(publish.kind)], publish.version, publish.content,
                layout.delivered, int(publish.force),
            )
        ])  # fmt: skip
        return replies == [1]

    async def forget(self, namespace: str) -> bool:
        """Remove what was delivered to a namespace, its reports and users; whether that is done.

        Counts, requests and grants' uses stay: a namespace that comes back soon goes on with them.
        """
        self._reporting.forget(namespace)
        layout = redis_layout.Layout(namespace)
        keys = [*(layout.delivery(kind) for kind in _KINDS), *layout.of_reports]
        troubles = []
        if self._is_managed:
            async with self._tending:
                self._tended.discard(namespace)
                troubles = await asyncio.gather(
                    *(keeping.revoke(node, namespace) for node in self._kept)
                )
        replies = await self._ask([["DEL", *keys]])
        return replies is not None and not any(troubles)

    # Held calls

    async def waiting(self, namespaces: Sequence[str]) -> Mapping[str, int] | None:
        """How many requests are pending or were lately, of each; None while the store is lost."""
        return await self._requests.waiting(namespaces)

    async def held(
        self, namespace: str, mirrored: Collection[str], told: Collection[str] = ()
    ) -> requests.Held | None:
        """Requests that are pending, and these; None while the store is lost."""
        return await self._requests.read(namespace, mirrored, told)

    async def settle(self, namespace: str, settle: Settle, found: bytes) -> bool:
        """Carry it out; whether it is. What lay there as a decision has to be what was found."""
        return await self._requests.settle(namespace, settle, found)

    def listen(self, told: Callable[[str, str], None], missed: Callable[[], None]) -> None:
        """Have these told of changes in ledgers: of a namespace and a request, or of all."""
        self._listening.to(told, missed)

    async def follow(self, namespaces: Collection[str]) -> None:
        """Whose changes are told of."""
        await self._listening.follow(namespaces)

    # Users and functions

    async def tend(self, namespaces: Collection[str], now: datetime) -> TendReport:
        """See that every node has the users and the functions that it should have, and no others.

        Args:
            namespaces: those that are enrolled.
            now: aware.
        """
        wanted = self._users(namespaces, now) if self._is_managed else None
        async with self._tending:
            self._tended, self._tended_at = set(namespaces), now
            found = await asyncio.gather(
                *(keeping.keep(node, wanted, self._own) for node in self._kept)
            )
        for node in found:
            _log(node)
        return TendReport(nodes=tuple(found))

    async def _admit(self, namespace: str) -> None:
        if not self._is_managed or self._tended_at is None or namespace in self._tended:
            return
        async with self._tending:
            # What fails here is the next round's business.
            self._tended.add(namespace)
            wanted = self._users([namespace], self._tended_at)
            await asyncio.gather(*(keeping.admit(node, wanted) for node in self._kept))

    def _users(self, namespaces: Collection[str], now: datetime) -> dict[str, tuple[str, ...]]:
        master, database = self._master(), self._primary.database
        owners = [
            passwords.Owner(namespace, generation)
            for namespace in sorted(namespaces)
            for generation in passwords.kept_generations(now)
        ]
        return {
            passwords.user_name(owner): rules.rules_of(
                owner.namespace, passwords.password(master, owner), database=database
            )
            for owner in owners
        }

    # Asking

    def _questions(self, layout: redis_layout.Layout, keys: Sequence[str]) -> list[Command]:
        asked: list[Command] = [
            self._call("delivered", [layout.delivery(kind) for kind in _KINDS]),
        ]
        if keys:
            asked.append(self._call("used", [layout.grant(key) for key in keys[:_MOST_GRANTS]]))
        return asked

    def _call(
        self, function: str, keys: Sequence[str], *words: bytes | str | int
    ) -> Sequence[bytes | str | int]:
        return ["FCALL", f"{self._library.name}_{function}", len(keys), *keys, *words]

    async def _ask(self, commands: Sequence[Command]) -> list[resp.Reply] | None:
        """What the server that leads answers; None when it does not, or cannot work for us."""
        replies = await self._primary.ask(commands)
        if any(_lacks_functions(reply) for reply in replies):
            self._trouble = await keeping.load(self._primary)
            if self._trouble:
                return None
            replies = await self._primary.ask(commands)
        answered = [reply for reply in replies if not isinstance(reply, Lost)]
        self._trouble = _trouble_of(answered)
        return None if self._trouble or len(answered) < len(commands) else answered


def _lacks_functions(reply: resp.Reply | Lost) -> bool:
    return isinstance(reply, hiredis.ReplyError) and redis_troubles.is_missing_function(reply)


def _trouble_of(replies: Sequence[resp.Reply]) -> str:
    """Why no namespace can be served; a key of one that holds something else is none of that."""
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError) and not redis_troubles.is_of_a_key(reply):
            return redis_troubles.of_error(reply)
    return ""


def _published(
    delivered: resp.Reply, reported: Mapping[str, reports.Report], used: Mapping[str, object]
) -> Published:
    bundle, overlay = _delivered(delivered)
    return Published(
        bundle=bundle[0],
        overlay=overlay[0],
        bundle_sha1=bundle[1],
        overlay_sha1=overlay[1],
        reports=reported,
        uses={key.partition("@")[0]: many for key, many in used.items() if isinstance(many, int)},
    )


def _delivered(reply: resp.Reply) -> tuple[tuple[int, str], tuple[int, str]]:
    match reply:
        case [bundle, _, bytes(bundle_sha1), overlay, _, bytes(overlay_sha1)]:
            return _version(bundle, bundle_sha1), _version(overlay, overlay_sha1)
        case _:
            return (0, ""), (0, "")


def _version(version: resp.Reply, sha1: bytes) -> tuple[int, str]:
    number = redis_deliveries.read_version(version)
    return number, sha1.decode("ascii", "replace") if number else ""


def _list(reply: resp.Reply) -> Sequence[resp.Reply]:
    return reply if isinstance(reply, list) else []


def _log(node: keeping.NodeReport) -> None:
    if node.trouble:
        _LOG.warning("a redis node is not kept", extra={"node": node.place, "error": node.trouble})
    if node.open_users:
        _LOG.error(
            "redis takes users without a password: whoever reaches it can undo every limit; see"
            " docs/administrator/redis.md, The default user",
            extra={"node": node.place, "users": list(node.open_users)},
        )
    if node.restored:
        _LOG.warning(
            "users of redis had been changed and are restored; their connections were ended",
            extra={"node": node.place, "users": list(node.restored)},
        )
    if node.loaded:
        _LOG.info("the function library is loaded", extra={"node": node.place})
