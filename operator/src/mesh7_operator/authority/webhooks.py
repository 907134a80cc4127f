"""By whom our webhooks are trusted: what stands in a webhook configuration, and its patch.

Pure: no clock, no network, no logging.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence

from mesh7_operator.authority import kept
from mesh7_operator.authority.kept import Program

Object = Mapping[str, object]


def published(configuration: Object, namespace: str) -> tuple[tuple[str, ...] | None, ...]:
    """Of each webhook that leads to our Service: by whom it is trusted; None = nothing readable."""
    return tuple(_trusted(client) for _, client in _ours(configuration, namespace))


def patch(
    configuration: Object, namespace: str, trusted: tuple[str, ...]
) -> list[dict[str, object]]:
    """The JSON patch after which they are trusted by these; empty = they are already.

    It is of this very version: whoever changed the configuration meanwhile is not overwritten.
    """
    written = base64.b64encode("".join(trusted).encode()).decode()
    changes: list[dict[str, object]] = [
        {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": written}
        for index, client in _ours(configuration, namespace)
        if client.get("caBundle") != written
    ]
    metadata = configuration.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, Mapping) else None
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    return [test, *changes] if changes else []


def _ours(configuration: Object, namespace: str) -> Iterator[tuple[int, Object]]:
    """Index and `clientConfig` of those that lead to our Service."""
    hooks = configuration.get("webhooks")
    for index, hook in enumerate(hooks if isinstance(hooks, Sequence) else ()):
        client = hook.get("clientConfig") if isinstance(hook, Mapping) else None
        service = client.get("service") if isinstance(client, Mapping) else None
        if not isinstance(client, Mapping) or not isinstance(service, Mapping):
            continue
        if (service.get("namespace"), service.get("name")) == (namespace, Program.INJECTOR):
            yield index, client


def _trusted(client: Object) -> tuple[str, ...] | None:
    written = client.get("caBundle")
    if not isinstance(written, str):
        return None
    try:
        return kept.read_certificates(base64.b64decode(written, validate=True))
    except (binascii.Error, ValueError):
        return None
