"""What we wrote ourselves of one kind, one object a namespace: it counts until newer news come."""

from collections.abc import Collection, Iterable
from typing import Generic, Protocol, TypeVar


class _Seen(Protocol):
    @property
    def revision(self) -> int:
        """Of the API server."""

    @property
    def uid(self) -> str:
        """Unique in time, too."""


_Kept = TypeVar("_Kept", bound=_Seen)


class OwnWrites(Generic[_Kept]):
    """By namespace; used on one event loop alone."""

    def __init__(self) -> None:
        self._written: dict[str, _Kept] = {}

    def wrote(self, namespace: str, found: _Kept) -> None:
        """We did."""
        self._written[namespace] = found

    def deleted(self, namespace: str, revision: int) -> None:
        """Somebody's deletion came to be known; what we wrote before it is gone."""
        own = self._written.get(namespace)
        if own is not None and revision > own.revision:
            del self._written[namespace]

    def forget(self, namespace: str) -> None:
        """There is nothing of ours."""
        self._written.pop(namespace, None)

    def vanished(self, uids: Collection[str]) -> set[str]:
        """They are gone; in which namespaces we had written one of them."""
        names = {name for name, one in self._written.items() if one.uid in uids}
        for name in names:
            del self._written[name]
        return names

    def uids(self) -> set[str]:
        """Of all that we wrote."""
        return {one.uid for one in self._written.values()}

    def newest(self, namespace: str, told: Iterable[_Kept], gone: Collection[str]) -> _Kept | None:
        """Of what was told and what we wrote, without what is gone."""
        own = self._written.get(namespace)
        there = [*told, *([own] if own is not None else [])]
        there = [one for one in there if one.uid not in gone]
        return max(there, key=lambda one: one.revision, default=None)
