"""ConfigMap `mesh7-bundle`: how it is written, and how one that is found there is read.

Editors of a namespace may write it, so that nothing of it is believed but what is signed.
Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.delivery import envelopes
from mesh7_core.delivery.envelopes import Kind
from mesh7_operator.reconciling.world import Delivered

KEYS: Final = {Kind.BUNDLE: names.BUNDLE_KEY, Kind.OVERLAY: names.OVERLAY_KEY}
LABELS: Final = {"app.kubernetes.io/managed-by": names.FIELD_MANAGER}

_ANNOTATIONS: Final = {
    Kind.BUNDLE: names.BUNDLE_VERSION_ANNOTATION,
    Kind.OVERLAY: names.OVERLAY_VERSION_ANNOTATION,
}


def manifest(namespace: str, contents: Mapping[Kind, tuple[int, bytes]]) -> dict[str, object]:
    """The whole object for an apply.

    Args:
        namespace: where it lies.
        contents: of each kind its version and envelope.
    """
    versions = {kind: version for kind, (version, _) in contents.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.BUNDLE_CONFIG_MAP,
            "namespace": namespace,
            "labels": dict(LABELS),
            "annotations": _annotations(versions),
        },
        "binaryData": {
            KEYS[kind]: base64.b64encode(envelope).decode()
            for kind, (_, envelope) in contents.items()
        },
    }


def delivered_of(found: Mapping[str, object]) -> Delivered:
    """What a ConfigMap of that name holds. Total: anybody may have written it.

    Args:
        found: the object as the API server has it.
    """
    binary, text = _mapping(found.get("binaryData")), _mapping(found.get("data"))
    contents = {kind: _content(binary.get(key)) for kind, key in KEYS.items()}
    metadata = _mapping(found.get("metadata"))
    return Delivered(
        bundle=contents[Kind.BUNDLE],
        overlay=contents[Kind.OVERLAY],
        is_as_ours=_holds(metadata.get("labels"), LABELS)
        and _holds(metadata.get("annotations"), _annotations(_versions(contents))),
        is_stuck=found.get("immutable") is True or bool(text) or bool(set(binary) - _OURS),
    )


_OURS: Final = frozenset(KEYS.values())


def _annotations(versions: Mapping[Kind, int]) -> dict[str, str]:
    return {_ANNOTATIONS[kind]: str(version) for kind, version in versions.items()}


def _versions(contents: Mapping[Kind, bytes | None]) -> dict[Kind, int]:
    """What the contents claim; the plan judges the contents themselves."""
    headers = {
        kind: envelopes.read_header(one) for kind, one in contents.items() if one is not None
    }
    return {
        kind: header.version
        for kind, header in headers.items()
        if isinstance(header, envelopes.Header)
    }


def _holds(found: object, wanted: Mapping[str, str]) -> bool:
    """Whether all that is wanted is there; what others added beside it disturbs nobody."""
    there = _mapping(found)
    return all(there.get(key) == value for key, value in wanted.items())


def _content(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
