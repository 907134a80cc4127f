"""What sidecars report, read over a connection of its own: whoever may write there may write much.

Nothing that is delivered waits behind it, no more than a few namespaces' reports are on their way
at once, and what is as it was before is not decoded again.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import hiredis

from mesh7_core.delivery import reports
from mesh7_core.ledger import redis_layout, redis_troubles, resp
from mesh7_core.ledger.protocol import Lost
from mesh7_operator.store.node import Command, Node

_LOG: Final = logging.getLogger(__name__)
MOST_REPORTED_BYTES: Final = 1024 * 1024
"""Of one namespace's sidecars together; what is beyond is not seen."""
MOST_REMEMBERED_BYTES: Final = 16 * 1024 * 1024
"""Of all namespaces together, as they were written; those looked at longest ago are forgotten."""
_AT_ONCE: Final = 8
"""Namespaces whose reports are on their way at once: 8 MiB within the second that an answer has."""

Call = Callable[..., Command]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """What one sidecar's report was; None for whatever is none."""

    digest: bytes
    report: reports.Report | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Namespace:
    """What was read of one namespace last."""

    size: int = 0
    each: Mapping[bytes, _Remembered]

    @property
    def reports(self) -> dict[str, reports.Report]:
        return {one.report.uid: one.report for one in self.each.values() if one.report is not None}


_NOTHING: Final = _Namespace(each={})


class Reporting:
    """Reads reports.

    Args:
        node: a connection that nothing else is asked on.
        call: makes a command of a function of our library, its keys and its words.
    """

    def __init__(self, node: Node, call: Call) -> None:
        self._node = node
        self._call = call
        self._before: OrderedDict[str, _Namespace] = OrderedDict()
        self._size = 0

    async def read(self, namespaces: Sequence[str]) -> dict[str, dict[str, reports.Report]]:
        """The reports of each by uid; what cannot be read now is as it was read last."""
        self._node.renew()
        found = {}
        for start in range(0, len(namespaces), _AT_ONCE):
            some = namespaces[start : start + _AT_ONCE]
            for name, one in zip(some, await self._some(some), strict=True):
                self._remember(name, one)
                found[name] = one.reports
        return found

    def forget(self, namespace: str) -> None:
        """It is no longer read."""
        self._size -= self._before.pop(namespace, _NOTHING).size

    async def _some(self, namespaces: Sequence[str]) -> list[_Namespace]:
        replies = await self._node.ask([
            self._call("reports", redis_layout.Layout(name).of_reports, MOST_REPORTED_BYTES)
            for name in namespaces
        ])  # fmt: skip
        for name, reply in zip(namespaces, replies, strict=True):
            if isinstance(reply, hiredis.ReplyError):
                await self._clear(name, reply)
        before = [self._before.get(name, _NOTHING) for name in namespaces]
        return await asyncio.to_thread(_decoded, replies, before)

    async def _clear(self, namespace: str, error: hiredis.ReplyError) -> None:
        """Where somebody else wrote: sidecars report again."""
        if redis_troubles.is_missing_function(error) or not redis_troubles.is_of_a_key(error):
            return
        _LOG.warning(
            "reports in redis are not what sidecars write, and are removed",
            extra={"namespace": namespace, "error": redis_troubles.of_error(error)},
        )
        await self._node.ask([["DEL", *redis_layout.Layout(namespace).of_reports]])

    def _remember(self, namespace: str, one: _Namespace) -> None:
        self.forget(namespace)
        if one.size > 0:
            self._before[namespace] = one
            self._size += one.size
        while self._size > MOST_REMEMBERED_BYTES:
            self.forget(next(iter(self._before)))


def _decoded(
    replies: Sequence[resp.Reply | Lost], before: Sequence[_Namespace]
) -> list[_Namespace]:
    """What each namespace's sidecars report; runs in a thread, for it may take a while."""
    return [_namespace(*each) for each in zip(replies, before, strict=True)]


def _namespace(reply: resp.Reply | Lost, before: _Namespace) -> _Namespace:
    if isinstance(reply, hiredis.ReplyError) and redis_troubles.is_of_a_key(reply):
        return _NOTHING
    if not isinstance(reply, list):
        return before
    each: dict[bytes, _Remembered] = {}
    size = 0
    for uid, text in zip(reply[1::2], reply[2::2], strict=False):
        if isinstance(uid, bytes) and isinstance(text, bytes):
            each[uid] = _one(uid, text, before.each.get(uid))
            size += len(uid) + len(text)
    return _Namespace(size=size, each=each)


def _one(uid: bytes, text: bytes, before: _Remembered | None) -> _Remembered:
    digest = hashlib.blake2b(text, digest_size=16).digest()
    if before is not None and before.digest == digest:
        return before
    report = reports.decode(text)
    # Each speaks for itself: the uid that it is kept under is the one that it says.
    is_its = report is not None and report.uid.encode() == uid
    return _Remembered(digest=digest, report=report if is_its else None)
