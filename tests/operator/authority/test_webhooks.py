"""By whom webhooks are trusted: ours alone are looked at, and only what differs is changed."""

import base64
from datetime import timedelta
from typing import Any

from mesh7_operator.authority import certificates, webhooks
from tests.operator.authority.clusters import NOON

RELEASE = "mesh7-system"
ONE, OTHER = (certificates.new_authority(NOON, timedelta(days=1)).certificate for _ in range(2))


def written(*authorities: str) -> str:
    return base64.b64encode("".join(authorities).encode()).decode()


def hook(name: str = "mesh7-injector", bundle: str | None = None, **more: Any) -> dict[str, Any]:
    service = {"namespace": RELEASE, "name": name, "path": "/validate"}
    client: dict[str, Any] = {"service": service, **more}
    if bundle is not None:
        client["caBundle"] = bundle
    return {"name": "x.mesh7.dev", "clientConfig": client}


def configuration(*hooks: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7"}, "webhooks": list(hooks)}


OTHERS: tuple[dict[str, Any], ...] = (
    hook("other"),
    {"clientConfig": {"url": "https://x"}},
    {"name": "nothing"},
    {},
)


def test_what_each_of_ours_is_trusted_by_is_read() -> None:
    found = configuration(
        hook(bundle=written(ONE)), *OTHERS, hook(), hook(bundle="%"), hook(bundle=""),
        hook(bundle=written(OTHER, ONE)),
    )  # fmt: skip
    both = tuple(sorted((ONE, OTHER)))
    assert webhooks.published(found, RELEASE) == ((ONE,), None, None, (), both)
    assert webhooks.published(found, "elsewhere") == ()
    for nothing in ({}, {"webhooks": None}, {"webhooks": [None, 1]}):
        assert webhooks.published(nothing, RELEASE) == ()


def test_what_differs_is_changed_at_the_version_that_was_read() -> None:
    found = configuration(*OTHERS[:2], hook(bundle=written(ONE)), hook())
    assert webhooks.patch(found, RELEASE, (ONE,)) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/webhooks/3/clientConfig/caBundle", "value": written(ONE)},
    ]
    assert webhooks.patch(configuration(hook(bundle=written(ONE)), *OTHERS), RELEASE, (ONE,)) == []
