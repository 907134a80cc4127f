"""`mesh7-operator sweep`: webhooks first, then the controllers' Lease, then all the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from mesh7_core import errors, names
from mesh7_operator import settings
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import once, resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.sweeping import holding, traces
from mesh7_operator.sweeping.holding import Hold
from mesh7_operator.sweeping.traces import Trace

_AT_ONCE: Final = 16
Tell = Callable[[Mapping[str, object]], None]
"""Takes one line of what was done: `did`, and what it was done to."""


async def run(chosen: settings.Sweep, clock: Clock, tell: Tell) -> None:
    """Remove everything, as far as we are let.

    Raises:
        ClusterError: something is left; `tell` has heard of each.
        SettingsError: the API server cannot be found.
    """
    async with once.api_server(chosen.cluster) as api:
        namespace = chosen.cluster.release_namespace
        hold = Hold(api, namespace, chosen.lease_name, identity=chosen.identity, clock=clock)
        await sweep(api, chosen, hold, tell)


async def sweep(api: ApiServer, chosen: settings.Sweep, hold: Hold, tell: Tell) -> None:
    """The same with an API server and a hold of the Lease at hand.

    Raises:
        ClusterError: something is left; `tell` has heard of each.
    """
    broom = Broom(api, chosen, tell)
    await broom.sweep(broom.webhooks())
    if chosen.is_real:
        await _sweep_alone(broom, chosen, hold)
    else:
        await broom.sweep(*broom.everything())
        tell({"did": "removed nothing: say --yes"})
    if broom.failed:
        raise errors.ClusterError(
            f"not swept: {broom.failed}, each named above; mend what keeps it and sweep again"
        )


async def _sweep_alone(broom: "Broom", chosen: settings.Sweep, hold: Hold) -> None:
    namespace = chosen.cluster.release_namespace
    place = {"kind": resources.LEASES.kind, "namespace": namespace, "name": chosen.lease_name}
    try:
        await hold.take()
    except errors.ClusterError as error:
        # What a controller makes anew the next sweep finds.
        broom.fail({**place, "why": error.message})
    else:
        broom.tell({"did": "held", **place})
    keeping = asyncio.ensure_future(hold.keep())
    try:
        # A leader that still lived may have made the first ones anew.
        await broom.sweep(broom.webhooks(), *broom.everything())
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    try:
        is_gone = await hold.end()
    except errors.ClusterError as error:
        broom.fail({**place, "why": error.message})
        return
    if is_gone:
        broom.tell({"did": "removed", **place})
    else:
        why = f"a controller runs that Deployment `{holding.CONTROLLERS}` did not make: stop it"
        broom.tell({"did": "kept for an hour", **place, "why": why})


class Broom:
    """Sweeps, tells of it, and counts what would not go."""

    def __init__(self, api: ApiServer, chosen: settings.Sweep, tell: Tell) -> None:
        self._api = api
        self._chosen = chosen
        self.tell = tell
        self.failed = 0

    def webhooks(self) -> AsyncIterator[Trace]:
        """What is to go before anything else."""
        return traces.webhooks(self._api)

    def everything(self) -> Iterator[AsyncIterator[Trace]]:
        """All the rest, in the order in which it goes."""
        api, namespace = self._api, self._chosen.cluster.release_namespace
        keeps = self._chosen.keeps_keys
        yield traces.named(api, resources.CONFIG_MAPS, names.BUNDLE_CONFIG_MAP)
        yield traces.named(api, resources.NETWORK_POLICIES, names.NETWORK_POLICY)
        yield traces.requests(api)
        # With the same keys an old bundle would be believed again.
        if not keeps:
            yield traces.annotations(api)
        for name in traces.SECRETS:
            yield traces.of_release(api, resources.SECRETS, namespace, name)
        for name in traces.KEYS:
            yield traces.of_release(api, resources.SECRETS, namespace, name, keeps=keeps)
        yield traces.of_release(
            api, resources.CONFIG_MAPS, namespace, names.TRUST_CONFIG_MAP, keeps=keeps
        )
        yield traces.stamps(api, namespace, keeps=keeps)
        yield traces.anchors(api, namespace, keeps=keeps)

    async def sweep(self, *kinds: AsyncIterator[Trace]) -> None:
        """Remove what is found, kind after kind; what fails is told, and the rest goes on."""
        for found in kinds:
            try:
                await self._sweep_kind(found)
            except errors.ClusterError as error:
                self.fail({"why": error.message})

    def fail(self, what: Mapping[str, object]) -> None:
        """Something is left."""
        self.failed += 1
        self.tell({"did": "failed", **what})

    async def _sweep_kind(self, found: AsyncIterator[Trace]) -> None:
        some: list[Trace] = []
        async for trace in found:
            some.append(trace)
            if len(some) == _AT_ONCE:
                await asyncio.gather(*map(self._sweep_one, some))
                some.clear()
        await asyncio.gather(*map(self._sweep_one, some))

    async def _sweep_one(self, trace: Trace) -> None:
        what = {
            "kind": trace.resource.kind, "namespace": trace.namespace, "name": trace.name
        }  # fmt: skip
        if trace.kept:
            self.tell({"did": "kept", **what, "why": trace.kept})
            return
        if not self._chosen.is_real:
            self.tell({"did": "would remove", **what})
            return
        try:
            await trace.remove(self._api)
        except errors.ClusterError as error:
            self.fail({**what, "why": error.message})
            return
        did = "removed" if trace.patch is None else "emptied"
        self.tell({"did": did, **what})
