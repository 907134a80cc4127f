"""Limits that say `onStoreLoss: Local`, counted by this gateway alone while the ledger is lost."""

from collections.abc import Callable, Sequence

from mesh7_core.ledger.memory import MemoryLedger
from mesh7_core.ledger.protocol import Observation, Observed, Seen, Window
from mesh7_core.policy import calls, judge
from mesh7_core.policy.rules import Limit, Per, StoreLoss
from mesh7_sidecar.gate import observing
from mesh7_sidecar.gate.observing import Observing


class Shares:
    """This gateway's share of such limits.

    Args:
        observing: puts limits into windows.
        replicas: how many gateways count together per what; 0 = not known, then there is no
            share.
        now_s: never goes back.
    """

    def __init__(
        self, words: Observing, replicas: Callable[[Per], int], now_s: Callable[[], float]
    ) -> None:
        self._words = words
        self._replicas = replicas
        self._now_s = now_s
        self._counts = MemoryLedger(lambda: int(now_s() * 1000))

    def facts(self, needs: judge.Needs, observed: Observed, call: calls.Call) -> judge.Facts:
        """What a call comes to of which nobody is asked, when limits of it are lost.

        Its share of a `Local` limit is taken here; nothing is when another limit denies anyhow.
        """
        lost = _lost(needs, observed)
        if any(limit.on_store_loss is StoreLoss.DENY for limit in lost):
            return _passed(needs, observed, frozenset())
        shares = observing.shares(lost, self._replicas)
        limits = [limit for limit, _ in shares]
        windows = self._words.windows(limits, call, self._now_s())
        for window, (_, share) in zip(windows, shares, strict=True):
            window.maximum = share
        seen = self._take(windows)
        if seen.seen is Seen.SPENT:
            return judge.Facts(
                ledger=judge.Ledger.SPENT,
                limit=limits[seen.index].id,
                retry_after_s=observing.seconds(seen.retry_after_ms),
            )
        return _passed(needs, observed, frozenset(limit.id for limit in limits))

    def _take(self, windows: Sequence[Window]) -> Observed:
        seen: list[Observed] = []
        self._counts.observe(Observation(tuple(windows)), seen.append)
        return seen[0]


def _lost(needs: judge.Needs, observed: Observed) -> Sequence[Limit]:
    if observed.seen is Seen.LOST:
        return needs.limits
    return [needs.limits[index] for index in observed.unknown]


def _passed(needs: judge.Needs, observed: Observed, counted: frozenset[str]) -> judge.Facts:
    found = observing.facts(needs, observed, counted=counted)
    return judge.Facts(ledger=judge.Ledger.ADMITTED, lost=found.lost)
