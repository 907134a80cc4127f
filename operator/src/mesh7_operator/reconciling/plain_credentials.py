"""Sources that would send a credential over plain http: left out where the level says so.

Whoever sits on the way would read it, and credentials are to be the sidecar's alone there.
Pure: no clock, no network, no logging.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path, value_at
from mesh7_core.compiling.diagnostics import Code, Diagnostic, Severity, of_problem
from mesh7_core.compiling.urls import BadUrl, parse_url

_URLS: Final[tuple[Path, ...]] = (("spec", "mcp", "url"), ("spec", "http", "url"))


def refused(documents: Iterable[Document]) -> Mapping[str, Diagnostic]:
    """What is said of each such source, by `Document.file`."""
    found = {}
    for one in documents:
        path = _plain_url(one)
        if path is not None:
            problem = one.problem(
                path,
                "its credential would travel unencrypted, and this namespace is Guarded or "
                "Enforced: use `https://`, or remove `auth`",
            )
            found[one.file] = of_problem(problem, Severity.ERROR, Code.PLAIN_CREDENTIAL)
    return found


def is_one(document: Document) -> bool:
    """Whether it sends a credential over plain http."""
    return _plain_url(document) is not None


def _plain_url(document: Document) -> Path | None:
    """Where the URL stands that a credential would be sent to in plain; None = nowhere."""
    if document.kind != names.TOOL_SOURCE or value_at(document.value, ("spec", "auth")) is None:
        return None
    for path in _URLS:
        url = value_at(document.value, path)
        # What is no URL is refused by the compiler, in its own words.
        with contextlib.suppress(BadUrl):
            if isinstance(url, str) and parse_url(url).is_plain:
                return path
    return None
