"""What was delivered to a pod: believed as its sidecar believes it, then compiled as it compiles.

Editors of a namespace may write ConfigMap `mesh7-bundle`, so that nothing of it counts but what is
signed by a key that the Namespace, or the pod's own making, vouches for.
Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_core import errors, names
from mesh7_core.compiling import delivered
from mesh7_core.delivery import keys, payloads, trust
from mesh7_core.delivery.envelopes import Kind, Opened, Refused
from mesh7_core.injection import existing
from mesh7_core.policy.bundle import Bundle, Grant

_KEYS: Final = {Kind.BUNDLE: names.BUNDLE_KEY, Kind.OVERLAY: names.OVERLAY_KEY}
_FLOORS: Final = {
    Kind.BUNDLE: names.BUNDLE_FLOOR_ANNOTATION,
    Kind.OVERLAY: names.OVERLAY_FLOOR_ANNOTATION,
}
_VARIABLES: Final = {Kind.BUNDLE: "MESH7_BUNDLE_FLOOR", Kind.OVERLAY: "MESH7_OVERLAY_FLOOR"}
_KEY_VARIABLE: Final = "MESH7_TRUST_KEY"
_MAY_SIGN: Final = 2
"""The first keys of the annotation: the next one and today's. Those after them are retired."""

Object = Mapping[str, object]
Versions = Mapping[Kind, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What calls are judged by.

    Attributes:
        grants: standing ones, vetoes and kills.
        versions: of bundle and overlay.
    """

    bundle: Bundle
    grants: tuple[Grant, ...]
    versions: Versions


def trust_of_namespace(place: Object) -> trust.Trust | None:
    """What the controller wrote on a Namespace; None = it says nothing, or nothing readable."""
    annotated = reading.text(place, "metadata", "annotations", names.TRUST_KEYS_ANNOTATION)
    found = _keys(annotated.split())
    if not found:
        return None
    written = {
        kind: reading.text(place, "metadata", "annotations", name) for kind, name in _FLOORS.items()
    }
    return trust.Trust(
        namespace=reading.text(place, "metadata", "name"),
        # Oldest first; newest first is how they are written.
        keys=found[::-1],
        newest=max(0, len(found) - _MAY_SIGN),
        floors=_floors(written),
    )


def trust_of_pod(pod: Object) -> trust.Trust | None:
    """What the pod's sidecar was made with; None = nothing readable."""
    variables = {
        reading.text(one, "name"): reading.text(one, "value")
        for one in reading.objects(existing.sidecar(pod), "env")
    }
    found = _keys([variables.get(_KEY_VARIABLE, "")])
    if not found:
        return None
    return trust.Trust(
        namespace=reading.text(pod, "metadata", "namespace"),
        keys=found,
        floors=_floors({kind: variables.get(name, "") for kind, name in _VARIABLES.items()}),
    )


def believed(config_map: Object, start: trust.Trust) -> Mapping[Kind, Opened]:
    """Bundle and overlay, each genuine.

    Raises:
        ClusterError: one is missing, or is not what the controller signed for this namespace.
    """
    found = {}
    for kind, key in _KEYS.items():
        sealed = _decoded(reading.text(config_map, "binaryData", key))
        if sealed is None:
            raise errors.ClusterError(
                f"ConfigMap `{names.BUNDLE_CONFIG_MAP}` has no {kind} – the controller writes it "
                "again soon; see its log"
            )
        # Each on its own: a sidecar takes an overlay that comes before the bundle, too.
        answer = trust.consider(sealed, kind, start)
        if isinstance(answer, Refused):
            raise errors.ClusterError(
                f"the {kind} in ConfigMap `{names.BUNDLE_CONFIG_MAP}` is not what the controller "
                f"signed for this namespace: {answer.message} – sidecars ignore it, and the "
                "controller mends it; who wrote it is in the API server's audit log"
            )
        found[kind] = answer.opened
    return found


def in_force(opened: Mapping[Kind, Opened]) -> InForce:
    """What a sidecar makes of them.

    Raises:
        BundleError: they come from another release than ours.
    """
    bundle = delivered.compile_bundle(payloads.read_bundle(opened[Kind.BUNDLE].payload))
    overlay = payloads.read_overlay(opened[Kind.OVERLAY].payload)
    return InForce(
        bundle=bundle,
        grants=delivered.compile_overlay(overlay, bundle),
        versions={kind: one.header.version for kind, one in opened.items()},
    )


def _keys(written: Iterable[str]) -> tuple[bytes, ...]:
    found = [_decoded(one) for one in written]
    return tuple(one for one in found if one is not None and len(one) == keys.KEY_BYTES)


def _floors(written: Mapping[Kind, str]) -> dict[Kind, int]:
    return {kind: int(text) for kind, text in written.items() if text.isascii() and text.isdigit()}


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None
