"""What the injector asks the API server of a grant: its policy, who may approve, who is guarded.

Each within two seconds, for the API server waits for our own answer; what is not known by then is
refused.
"""

from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

from mesh7_core import awake, errors, names
from mesh7_core.injection import enrolment
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.injector.judging import PolicyRef
from mesh7_operator.injector.reviews import Maker

PATIENCE_S: Final = 2.0
_Answer = TypeVar("_Answer")


class Api(Protocol):
    """As much of `cluster.api_server.ApiServer` as is needed here."""

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> shapes.Object:
        """One object; raises `NotFound` or another ClusterError."""

    async def create(
        self, resource: resources.Resource, namespace: str, manifest: shapes.Object
    ) -> shapes.Object:
        """Make one; a review is answered with its status. Raises ClusterError."""


class Asking:
    """Asks, and remembers nothing: a policy that was just made must count.

    Args:
        release_namespace: never guarded.
    """

    def __init__(self, api: Api, release_namespace: str, patience_s: float = PATIENCE_S) -> None:
        self._api = api
        self._release_namespace = release_namespace
        self._patience_s = patience_s

    async def policy(self, ref: PolicyRef) -> shapes.Object | None:
        """The AgentPolicy; None = there is none.

        Raises:
            ClusterError: not answered in time.
        """
        asked = self._api.get(resources.AGENT_POLICIES, ref.namespace, ref.name)
        try:
            return await self._in_time(asked, f"AgentPolicy `{ref.namespace}/{ref.name}`")
        except api_server.NotFound:
            return None

    async def may_approve(self, maker: Maker, ref: PolicyRef) -> bool:
        """Whether the cluster's authorizers give somebody the verb `approve` on an AgentPolicy.

        Of a policy in its own namespace, so one of the same name elsewhere gives nothing here.

        Raises:
            ClusterError: not answered in time.
        """
        review = resources.SUBJECT_ACCESS_REVIEWS
        asked = self._api.create(review, "", {
            "apiVersion": review.api_version,
            "kind": review.kind,
            "spec": {
                "user": maker.username,
                "uid": maker.uid,
                "groups": list(maker.groups),
                "extra": {key: list(found) for key, found in maker.extra.items()},
                "resourceAttributes": {
                    "group": names.GROUP,
                    "resource": resources.AGENT_POLICIES.plural,
                    "namespace": ref.namespace,
                    "name": ref.name,
                    "verb": names.VERB_APPROVE,
                },
            },
        })  # fmt: skip
        what = f"who may approve AgentPolicy `{ref.namespace}/{ref.name}`"
        return shapes.mapping(await self._in_time(asked, what), "status").get("allowed") is True

    async def is_guarded(self, namespace: str) -> bool:
        """Whether agents may run there.

        Raises:
            ClusterError: not answered in time.
        """
        if namespace == self._release_namespace:
            return False
        asked = self._api.get(resources.NAMESPACES, "", namespace)
        try:
            found = await self._in_time(asked, f"Namespace `{namespace}`")
        except api_server.NotFound:
            # Its accounts may outlive it for a moment.
            return True
        labels = shapes.texts(found, "metadata", "labels")
        return enrolment.is_enrolled(namespace, labels, self._release_namespace)

    async def _in_time(self, asked: Awaitable[_Answer], what: str) -> _Answer:
        try:
            async with awake.timeout(self._patience_s):
                return await asked
        except TimeoutError as error:
            raise errors.ClusterError(
                f"{what}: the API server did not answer in {self._patience_s:g} s"
            ) from error
