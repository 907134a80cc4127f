"""Which keys without a value `kubectl apply` took out of an object before it sent it.

Without `--server-side`, kubectl drops them, so that an unfinished `when:` would mean "always"; but
its annotation holds the manifest as it was written. Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh7_core.api import mistakes, places
from mesh7_core.delivery import spelled
from mesh7_operator.cluster import shapes
from mesh7_operator.injector.reviews import Cause, Review

ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"


def unfinished(review: Review) -> tuple[Cause, ...]:
    """The keys of the spec that were written without a value and that the object lacks.

    None when neither the spec nor the annotation changes: what was stored under older rules must
    not be stuck as it is. An annotation that is of another object, or is no JSON, says nothing.
    """
    before = review.before
    if before is not None and _looked_at(before) == _looked_at(review.value):
        return ()
    written = spelled.json_object(_annotation(review.value).encode()) or {}
    is_of_this = (
        written.get("kind") == review.kind
        and shapes.text(written, "metadata", "name") == review.name
    )
    if not is_of_this:
        return ()
    return tuple(
        Cause(path=places.spell(path), message=mistakes.NO_VALUE)
        for path in _dropped(written.get("spec"), review.spec, ("spec",))
    )


def _looked_at(value: Mapping[str, object]) -> tuple[object, str]:
    return value.get("spec"), _annotation(value)


def _annotation(value: Mapping[str, object]) -> str:
    return shapes.text(value, "metadata", "annotations", ANNOTATION)


def _dropped(written: object, stored: object, path: places.Path) -> Iterator[places.Path]:
    match written, stored:
        case dict(), dict():
            for key, value in written.items():
                found = stored.get(key)
                if value is None and found is None:
                    yield (*path, key)
                yield from _dropped(value, found, (*path, key))
        case list(), list():
            for number, (value, found) in enumerate(zip(written, stored, strict=False)):
                yield from _dropped(value, found, (*path, number))
        case _:
            pass
