"""A plan becomes requests, in its order; one that fails does not keep the later ones from the rest.

Revocations travel to the store even when the ConfigMap cannot be written, and the other way round.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from mesh7_core import errors, names
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.cluster import resources
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller import statuses
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import Store
from mesh7_operator.reconciling.plan import (
    ApplyConfigMap,
    ApplyNetworkPolicy,
    DeleteConfigMap,
    DeleteNetworkPolicy,
    Plan,
    Publish,
    StatusChange,
)

_LOG: Final = logging.getLogger(__name__)
Step = Callable[[], Awaitable[None]]


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Carries plans out.

    Attributes:
        may_write: whether we lead at this moment; asked before each request.
    """

    api: ApiServer
    store: Store
    board: Board
    poster: Poster
    may_write: Callable[[], bool]

    async def apply(
        self,
        plan: Plan,
        is_over: Callable[[], bool] = _never,
        delivered: Callable[[], None] = _nothing,
    ) -> tuple[str, ...]:
        """Do what it says.

        Args:
            plan: of one namespace.
            is_over: asked before each status and Event; a yes leaves the others to the next plan,
                which finds by itself what is missing.
            delivered: called once all is done but statuses and Events.

        Returns:
            What could not be done, one line each; empty = all of it was.

        Raises:
            ClusterError: we no longer lead.
        """
        troubles: list[str] = []
        for step in self._steps(plan):
            await self._try(step, troubles)
        if not troubles:
            delivered()
        if (plan.publish or plan.config_map) and not troubles:
            _LOG.info(
                "delivered",
                extra={
                    "namespace": plan.namespace,
                    "bundle_version": plan.bundle_version,
                    "overlay_version": plan.overlay_version,
                    "bundle_bytes": plan.bundle_bytes,
                },
            )
        for steps in self._told(plan):
            if is_over():
                break
            for step in steps:
                await self._try(step, troubles)
        return tuple(troubles)

    async def _try(self, step: Step, troubles: list[str]) -> None:
        if not self.may_write():
            raise errors.ClusterError("no longer leading; the rest of the plan is not ours")
        try:
            await step()
        except errors.ClusterError as error:
            troubles.append(error.message)

    def _steps(self, plan: Plan) -> Iterator[Step]:
        for publish in plan.publish:
            if publish.kind is Kind.OVERLAY:
                yield partial(self._publish, plan.namespace, publish)
        if plan.network_policy is not None:
            yield partial(self._wall, plan.namespace, plan.network_policy)
        for publish in plan.publish:
            if publish.kind is not Kind.OVERLAY:
                yield partial(self._publish, plan.namespace, publish)
        if plan.forget:
            yield lambda: self._forget(plan.namespace)
        if plan.config_map is not None:
            change = plan.config_map
            yield lambda: self._deliver(plan.namespace, change)
        if plan.annotations:
            yield lambda: self._annotate(plan)

    def _told(self, plan: Plan) -> Iterator[list[Step]]:
        """Each status with its Events: once it is written, nobody would tell of it again."""
        told: dict[str, list[Step]] = {}
        for event in plan.events:
            told.setdefault(event.uid, []).append(partial(self.poster.post, plan.namespace, event))
        for status in plan.statuses:
            yield [
                partial(self._set_status, plan.namespace, status), *told.pop(status.uid, ())
            ]  # fmt: skip
        yield from told.values()

    async def _publish(self, namespace: str, publish: Publish) -> None:
        if not await self.store.publish(namespace, publish):
            raise errors.ClusterError(f"redis did not take the {publish.kind} of `{namespace}`")

    async def _forget(self, namespace: str) -> None:
        if not await self.store.forget(namespace):
            raise errors.ClusterError(f"redis did not forget `{namespace}`")

    async def _deliver(self, namespace: str, change: ApplyConfigMap | DeleteConfigMap) -> None:
        if isinstance(change, DeleteConfigMap) or change.replace:
            await self.api.delete(resources.CONFIG_MAPS, namespace, names.BUNDLE_CONFIG_MAP)
            self.board.deleted_config_map(namespace)
        if isinstance(change, ApplyConfigMap):
            written = await self.api.apply(
                resources.CONFIG_MAPS, namespace, names.BUNDLE_CONFIG_MAP, change.manifest
            )
            self.board.wrote_config_map(namespace, seen.config_map_of(written))

    async def _wall(self, namespace: str, change: ApplyNetworkPolicy | DeleteNetworkPolicy) -> None:
        place = (resources.NETWORK_POLICIES, namespace, names.NETWORK_POLICY)
        if isinstance(change, DeleteNetworkPolicy):
            await self.api.delete(*place)
            self.board.deleted_network_policy(namespace)
        else:
            written = await self.api.apply(*place, change.manifest)
            self.board.wrote_network_policy(namespace, seen.network_policy_of(written))

    async def _annotate(self, plan: Plan) -> None:
        patch = {"metadata": {"annotations": dict(plan.annotations)}}
        await self.api.merge(resources.NAMESPACES, "", plan.namespace, patch)

    async def _set_status(self, namespace: str, change: StatusChange) -> None:
        await statuses.write(self.api, self.board, namespace, change)
