"""What kubectl wrote to stderr, as the error that it means.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Callable
from typing import Final

from mesh7_cli import neutral
from mesh7_cli.cluster.errors import (
    ForbiddenError,
    KubectlError,
    NoSuchKindError,
    NotThereError,
    UnknownPersonError,
    UnreachableError,
)
from mesh7_core import errors, names

OLDEST: Final = (1, 30)
"""Of kubectl and of the API server."""

_FORBIDDEN: Final = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"'
    r' in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_FORBIDDEN_PATH: Final = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) path "(?P<path>[^"]*)"'
)
_SEEING: Final = {"get", "list", "watch"}
_WRITING: Final = {"agentpolicies": "mesh7-policy-editor", "toolsources": "mesh7-policy-editor"}
_AUDITED: Final = "auditqueries"
_CREATING: Final = _WRITING | {"grants": "mesh7-approver"}
_LONGEST: Final = 600


def error_of(stderr: str, code: int) -> errors.ClusterError:
    """The error behind a kubectl that failed.

    Args:
        stderr: what it wrote; may be anything.
        code: its exit code.
    """
    text = stderr.strip()
    for pattern, made in _LADDER:
        if re.search(pattern, text, re.IGNORECASE):
            return made(text)
    said = _said(text) or f"it ended with code {code} and said nothing"
    return KubectlError(f"kubectl failed: {said}")


def _forbidden(text: str) -> errors.ClusterError:
    if (found := _FORBIDDEN_PATH.search(text)) is not None:
        who, verb, path = found["who"], found["verb"], found["path"]
        message = f"`{who}` may not {verb} `{path}` – ask an administrator of the cluster"
        return ForbiddenError(neutral.line(message), who=who, verb=verb, resource=path)
    found = _FORBIDDEN.search(text)
    if found is None:
        return ForbiddenError(f"the API server refuses: {_said(text)}")
    who, verb, namespace = found["who"], found["verb"], found["namespace"] or ""
    resource = ".".join(filter(None, (found["resource"], found["group"])))
    where = f" in namespace `{namespace}`" if namespace else " in the whole cluster"
    message = (
        f"`{who}` may not {verb} {resource}{where} – "
        f"{_what_to_bind(found['group'], found['resource'], verb, namespace)}"
    )
    return ForbiddenError(
        neutral.line(message), who=who, verb=verb, resource=resource, namespace=namespace
    )


def _what_to_bind(group: str, resource: str, verb: str, namespace: str) -> str:
    """Which ClusterRole gives the right; one that exists on every cluster, or is ours."""
    if group == names.GROUP:
        roles = _CREATING if verb == "create" else _WRITING
        role = "mesh7-viewer" if verb in _SEEING else roles.get(resource, "mesh7-admin")
        if resource == _AUDITED:
            role = "mesh7-auditor"
    elif namespace and verb in _SEEING and resource != "secrets":
        role = "view"
    else:
        return "ask an administrator of the cluster, or let them run it"
    binding = f"rolebinding in `{namespace}`" if namespace else "clusterrolebinding"
    return f"have an administrator bind ClusterRole `{role}` (kubectl create {binding})"


def _unreachable(text: str) -> errors.ClusterError:
    return UnreachableError(
        f"the API server does not answer: {_said(text)} – "
        "see that `kubectl version` works, with the same --context and --kubeconfig"
    )


def _unknown_person(_text: str) -> errors.ClusterError:
    return UnknownPersonError(
        "the API server does not know who you are – log in again, and try `kubectl auth whoami`"
    )


def _no_such_kind(text: str) -> errors.ClusterError:
    found = re.search(r'resource type "([^"]+)"|no matches for kind "([^"]+)"', text)
    kind = next(filter(None, found.groups()), "") if found is not None else ""
    return NoSuchKindError(
        f"the API server has no kind `{neutral.line(kind)}` – "
        "mesh7's own come with the chart mesh7-crds"
    )


def _no_such_path(_text: str) -> errors.ClusterError:
    return NoSuchKindError(
        "the API server does not know what is asked of it – mesh7's own kinds come with the chart "
        "mesh7-crds"
    )


def _not_there(text: str) -> errors.ClusterError:
    return NotThereError(f"{_said(text)} – see its name and its namespace (-n)")


def _too_old(text: str) -> errors.ClusterError:
    oldest = ".".join(map(str, OLDEST))
    return KubectlError(
        f"this kubectl does not know what is asked of it: {_said(text)} – "
        f"install kubectl {oldest} or newer"
    )


def _said(text: str) -> str:
    """Its own words, as one line of bounded length, without its own heading."""
    kept = [
        line.strip()
        for line in text.splitlines()
        # Debug lines of client-go (E1121 10:00:00.000 …), before the word that counts.
        if line.strip() and not re.match(r"[EWI]\d{4} ", line)
    ]
    said = re.sub(r"^(error: |Error from server(?: \(\w+\))?: )", "", "; ".join(kept[-3:]))
    said = neutral.line(said)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


_SILENT: Final = (
    r"unable to connect to the server|connection to the server .* was refused|dial tcp|"
    r"no such host|context deadline exceeded|Client\.Timeout|TLS handshake|request canceled|"
    r"timed out|x509:|\(ServiceUnavailable\)|\(Timeout\)"
)
# Ordered: the server's own words come first, for they may quote anything.
_LADDER: Final[tuple[tuple[str, Callable[[str], errors.ClusterError]], ...]] = (
    (r"\(Forbidden\)|is forbidden: ", _forbidden),
    (r"\(Unauthorized\)|You must be logged in to the server", _unknown_person),
    (r"unknown (shorthand )?flag|unknown command", _too_old),
    (r"doesn't have a resource type|no matches for kind", _no_such_kind),
    (r"could not find the requested resource", _no_such_path),
    (r"\(NotFound\)", _not_there),
    (_SILENT, _unreachable),
)
