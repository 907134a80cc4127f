"""`kubectl get … -o json` of one kind, by name or all of them, without kubectl."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from e2e.cluster import speaking
from e2e.cluster.speaking import NotSpokenError


class NotThereError(Exception):
    """There is no such object; in the API server's words."""


@dataclass(frozen=True, slots=True)
class _Asked:
    kind: str
    name: str
    namespace: str | None
    selector: str


def read(kubeconfig: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """What kubectl prints, for the arguments after `get`.

    Raises:
        NotThereError: there is no such object.
        NotSpokenError: it is asked in a way, or answered in one, that kubectl knows and we do not.
    """
    asked = _asked(arguments)
    client = speaking.client(kubeconfig)
    path = client.kind(asked.kind).path(asked.namespace, asked.name)
    chosen = f"?{urlencode({'labelSelector': asked.selector})}" if asked.selector else ""
    answer = client.ask("GET", path + chosen)
    if answer.status == HTTPStatus.NOT_FOUND and answer.content.get("details", {}).get("name"):
        raise NotThereError(answer.content["message"])
    if answer.status != HTTPStatus.OK:
        raise NotSpokenError
    return _shown(answer.content) if asked.name else _listed(answer.content)


def _asked(arguments: Sequence[str]) -> _Asked:
    words, namespace, selector = list[str](), "default", ""
    rest = iter(arguments)
    everywhere = False
    for word in rest:
        if word in {"-n", "--namespace"}:
            namespace = next(rest, "")
        elif word.startswith("--namespace="):
            namespace = word.partition("=")[2]
        elif word == "-l":
            selector = next(rest, "")
        elif word in {"-A", "--all-namespaces"}:
            everywhere = True
        elif word.startswith("-"):
            raise NotSpokenError
        else:
            words += word.split("/")
    if len(words) not in {1, 2} or "," in words[0] or (selector and len(words) > 1):
        raise NotSpokenError
    name = words[1] if len(words) > 1 else ""
    return _Asked(words[0], name, None if everywhere else namespace, selector)


def _listed(found: dict[str, Any]) -> dict[str, Any]:
    about = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    items = [_shown(about | one) for one in found["items"]]
    return {"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}}


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Without who wrote which field, which kubectl does not show either."""
    found["metadata"].pop("managedFields", None)
    return found
