"""The held calls of all namespaces, each by `<namespace>/<name>`, for who watches all of them."""

from collections.abc import Callable

from mesh7_cli.approving.cluster import Cluster
from mesh7_cli.backend import ANY, Object, Pin, Voice


class Everywhere:
    """As much of `backend.Backend` as whoever watches needs.

    Args:
        of: the held calls of one namespace; of all of them for None.
    """

    def __init__(self, of: Callable[[str | None], Cluster]) -> None:
        self._of = of

    @property
    def voice(self) -> Voice:
        """Of `kubectl mesh7`."""
        return self._of(None).voice

    def request(self, identifier: str) -> Object:
        """One request."""
        where, name = _parts(identifier)
        return _named(self._of(where).request(name))

    def decide(
        self, verb: str, identifier: str, reason: str, *, unseen: bool = False, pin: Pin = ANY
    ) -> Object:
        """Say `approve` or `deny` to one request; the request after it."""
        where, name = _parts(identifier)
        return _named(self._of(where).decide(verb, name, reason, unseen=unseen, pin=pin))


def _parts(identifier: str) -> tuple[str, str]:
    where, _, name = identifier.partition("/")
    return where, name


def _named(request: Object) -> Object:
    return request | {"id": f"{request['namespace']}/{request['id']}"}
