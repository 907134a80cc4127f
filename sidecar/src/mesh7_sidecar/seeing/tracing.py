"""Which calls are traced: the caller's wish within a bound, else a share of them all.

Every call gets its passage here, traced or not, so that its record knows the caller's trace.
"""

from collections.abc import Callable
from typing import Final, Protocol

from mesh7_core.telemetry import context
from mesh7_core.telemetry.context import Context
from mesh7_core.telemetry.passage import Passage, Sampled

ASKED_PER_SECOND: Final = 10
"""Calls that are traced because their callers say so. Whoever calls can set that flag."""
_TRACEPARENT: Final = context.TRACEPARENT
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8


class Traces(Protocol):
    """Makes a call's passage when it is read."""

    def begin(
        self, door: str, started_ns: int, ambient: Context | None, meta: object = None
    ) -> Passage:
        """Read the caller's trace, and say whether the call is traced.

        Args:
            door: which way in.
            started_ns: monotonic.
            ambient: the context of the HTTP request; None when it had none.
            meta: `params._meta` as it was parsed, whatever it is.
        """


class Untraced:
    """Where nothing is sent anywhere: no call is traced, and no span made."""

    def begin(
        self, door: str, started_ns: int, ambient: Context | None, meta: object = None
    ) -> Passage:
        """With the caller's context for the record."""
        named = _named(meta) if type(meta) is dict and _TRACEPARENT in meta else None
        return Passage(door, started_ns, named or ambient)


class Tracer:
    """Chooses at random, or because the caller asks.

    Args:
        share: of all calls, 0 to 1.
        now_s: monotonic.
        random: evenly from 0 to 1, without 1. Not by the trace id: callers choose that.
        fresh: that many random bytes.
    """

    def __init__(
        self,
        share: float,
        *,
        now_s: Callable[[], float],
        random: Callable[[], float],
        fresh: Callable[[int], bytes],
    ) -> None:
        self._share = share
        self._now_s = now_s
        self._random = random
        self._fresh = fresh
        self._tokens = float(ASKED_PER_SECOND)
        self._filled_s = now_s()

    def begin(
        self, door: str, started_ns: int, ambient: Context | None, meta: object = None
    ) -> Passage:
        """As `Traces` says; what `_meta` names is the parent, the HTTP request's then a link."""
        named = _named(meta) if type(meta) is dict and _TRACEPARENT in meta else None
        caller = named or ambient
        sampled = None
        is_asked = caller is not None and caller.is_sampled and self._may_ask()
        if is_asked or self._random() < self._share:
            link = ambient if named is not None and named != ambient else None
            sampled = Sampled(self._server(caller), caller, link)
        return Passage(door, started_ns, caller, sampled)

    def _server(self, parent: Context | None) -> Context:
        if parent is None:
            # At one go: each time is a system call.
            fresh = self._fresh(_TRACE_BYTES + _SPAN_BYTES)
            return Context(fresh[:_TRACE_BYTES].hex(), fresh[_TRACE_BYTES:].hex(), is_sampled=True)
        span_id = self._fresh(_SPAN_BYTES).hex()
        return Context(parent.trace_id, span_id, is_sampled=True, state=parent.state)

    def _may_ask(self) -> bool:
        now_s = self._now_s()
        gained = (now_s - self._filled_s) * ASKED_PER_SECOND
        self._filled_s = now_s
        self._tokens = min(float(ASKED_PER_SECOND), self._tokens + gained)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _named(meta: dict[str, object]) -> Context | None:
    """The context that `_meta` names; None when it is none that is valid."""
    parent = meta.get(_TRACEPARENT)
    if not isinstance(parent, str):
        return None
    state = meta.get(context.TRACESTATE)
    return context.read(parent, state if isinstance(state, str) else None)
