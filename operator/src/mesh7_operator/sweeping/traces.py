"""What mesh7's programs leave behind: values that name it, and how each is found and removed.

What people or a chart made is none of it, but for the webhook configurations: as long as those are
there, nothing of ours can be stored without the injector.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core import names
from mesh7_operator.cluster import api_server, redis_master, resources, shapes, signing
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.resources import Resource

STAMP_KEY: Final = "mesh7-stamp-key"
KEYS: Final = (signing.SECRET, STAMP_KEY)
"""Without them no pod that runs now believes what is installed next, and no grant holds."""
SECRETS: Final = (
    "mesh7-authority",
    "mesh7-injector-certificate",
    "mesh7-exchange-certificate",
    "mesh7-redis-certificate",
    redis_master.SECRET,
    "mesh7-redis-operator",
)
_ANNOTATIONS: Final = (
    names.BUNDLE_FLOOR_ANNOTATION,
    names.OVERLAY_FLOOR_ANNOTATION,
    names.TRUST_KEYS_ANNOTATION,
    names.AUTHORITIES_ANNOTATION,
)
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One thing that is there.

    Attributes:
        namespace: empty = it is in none.
        patch: what takes ours out of an object that stays; None = the object goes.
        kept: why it stays; empty = it does not.
    """

    resource: Resource
    namespace: str
    name: str
    patch: Mapping[str, object] | None = None
    kept: str = ""

    async def remove(self, api: ApiServer) -> None:
        """See that it is gone.

        Raises:
            ApiError: refused, or not answered.
        """
        if self.patch is None:
            await api.delete(self.resource, self.namespace, self.name)
            return
        try:
            await api.merge(self.resource, self.namespace, self.name, self.patch)
        except api_server.NotFound:
            return


async def webhooks(api: ApiServer) -> AsyncIterator[Trace]:
    """What asks the injector; the first to go, so that nothing is refused for want of it.

    Raises:
        ApiError: not answered.
    """
    for resource in resources.WEBHOOKS:
        if await _get(api, resource, "", names.WEBHOOKS) is not None:
            yield Trace(resource=resource, namespace="", name=names.WEBHOOKS)


async def named(api: ApiServer, resource: Resource, name: str) -> AsyncIterator[Trace]:
    """The objects of one name in all namespaces.

    Raises:
        ApiError: not answered.
    """
    async for one in api.list_metadata(resource, fields=f"metadata.name={name}"):
        namespace = shapes.text(one, "metadata", "namespace")
        yield Trace(resource=resource, namespace=namespace, name=name)


async def requests(api: ApiServer) -> AsyncIterator[Trace]:
    """All held calls, and questions about the audit: nobody answers them any more.

    Raises:
        ApiError: not answered.
    """
    for resource in (resources.APPROVAL_REQUESTS, resources.AUDIT_QUERIES):
        with contextlib.suppress(api_server.NotFound):  # the kind itself is gone
            async for one in api.list_metadata(resource):
                yield Trace(
                    resource=resource,
                    namespace=shapes.text(one, "metadata", "namespace"),
                    name=shapes.text(one, "metadata", "name"),
                )


async def annotations(api: ApiServer) -> AsyncIterator[Trace]:
    """Those of Namespaces: new keys are others, and with them versions are counted anew.

    Raises:
        ApiError: not answered.
    """
    nothing = {"metadata": {"annotations": dict.fromkeys(_ANNOTATIONS)}}
    async for one in api.list_metadata(resources.NAMESPACES):
        if shapes.mapping(one, "metadata", "annotations").keys() & set(_ANNOTATIONS):
            name = shapes.text(one, "metadata", "name")
            yield Trace(resource=resources.NAMESPACES, namespace="", name=name, patch=nothing)


async def of_release(
    api: ApiServer, resource: Resource, namespace: str, name: str, *, keeps: bool = False
) -> AsyncIterator[Trace]:
    """One object of the release namespace, where it is of our making.

    Args:
        keeps: it is wanted.

    Raises:
        ApiError: not answered.
    """
    found = await _get(api, resource, namespace, name)
    if found is None:
        return
    is_ours = shapes.texts(found, "metadata", "labels").get(_MANAGED_BY) == names.FIELD_MANAGER
    why = "somebody else made it" if not is_ours else "you keep the keys" if keeps else ""
    yield Trace(resource=resource, namespace=namespace, name=name, kept=why)


async def anchors(api: ApiServer, namespace: str, *, keeps: bool) -> AsyncIterator[Trace]:
    """What was signed of namespaces' audits; kept with the keys that it verifies by.

    Raises:
        ApiError: not answered.
    """
    async for one in api.list_metadata_remembered(resources.CONFIG_MAPS, namespace):
        name = shapes.text(one, "metadata", "name")
        if name.startswith(names.AUDIT_CONFIG_MAP_PREFIX):
            kept = "you keep the keys" if keeps else ""
            yield Trace(resource=resources.CONFIG_MAPS, namespace=namespace, name=name, kept=kept)


async def stamps(api: ApiServer, namespace: str, *, keeps: bool) -> AsyncIterator[Trace]:
    """The contents of a ConfigMap that the chart made.

    Raises:
        ApiError: not answered.
    """
    found = await _get(api, resources.CONFIG_MAPS, namespace, signing.STAMPS)
    if found is not None and shapes.mapping(found, "data"):
        yield Trace(
            resource=resources.CONFIG_MAPS,
            namespace=namespace,
            name=signing.STAMPS,
            patch={"data": None},
            kept="you keep the keys" if keeps else "",
        )


async def _get(
    api: ApiServer, resource: Resource, namespace: str, name: str
) -> shapes.Object | None:
    try:
        return await api.get(resource, namespace, name)
    except api_server.NotFound:
        return None
