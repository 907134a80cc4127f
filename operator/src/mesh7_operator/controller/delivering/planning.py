"""From a namespace to its plan: vetoes first, then what is compiled, in a thread beside the loop.

One namespace is compiled at a time, however many are large, and what stops calls never waits for
it: neither that of the namespace itself nor that of the others. What was compiled is kept, also
when the plan that was made of it cannot be applied.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace

from mesh7_operator.controller.delivering.applying import Applier
from mesh7_operator.controller.delivering.gathering import Gatherer
from mesh7_operator.reconciling import compilation
from mesh7_operator.reconciling.compilation import Compilation
from mesh7_operator.reconciling.plan import Plan
from mesh7_operator.reconciling.urgent import urgent
from mesh7_operator.reconciling.world import World


class Planner:
    """Makes plans; what is urgent is applied on the way.

    Args:
        compile_world: pure; what is written in the world, compiled.
        reconcile: pure.
    """

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        applier: Applier,
        compile_world: Callable[[World], Compilation],
        reconcile: Callable[[World, Compilation], Plan],
    ) -> None:
        self._gatherer = gatherer
        self._applier = applier
        self._compile = compile_world
        self._reconcile = reconcile
        self._compiled: dict[str, Compilation] = {}
        # Threads share the interpreter with the loop, but never keep it for long.
        self._fast = ThreadPoolExecutor(1, thread_name_prefix="urgent")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="compile")

    async def plan(self, namespace: str, aside: Callable[[], AbstractContextManager[None]]) -> Plan:
        """The plan of a namespace, now.

        Args:
            namespace: whose.
            aside: entered while threads work for it, and others may go on in its stead.

        Raises:
            ClusterError: we no longer lead.
        """
        loop = asyncio.get_running_loop()
        world = await self._gatherer.gather(namespace)
        compiled = self._compiled.get(namespace)
        if compiled is None or not compilation.is_of(compiled, world):
            hasty = await loop.run_in_executor(self._fast, urgent, world)
            if hasty is not None:
                # What cannot be done of it the whole plan does.
                await self._applier.apply(hasty)
            with aside():
                compiled = await loop.run_in_executor(self._slow, self._compile, world)
            self._compiled[namespace] = compiled
            world = _as_compiled(world, await self._gatherer.gather(namespace))
        with aside():
            return await loop.run_in_executor(self._slow, self._reconcile, world, compiled)

    def is_ending(self, namespace: str) -> bool:
        """Whether it is being deleted: its last bundle holds to the end."""
        return self._gatherer.is_ending(namespace)

    def compiled(self, namespace: str) -> Compilation | None:
        """What its objects came to last; None = they were not compiled yet."""
        return self._compiled.get(namespace)

    def forget(self, namespace: str) -> None:
        """There is no such namespace any more."""
        self._compiled.pop(namespace, None)

    def close(self) -> None:
        """Wait for nothing; what runs ends by itself."""
        for thread in (self._fast, self._slow):
            thread.shutdown(wait=False, cancel_futures=True)


def _as_compiled(compiled: World, now: World) -> World:
    """What is written is what was compiled, the rest is as it is by now.

    A namespace that is written to all the time would else never be done.
    """
    return replace(
        now,
        labels=compiled.labels,
        policies=compiled.policies,
        baseline=compiled.baseline,
        sources=compiled.sources,
        grants=compiled.grants,
        keys=compiled.keys,
        release=compiled.release,
    )
