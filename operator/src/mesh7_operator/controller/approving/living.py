"""Which pods are there: asked by name where a decision hangs on it, else as of some seconds ago."""

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import errors
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer

FRESH_S: Final = 15.0
_OTHERWISE_S: Final = 1.0
"""One that is not the pod that somebody speaks of may have come anew under its name."""
_MOST_ASKED: Final = 16
"""By name; for more the namespace's pods are listed once."""
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_MOST_NAMES: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Seen:
    """One name; `uid` is empty when there is no such pod, or it is ending."""

    uid: str
    at_s: float


class Pods:
    """What was seen of them, of each namespace where somebody asks."""

    def __init__(self, api: ApiServer, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._seen: dict[str, dict[str, _Seen]] = {}

    async def uids(
        self, namespace: str, wanted: Mapping[str, Collection[str]], surely: Collection[str]
    ) -> Mapping[str, str] | None:
        """Uids by name, of those that are there and not ending; None = it cannot be known.

        Args:
            namespace: theirs.
            wanted: names, and the uids that they are said to have; whoever says so may lie.
            surely: those of them that are asked for now, whatever was seen.
        """
        names = [name for name in wanted if _NAME.fullmatch(name)][:_MOST_NAMES]
        now_s = self._clock.monotonic_s()
        before = self._seen.get(namespace, {})
        kept = {name: before[name] for name in names if name in before}
        asked = {name for name in names if name in surely}
        doubted = [
            name for name in names
            if name not in asked and not _is_fresh(kept.get(name), wanted[name], now_s)
        ]  # fmt: skip
        try:
            if len(doubted) > _MOST_ASKED:
                listed = await self._listed(namespace)
                kept |= {name: _Seen(listed.get(name, ""), now_s) for name in doubted}
            else:
                asked.update(doubted)
            found = await asyncio.gather(*(self._one(namespace, name) for name in asked))
        except errors.ClusterError:
            return None
        kept |= {name: _Seen(uid, now_s) for name, uid in zip(asked, found, strict=True)}
        self._remember(namespace, kept)
        return {name: one.uid for name, one in kept.items() if one.uid}

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._seen.pop(namespace, None)

    def _remember(self, namespace: str, kept: dict[str, _Seen]) -> None:
        if kept:
            self._seen[namespace] = kept
        else:
            self._seen.pop(namespace, None)

    async def _one(self, namespace: str, name: str) -> str:
        try:
            return _uid(await self._api.get_metadata(resources.PODS, namespace, name))
        except api_server.NotFound:
            return ""

    async def _listed(self, namespace: str) -> dict[str, str]:
        pages = self._api.list_metadata_remembered(resources.PODS, namespace)
        return {shapes.text(one, "metadata", "name"): _uid(one) async for one in pages}


def _uid(pod: shapes.Object) -> str:
    if shapes.text(pod, "metadata", "deletionTimestamp"):
        return ""
    return shapes.text(pod, "metadata", "uid")


def _is_fresh(seen: _Seen | None, said: Collection[str], now_s: float) -> bool:
    if seen is None:
        return False
    return now_s - seen.at_s < (FRESH_S if seen.uid in said else _OTHERWISE_S)
