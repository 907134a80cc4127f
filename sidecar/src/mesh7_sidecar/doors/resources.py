"""Which source serves a URI, for the aggregate: resources keep their URIs, so they can collide.

A URI belongs to the first source, by name, that lists it and that the agent may read it from;
next to the first whose template it fits. So no source can take over another's by being faster
(M12), and one that the agent may not use hides none of the rest.
Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Iterable
from typing import Final

MAXIMUM_URIS: Final = 10_000
"""Of one source; what it lists beyond is listed to agents and cannot be read here."""

_EXPRESSION = re.compile(r"\{[^{}]*\}")


class Shelves:
    """What each source listed last."""

    def __init__(self) -> None:
        self._uris: dict[str, frozenset[str]] = {}
        self._templates: dict[str, tuple[tuple[str, ...], ...]] = {}

    def put_uris(self, source: str, uris: Iterable[str]) -> None:
        """`source` lists these canonical URIs and no others."""
        self._uris[source] = frozenset(list(uris)[:MAXIMUM_URIS])

    def put_templates(self, source: str, templates: Iterable[str]) -> None:
        """`source` lists these URI templates (RFC 6570) and no others."""
        self._templates[source] = tuple(
            tuple(_EXPRESSION.split(template)) for template in list(templates)[:MAXIMUM_URIS]
        )

    def candidates(self, uri: str) -> list[str]:
        """The sources that may serve a canonical URI, the first to be asked first."""
        listing = sorted(name for name, uris in self._uris.items() if uri in uris)
        fitting = sorted(
            name
            for name, templates in self._templates.items()
            if name not in listing and any(_fits(uri, template) for template in templates)
        )
        return listing + fitting


def _fits(uri: str, literals: tuple[str, ...]) -> bool:
    """Whether `uri` is the literals in order with anything between them; linear in its length."""
    first, *middle = literals
    if not middle:
        return uri == first
    last = middle.pop()
    if not uri.startswith(first) or not uri.endswith(last):
        return False
    place, end = len(first), len(uri) - len(last)
    for literal in middle:
        found = uri.find(literal, place, end)
        if found < 0:
            return False
        place = found + len(literal)
    return place <= end
