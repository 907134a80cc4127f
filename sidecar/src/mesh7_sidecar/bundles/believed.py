"""Which deliveries are believed: one look at each, whoever brings it how often.

What is not genuine, or older than what is known, is ignored, and counted once as long as it lies
there unchanged.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from mesh7_core.delivery import decisions, envelopes, trust
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.reports import Origin
from mesh7_sidecar.bundles.refusals import Refusals
from mesh7_sidecar.bundles.remembered import Remembered

REVOCATIONS_FIRST: Final = (Kind.OVERLAY, Kind.BUNDLE)
"""The order in which what is found together is looked at."""
SMALL_BYTES: Final = 16 * 1024
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Look:
    """What was looked at last; `keys` are those known then, None when it was believed."""

    digest: bytes
    keys: tuple[bytes, ...] | None


class Believed:
    """What one sidecar knows of keys and versions.

    Args:
        remembered: what it knew before a restart, and where what it learns goes.
        refusals: where what is ignored is counted.
    """

    def __init__(self, remembered: Remembered, refusals: Refusals) -> None:
        kept = remembered.read()
        self._remembered = remembered
        self._refusals = refusals
        self._kept: Mapping[Kind, bytes] = kept.sealed
        self._trust = kept.trust
        self._looks: dict[tuple[Kind, Origin], _Look] = {}
        self._turn = asyncio.Lock()

    def floor(self, kind: Kind) -> int:
        """The lowest version that is accepted; 0 = any."""
        return self._trust.floors.get(kind, 0)

    def in_force(self, kind: Kind) -> int:
        """The version that was in force last, in this process or an earlier one; 0 = none."""
        return self._trust.in_force.get(kind, 0)

    def settle(self, kind: Kind, version: int) -> None:
        """This version is in force: after a restart nothing older will be."""
        if version > self.in_force(kind):
            self._learn(replace(self._trust, in_force={**self._trust.in_force, kind: version}))

    def kept(self, kind: Kind) -> envelopes.Opened | None:
        """What lies in the state folder since before a restart, verified; None when nothing does.

        By any key of the chain and whatever the floor: a newer one may have come since, and may
        not have been usable. What is newer than what was written of keys and versions counts.
        """
        sealed, known = self._kept.get(kind), self._trust
        if sealed is None:
            return None
        answer = trust.consider(sealed, kind, known)
        if isinstance(answer, trust.Accepted):
            self._learn(answer.trust)
            return answer.opened
        opened = envelopes.unseal(sealed, kind, known.namespace, known.keys)
        if isinstance(opened, envelopes.Refused):
            self._refusals.add(kind, Origin.NONE, opened)
            return None
        return opened

    def decision(self, data: bytes) -> decisions.Decision | envelopes.Refused:
        """What people decided about a held call, if a key that may sign now has signed it."""
        return decisions.unseal(data, self._trust.keys[self._trust.newest :])

    def did_believe(self, kind: Kind, origin: Origin) -> bool:
        """Whether what was looked at last, and came this way, was genuine and not older."""
        look = self._looks.get((kind, origin))
        return look is not None and look.keys is None

    async def consider(self, kind: Kind, data: bytes, origin: Origin) -> envelopes.Opened | None:
        """The envelope, if it is genuine and not older than what is known.

        None, too, for what was looked at before and has not changed since.
        """
        async with self._turn:
            digest, known = hashlib.sha256(data).digest(), self._trust
            if self._looks.get((kind, origin)) in {_Look(digest, None), _Look(digest, known.keys)}:
                return None
            answer = await worked(len(data), lambda: trust.consider(data, kind, known))
            if isinstance(answer, envelopes.Refused):
                self._looks[kind, origin] = _Look(digest, known.keys)
                self._refusals.add(kind, origin, answer)
                return None
            self._looks[kind, origin] = _Look(digest, None)
            self._learn(answer.trust)
            return answer.opened

    def _learn(self, learned: trust.Trust) -> None:
        if learned != self._trust:
            self._trust = learned
            self._remembered.keep_trust(learned)


class Work(Protocol):
    """Runs what may take long."""

    async def __call__(self, size_bytes: int, work: Callable[[], _Answer]) -> _Answer:
        """What `work` answers; it is about as many bytes."""


async def worked(size_bytes: int, work: Callable[[], _Answer]) -> _Answer:
    """What `work` answers; by a thread when it is about much, so that calls go on meanwhile.

    `work` may be called twice. How many threads there may be is up to the whole pod, the agent in
    it too, and that must not keep a kill out of force.
    """
    if size_bytes <= SMALL_BYTES:
        return work()
    try:
        return await asyncio.to_thread(work)
    except RuntimeError:
        return work()
