"""A guarded namespace whose bundle is really signed, as objects that the fake kubectl tells of."""

import base64
from collections.abc import Sequence

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.delivery import envelopes, payloads
from mesh7_core.delivery.envelopes import Kind
from mesh7_core.delivery.keys import Link, SigningKey
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Object
from tests.core.compiling import clustered
from tests.core.delivery import parts

VERSION = 1763712000000
POLICY = clustered.a_policy("support", {
    "selector": {"matchLabels": {"app": "support"}},
    "rules": [
        {"name": "read", "tools": ["notes.read"], "action": "Allow"},
        {"name": "own", "tools": ["api.post"], "when": 'http.path == "/own"', "action": "Allow"},
        {"name": "write", "tools": ["notes.write"], "action": "RequireApproval",
         "approval": {"groups": ["finance"], "grantable": {"maxDuration": "1h", "maxUses": 20}}},
    ],
})  # fmt: skip
SOURCES = (
    clustered.a_source("notes", {"mcp": {"url": "http://notes.shop.svc/mcp"}}),
    clustered.a_source("api", {"http": {"url": "http://api.shop.svc"}}),
)


def config_map(
    *,
    grants: Sequence[Document] = (),
    signer: SigningKey = parts.FIRST,
    links: Sequence[Link] = (),
    namespace: str = "shop",
    version: int = VERSION,
) -> Object:
    """ConfigMap `mesh7-bundle` of a namespace."""
    bundle = payloads.write_bundle(
        payloads.BundleContent(namespace=namespace, labels={}, documents=(POLICY, *SOURCES))
        if namespace == "shop"
        else payloads.BundleContent(namespace=namespace, labels={}, documents=())
    )
    overlay = payloads.write_overlay(
        payloads.OverlayContent(namespace=namespace, documents=tuple(grants))
    )
    sealed = {
        kind: envelopes.seal(kind, namespace, version, payload, signer, links)
        for kind, payload in ((Kind.BUNDLE, bundle), (Kind.OVERLAY, overlay))
    }
    found = worlds.named("ConfigMap", names.BUNDLE_CONFIG_MAP, "shop")
    found["binaryData"] = {
        kind.value: base64.b64encode(one).decode() for kind, one in sealed.items()
    }
    return found


def place(*trusted: SigningKey, floor: int = 0) -> Object:
    """Namespace `shop`, with the keys that the controller wrote there, newest first."""
    found = worlds.namespace("shop", injection="enabled")
    found["metadata"]["annotations"] = {
        names.TRUST_KEYS_ANNOTATION: " ".join(
            base64.b64encode(one.public).decode() for one in trusted
        ),
        names.BUNDLE_FLOOR_ANNOTATION: str(floor),
    }
    return found


def pod(
    name: str = "web-1", *, made_with: SigningKey = parts.FIRST, app: str = "support"
) -> Object:
    """A guarded pod."""
    found = worlds.guarded(name, "shop")
    found["metadata"]["labels"]["app"] = app
    key = base64.b64encode(made_with.public).decode()
    found["spec"]["initContainers"][0]["env"] = [
        {"name": "MESH7_TRUST_KEY", "value": key},
        {"name": "MESH7_BUNDLE_FLOOR", "value": "1"},
        {"name": "MESH7_OVERLAY_FLOOR", "value": "1"},
    ]
    return found


def readiness(name: str, bundle: int = VERSION, overlay: int = VERSION) -> dict[str, Object]:
    """What the pod's sidecar says, by the path that asks it."""
    path = f"/api/v1/namespaces/shop/pods/{name}:7008/proxy/readyz"
    return {path: {"ready": True, "bundle": bundle, "overlay": overlay, "problems": []}}
