"""The audit of all enrolled namespaces: each is asked for itself, and the answers are merged."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from mesh7_cli import reading
from mesh7_cli.backend import Voice
from mesh7_cli.cluster.errors import ForbiddenError
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.querying.asking import Asking, together
from mesh7_cli.querying.cluster import Cluster
from mesh7_cli.records import Page, Seal, Wish
from mesh7_core import names
from mesh7_core.audit import recorded

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def namespaces(kubectl: Kubectl) -> list[str]:
    """Those that are enrolled.

    Raises:
        ClusterError: this person may not see which those are, or nobody answers.
    """
    found = kubectl.listed("get", "namespaces", f"--selector={names.INJECTION_LABEL}")
    named = [reading.text(one, "metadata", "name") for one in reading.objects(found, "items")]
    return sorted(filter(None, named))


class Everywhere:
    """As much of `records.Records` as can be said of several namespaces: there is no cursor."""

    def __init__(self, asking: Asking, places: Sequence[str]) -> None:
        self._asking = asking
        self._places = places

    @property
    def voice(self) -> Voice:
        """Of `kubectl mesh7`."""
        return Voice(program="kubectl mesh7", complaint="error: ", where=" -A")

    def seal(self, identifier: str) -> Seal:  # noqa: ARG002 - the blocks are the controller's
        """Whoever has it verified by the controller learns more."""
        return Seal.NOT_CHECKED

    def query(self, wish: Wish) -> Page:
        """The newest records of all."""
        pages, refusals = self._pages(wish)
        merged = sorted(
            ((_at_us(line), line) for page in pages for line in page.lines),
            key=lambda one: -one[0],
        )
        shown = [line for _, line in merged[: wish.limit]]
        notes = [note for page in pages for note in page.notes if len(self._places) == 1]
        if shown and (len(merged) > len(shown) or any(page.cursor for page in pages)):
            last = (_EPOCH + timedelta(microseconds=_at_us(shown[-1]))).isoformat()
            until = last.replace("+00:00", "Z")
            notes.append(f"older ones: the same again with --until {until}")
        return Page(lines=tuple(shown), notes=(*notes, *refusals))

    def _pages(self, wish: Wish) -> tuple[list[Page], list[str]]:
        """Of those where this person may ask.

        Raises:
            ForbiddenError: they may nowhere.
            ClusterError: one of them does not answer.
        """
        pages, refused = list[Page](), list[ForbiddenError]()
        for answer in together(self._asking, self._places, lambda one, at: _page(one, at, wish)):
            if isinstance(answer, ForbiddenError):
                refused.append(answer)
            else:
                pages.append(answer)
        if refused and not pages:
            raise refused[0]
        return pages, [one.message for one in refused]


def _page(asking: Asking, namespace: str, wish: Wish) -> Page | ForbiddenError:
    try:
        return Cluster(asking, namespace).query(wish)
    except ForbiddenError as error:
        return error


def _at_us(line: str) -> int:
    found = recorded.read(line.encode())
    return (found.at_us if found is not None else None) or 0
