"""Content → envelopes: what is kept, what is sealed anew, what stands in for what is too large.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import value_at
from mesh7_core.delivery import envelopes, keys, payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.errors import BundleError
from mesh7_operator.reconciling import bounds, plain_credentials, roster, versions
from mesh7_operator.reconciling.compilation import Compilation
from mesh7_operator.reconciling.sidecars import Sidecars
from mesh7_operator.reconciling.world import Delivered, World

MAXIMUM_OVERLAY_BYTES: Final = 300 * 1024
"""So that a ConfigMap (1 MiB) holds it beside the largest bundle."""

_REASON: Final = (
    "the policies and sources of this namespace are too large together, see their statuses"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """One envelope to be in force.

    Attributes:
        floor: what the Namespace's annotation says now; 0 = nothing that can be read.
        is_forged: the store claims a version that nobody can have made.
    """

    kind: Kind
    version: int
    envelope: bytes = field(repr=False)
    floor: int
    is_forged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The bundle to be in force.

    Attributes:
        documents: what it says.
        is_too_large: an older one, or one that denies everything, stands in for what is written.
        changes_at: when the clock alone changes its roster; None = never.
    """

    sealed: Sealed
    documents: tuple[Document, ...] = field(repr=False)
    is_too_large: bool = False
    changes_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The overlay to be in force; `left_out` names grants for which it has no room."""

    sealed: Sealed
    left_out: frozenset[str]


def bundle_of(world: World, compilation: Compilation, sidecars: Sidecars) -> Bundle:
    """The bundle for a compilation, or what stands in for it."""
    desk = _desk(world, Kind.BUNDLE)
    if compilation.is_too_large:
        content = _stand_in(desk, compilation)
        sealed = desk.seal(payloads.write_bundle(content))
        return Bundle(sealed=sealed, documents=content.documents, is_too_large=True)
    if not compilation.has_local_limits:
        return Bundle(
            sealed=desk.seal(compilation.payload), documents=compilation.content.documents
        )
    before, version = _roster(desk.newest)
    numbers = roster.next_roster(before, version, sidecars, world.now)
    content = replace(compilation.content, roster=numbers)
    sealed = desk.seal(payloads.write_bundle(content))
    falls_at = roster.falls_at(sealed.version) if roster.is_falling(numbers, sidecars) else None
    return Bundle(sealed=sealed, documents=content.documents, changes_at=falls_at)


def overlay_of(world: World, grants: Mapping[str, Document], *, is_beyond: bool = False) -> Overlay:
    """The overlay of grants and vetoes in force; where there is little room, vetoes come first.

    Args:
        world: whose namespace.
        grants: by `Written.file`.
        is_beyond: there are more than can be looked at, so that everything is stopped.
    """
    desk = _desk(world, Kind.OVERLAY)
    vetoes = {file: one for file, one in grants.items() if is_veto(one)}
    for kept in () if is_beyond else (grants, vetoes):
        if len(kept) > bounds.MAXIMUM_GRANTS:
            continue
        sealed, is_fitting = _sealed_grants(desk, kept)
        if is_fitting:
            return Overlay(sealed=sealed, left_out=frozenset(grants) - frozenset(kept))
    everything = _veto_of_everything(world.namespace)
    sealed, _ = _sealed_grants(desk, {everything.file: everything})
    return Overlay(sealed=sealed, left_out=frozenset(grants) - frozenset(vetoes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An envelope of ours that is in force."""

    version: int
    envelope: bytes = field(repr=False)
    payload: bytes = field(repr=False)


def held(world: World, kind: Kind) -> Held | None:
    """What is in force and signed with the current key; None = nothing that we can show."""
    desk = _desk(world, kind)
    newest = desk.newest
    if newest is None or newest.header.version < desk.known.least:
        return None
    return Held(version=newest.header.version, envelope=desk.envelope, payload=newest.payload)


def doubted(world: World) -> tuple[Kind, ...]:
    """Of which kinds the store claims a version that its envelope has to vouch for."""
    return tuple(kind for kind in Kind if _desk(world, kind).known.is_forged)


def is_veto(grant: Document) -> bool:
    """Whether it stops calls; what is not clearly a permission does."""
    return value_at(grant.value, ("spec", "effect")) != "Allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """Where one kind of envelope is sealed.

    Attributes:
        held: what the ConfigMap holds under some key of ours, or we wrote there last; None =
            nothing.
    """

    world: World
    kind: Kind
    held: envelopes.Opened | None
    envelope: bytes
    known: versions.Known

    @property
    def newest(self) -> envelopes.Opened | None:
        """What is held, if the current key signed it and nothing newer was ever in force.

        What an older key signed is not signed again: that key may be in somebody else's hands.
        """
        held = self.held
        is_newest = (
            held is not None
            and held.header.key == self.world.keys.signer.public
            and held.header.version >= self.known.floor
        )
        return held if is_newest else None

    def seal(self, payload: bytes) -> Sealed:
        """The envelope for a payload: the one that is held where it says just that."""
        is_kept = self._is_kept(payload)
        version, envelope = self._version(), self.envelope
        if is_kept and self.held is not None:
            version = self.held.header.version
        else:
            envelope = envelopes.seal(
                self.kind, self.world.namespace, version, payload, self.world.keys.signer,
                self.world.keys.links,
            )  # fmt: skip
        return Sealed(
            kind=self.kind,
            version=version,
            envelope=envelope,
            floor=self.known.floor,
            is_forged=self.known.is_forged,
        )

    def _is_kept(self, payload: bytes) -> bool:
        held = self.newest
        return (
            held is not None
            and held.header.version >= self.known.least
            and held.header.links == _travelling(self.world.keys.links)
            and held.header.content == envelopes.digest_of(payload)
        )

    def _version(self) -> int:
        held = self.held.header.version if self.held is not None else 0
        return versions.following(max(held, self.known.least), self.world.now)


def _desk(world: World, kind: Kind) -> _Desk:
    found = [_opened(world, kind, _of_kind(one, kind)) for one in (world.delivered, world.sealed)]
    held, envelope = max(found, key=_version_of)
    stored = vouched = 0
    if world.published is not None:
        is_bundle = kind is Kind.BUNDLE
        stored = world.published.bundle if is_bundle else world.published.overlay
        vouched = _version_of(_opened(world, kind, world.published.doubted.get(kind)))
    return _Desk(
        world=world,
        kind=kind,
        held=held,
        envelope=envelope,
        known=versions.known(
            kind, world.annotations, _version_of((held, envelope)), stored, world.now,
            vouched=vouched,
        ),
    )  # fmt: skip


_Found = tuple[envelopes.Opened | None, bytes]


def _opened(world: World, kind: Kind, envelope: bytes | None) -> _Found:
    """An envelope that some key of ours has signed."""
    if envelope is None:
        return None, b""
    opened = envelopes.unseal(envelope, kind, world.namespace, _ours(world))
    if not isinstance(opened, envelopes.Opened) or opened.header.version >= versions.BEYOND:
        return None, b""
    return opened, envelope


def _version_of(found: _Found) -> int:
    opened, _ = found
    return 0 if opened is None else opened.header.version


def _of_kind(found: Delivered | None, kind: Kind) -> bytes | None:
    if found is None:
        return None
    return found.bundle if kind is Kind.BUNDLE else found.overlay


def _ours(world: World) -> frozenset[bytes]:
    """Keys whose versions count; for what they say only the current one's signature does."""
    return frozenset(
        (world.keys.signer.public, *(key for one in world.keys.links for key in (one.by, one.key)))
    )


def _travelling(links: tuple[keys.Link, ...]) -> tuple[keys.Link, ...]:
    return tuple(links[-envelopes.MAXIMUM_LINKS :])


def _roster(opened: envelopes.Opened | None) -> tuple[payloads.Roster, int]:
    """The roster of the bundle in force, with that one's version."""
    content = _content(opened)
    if opened is None or content is None:
        return payloads.Roster(), 0
    return content.roster, opened.header.version


def _content(opened: envelopes.Opened | None) -> payloads.BundleContent | None:
    try:
        return None if opened is None else payloads.read_bundle(opened.payload)
    except BundleError:
        # Another release wrote it.
        return None


def _stand_in(desk: _Desk, compilation: Compilation) -> payloads.BundleContent:
    """For what is too large: the namespace's objects as they last were, under today's baseline.

    Otherwise a namespace could keep the baseline of yesterday by growing.
    """
    before = _content(desk.newest)
    if before is not None:
        own = (one for one in before.documents if not one.is_baseline)
        if compilation.key.is_guarded:
            own = (one for one in own if not plain_credentials.is_one(one))
        baseline = (one for one in compilation.content.documents if one.is_baseline)
        content = replace(compilation.content, documents=(*own, *baseline), roster=before.roster)
        payload = payloads.write_bundle(content)
        if envelopes.fits(desk.seal(payload).envelope, payload):
            return content
    return replace(compilation.content, documents=(_closed(desk.world.namespace),))


def _sealed_grants(desk: _Desk, grants: Mapping[str, Document]) -> tuple[Sealed, bool]:
    payload = payloads.write_overlay(
        payloads.OverlayContent(namespace=desk.world.namespace, documents=tuple(grants.values()))
    )
    sealed = desk.seal(payload)
    is_fitting = len(sealed.envelope) <= MAXIMUM_OVERLAY_BYTES and envelopes.fits(
        sealed.envelope, payload
    )
    return sealed, is_fitting


def _closed(namespace: str) -> Document:
    """A policy that denies everything to everybody."""
    families = ("tools", "resources", "prompts")
    rules = [
        {"name": family, family: ["*"], "action": "Deny", "reason": _REASON} for family in families
    ]
    return _document(
        names.AGENT_POLICY, namespace, "bundle-too-large", {"selector": {}, "rules": rules}
    )


def _veto_of_everything(namespace: str) -> Document:
    reason = "the vetoes of this namespace are too many to be delivered, remove some"
    spec = {"effect": "Deny", "subject": {}, "reason": reason}
    return _document(names.GRANT, namespace, "overlay-too-large", spec)


def _document(kind: str, namespace: str, name: str, spec: Mapping[str, object]) -> Document:
    return payloads.document_of(
        {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )
