"""Policies and sources as sidecars have them: compiled once out of what was delivered."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from mesh7_core.compiling import delivered
from mesh7_core.errors import BundleError
from mesh7_core.policy.destination import Destination, destination
from mesh7_core.policy.rules import Policy
from mesh7_operator.reconciling.compilation import Compilation

_LOG: Final = logging.getLogger(__name__)
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of all payloads whose policies are kept; those asked for longest ago are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What held calls of one namespace are checked by.

    Attributes:
        policies: by id.
        sources: by name, where their calls go.
    """

    policies: Mapping[str, Policy]
    sources: Mapping[str, Destination]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """One namespace's; `compiled` is None when it does not compile."""

    payload: bytes = field(repr=False)
    compiled: Compiled | None


class CompiledPolicies:
    """Of each namespace that was asked for.

    Args:
        compiled: what its objects come to; None = they were not compiled yet.
    """

    def __init__(self, compiled: Callable[[str], Compilation | None]) -> None:
        self._compiled = compiled
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0
        # One at a time, as elsewhere: threads share the interpreter with the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="approve")

    async def of(self, namespace: str) -> Compiled | None:
        """Those in force; None = there are none that could be named."""
        found = self._compiled(namespace)
        if found is None or found.is_too_large:
            return None
        kept = self._kept.get(namespace)
        if kept is None or kept.payload != found.payload:
            loop = asyncio.get_running_loop()
            compiled = await loop.run_in_executor(self._thread, _compiled, found)
            kept = _Kept(payload=found.payload, compiled=compiled)
            self._keep(namespace, kept)
        self._kept.move_to_end(namespace)
        return kept.compiled

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        before = self._kept.pop(namespace, None)
        self._size -= len(before.payload) if before else 0

    def close(self) -> None:
        """Wait for nothing; what runs ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _keep(self, namespace: str, kept: _Kept) -> None:
        self.forget(namespace)
        self._kept[namespace] = kept
        self._size += len(kept.payload)
        while self._size > MOST_BYTES and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))


def _compiled(compilation: Compilation) -> Compiled | None:
    try:
        bundle = delivered.compile_bundle(compilation.content)
    except BundleError as error:
        _LOG.warning(
            "policies cannot be asked about held calls",
            extra={"namespace": compilation.key.namespace, "error": error.message},
        )
        return None
    return Compiled(
        policies={one.id: one for one in bundle.policies},
        sources={name: destination(one) for name, one in bundle.sources.items()},
    )
