"""ConfigMaps `mesh7-audit-<namespace>` of the release namespace: read, signed, written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh7_core import errors, names
from mesh7_core.ledger.audit_entries import place_of
from mesh7_operator.anchoring import writing
from mesh7_operator.anchoring.anchor import Anchor, Finding, Trouble
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.controller.posting import Poster
from mesh7_operator.controller.seams import KeySource
from mesh7_operator.reconciling.plan import Event, EventType

_LISTED_S: Final = 60.0
_TOLD_S: Final = 3600.0
_GONE: Final = "its anchor was not there: what lies in Redis is not vouched for by any signature"
_FOREIGN: Final = (
    "its anchor was not signed by this installation: it was changed by somebody else, or signed "
    "with keys that were replaced; what was before is not vouched for"
)
_CHANGED: Final = "its anchor was changed or deleted by somebody else; it is written anew"


@dataclass(slots=True, kw_only=True)
class Kept:
    """One namespace's.

    Attributes:
        anchor: as it stands.
        signed: as it was written last; None = never, or not by us.
        key: that it was signed with.
        version: of the object; empty = there is none.
        uid: of the object.
        tried: what was sent and not answered.
        trouble: why what was there is not believed; empty = it is, or the namespace is new.
    """

    anchor: Anchor
    signed: Anchor | None = None
    key: bytes = b""
    version: str = ""
    uid: str = ""
    tried: Anchor | None = None
    trouble: str = ""

    @property
    def is_there(self) -> bool:
        """Whether there is an object of that name."""
        return bool(self.version)


class Anchors:
    """Reads and writes them.

    Args:
        may_write: whether we lead at this moment.
    """

    def __init__(
        self,
        api: ApiServer,
        release_namespace: str,
        keyrings: KeySource,
        poster: Poster,
        *,
        clock: Clock,
        may_write: Callable[[], bool],
    ) -> None:
        self._api = api
        self._release_namespace = release_namespace
        self._keyrings = keyrings
        self._poster = poster
        self._clock = clock
        self._may_write = may_write
        self._names: tuple[str, ...] = ()
        self._listed_s = float("-inf")
        self._told: dict[tuple[str, Trouble], float] = {}
        self._uids: dict[str, str] = {}

    async def names(self) -> tuple[str, ...]:
        """Namespaces that have an anchor, enrolled or not; as of the last minute.

        Raises:
            ApiError: not answered.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._listed_s > _LISTED_S:
            found = [
                shapes.texts(one, "metadata", "labels").get(names.AUDIT_OF_LABEL, "")
                async for one in self._api.list_metadata_remembered(
                    resources.CONFIG_MAPS, self._release_namespace
                )
                if shapes.text(one, "metadata", "name").startswith(names.AUDIT_CONFIG_MAP_PREFIX)
            ]
            self._names, self._listed_s = tuple(sorted(filter(None, found))), now_s
        return self._names

    async def read(self, namespace: str) -> Kept:
        """What is there, if it is believed; else one of nothing, and why.

        Raises:
            ApiError: not answered.
        """
        place = (resources.CONFIG_MAPS, self._release_namespace, writing.name_of(namespace))
        try:
            found = await self._api.get(*place)
        except api_server.NotFound:
            return Kept(anchor=Anchor(namespace=namespace), trouble=_GONE)
        held = self._keyrings.keys
        roots = writing.roots_of(held.signer.public, held.links)
        anchor = writing.read(shapes.mapping(found, "data"), namespace, roots)
        return Kept(
            anchor=anchor or Anchor(namespace=namespace),
            signed=anchor,
            key=shapes.content(found, "data", "key") or b"",
            version=shapes.text(found, "metadata", "resourceVersion"),
            uid=shapes.text(found, "metadata", "uid"),
            trouble="" if anchor is not None else _FOREIGN,
        )

    async def write(self, namespace: str, kept: Kept) -> str:
        """Sign and write it if it changed; why it is not done, where somebody else wrote it.

        Raises:
            ClusterError: not answered, or we no longer lead.
        """
        if kept.tried is not None and (trouble := await self._found(namespace, kept)):
            return trouble
        held = self._keyrings.keys
        if kept.signed == kept.anchor and kept.key == held.signer.public:
            return ""
        if not self._may_write():
            raise errors.ClusterError("no longer leading; its anchor is another's to write")
        kept.trouble = ""
        made = writing.manifest(
            kept.anchor,
            held.signer,
            held.links,
            release_namespace=self._release_namespace,
            version=kept.version,
        )
        kept.tried = kept.anchor
        try:
            written = await self._put(made, kept)
        except (api_server.Conflict, api_server.NotFound):
            kept.tried = None
            return await self._found(namespace, kept)
        kept.signed, kept.key, kept.tried = kept.anchor, held.signer.public, None
        kept.version = shapes.text(written, "metadata", "resourceVersion")
        kept.uid = self._uids[namespace] = shapes.text(written, "metadata", "uid")
        return ""

    async def _found(self, namespace: str, kept: Kept) -> str:
        """Go on from what is there; why not, where it is somebody else's."""
        found = await self.read(namespace)
        tried, kept.tried = kept.tried, None
        if tried is not None and found.version == kept.version:
            return ""
        kept.version, kept.uid = found.version, found.uid
        # What we sent may have been written, and only its answer lost.
        is_ours = found.signed is not None and found.signed == tried
        kept.signed, kept.key = found.signed if is_ours else None, found.key
        return "" if is_ours or _is_newer(found, kept) else _CHANGED

    async def remove(self, namespace: str) -> None:
        """There is nothing left that it would vouch for.

        Raises:
            ApiError: refused, or not answered.
        """
        place = (resources.CONFIG_MAPS, self._release_namespace, writing.name_of(namespace))
        await self._api.delete(*place)
        self._names = tuple(name for name in self._names if name != namespace)
        self._uids.pop(namespace, None)

    async def announce(self, namespace: str, finding: Finding) -> None:
        """Tell people, once an hour of each kind."""
        now_s = self._clock.monotonic_s()
        place = (namespace, finding.trouble)
        if now_s - self._told.get(place, float("-inf")) < _TOLD_S:
            return
        self._told[place] = now_s
        event = Event(
            kind="ConfigMap",
            name=writing.name_of(namespace),
            uid=self._uids.get(namespace, ""),
            type=EventType.NORMAL if finding.trouble is Trouble.WITHHELD else EventType.WARNING,
            reason=f"Audit{finding.trouble.value.capitalize()}",
            message=f"audit of namespace {namespace}: {finding.said}",
            api_version="v1",
        )
        await self._poster.post(self._release_namespace, event)

    async def _put(self, made: dict[str, object], kept: Kept) -> shapes.Object:
        if not kept.version:
            return await self._api.create(resources.CONFIG_MAPS, self._release_namespace, made)
        return await self._api.replace(
            resources.CONFIG_MAPS,
            self._release_namespace,
            writing.name_of(kept.anchor.namespace),
            made,
        )


def _is_newer(found: Kept, ours: Kept) -> bool:
    """Whether another leader wrote it meanwhile: signed, and not older than what we know."""
    return found.signed is not None and place_of(found.anchor.last) >= place_of(ours.anchor.last)
