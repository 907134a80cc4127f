"""`kubectl create -f -` and `kubectl apply -f -` of what is new or ours, without kubectl.

What was made before kubectl had to be asked after all is only applied once more by it: applying
again does no harm. What is to be created once is never sent again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.cluster import speaking
from e2e.cluster.speaking import Answer, Client, LostAnswerError, NotSpokenError
from mesh7_core import names

_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_DRY: Final = "--dry-run=server"


class _Loader(yaml.SafeLoader):
    """JSON knows no times, so for kubectl they are texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as it is above
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class RefusedError(Exception):
    """The API server does not take it; as kubectl says so."""


@dataclass(frozen=True, slots=True)
class _Asked:
    is_applied: bool
    is_dry: bool
    namespace: str


def make(kubeconfig: Path, arguments: Sequence[str], text: str) -> str:
    """Make what is written there, and answer what kubectl prints.

    Raises:
        RefusedError: not all of it was made.
        NotSpokenError: kubectl has to do it: something is there already, or only kubectl knows how.
        LostAnswerError: something may have been created, or not.
    """
    asked = _asked(arguments)
    documents = _documents(text)
    if not documents or (len(documents) > 1 and not asked.is_applied):
        raise NotSpokenError
    client = speaking.client(kubeconfig)
    told, refused = list[str](), list[str]()
    for document in documents:
        try:
            told.append(_make(client, asked, document))
        except RefusedError as error:
            refused.append(str(error))
        except LostAnswerError as error:
            if not (asked.is_applied or asked.is_dry):
                raise
            raise NotSpokenError from error
    if refused:
        raise RefusedError("".join(refused))
    return "".join(told)


def _make(client: Client, asked: _Asked, document: dict[str, Any]) -> str:
    path = _path(client, asked, document)
    if asked.is_applied:
        # Admission would judge a creation, even of what is there.
        there = client.ask("GET", f"{path}/{_name(document)}")
        _note(document, asked.namespace if "/namespaces/" in path else "")
        if there.status == HTTPStatus.OK:
            return _change(client, path, document, there)
        if there.status != HTTPStatus.NOT_FOUND:
            raise NotSpokenError
    options = "?fieldManager=kubectl-" + ("client-side-apply" if asked.is_applied else "create")
    options += "&fieldValidation=Strict" + ("&dryRun=All" if asked.is_dry else "")
    answer = client.ask("POST", path + options, document)
    if answer.status == HTTPStatus.CREATED:
        return _told(answer.content, "created" + (" (server dry run)" if asked.is_dry else ""))
    if answer.status == HTTPStatus.CONFLICT or answer.content.get("kind") != "Status":
        raise NotSpokenError
    raise RefusedError("".join([f"Warning: {one}\n" for one in answer.warnings]) + _refusal(answer))


def _asked(arguments: Sequence[str]) -> _Asked:
    verb, namespace, is_dry, from_stdin = arguments[0], "", False, False
    rest = iter(arguments[1:])
    for word in rest:
        if word == "-f":
            from_stdin = next(rest, "") == "-"
        elif word in {"-n", "--namespace"}:
            namespace = next(rest, "")
        elif word.startswith("--namespace="):
            namespace = word.partition("=")[2]
        elif word == _DRY and verb == "create":
            is_dry = True
        else:
            raise NotSpokenError
    if verb not in {"create", "apply"} or not from_stdin:
        raise NotSpokenError
    return _Asked(verb == "apply", is_dry, namespace)


def _documents(text: str) -> list[dict[str, Any]]:
    try:
        documents = [one for one in yaml.load_all(text, _Loader) if one]
    except yaml.YAMLError as error:
        raise NotSpokenError from error
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
            raise NotSpokenError
    return documents


def _path(client: Client, asked: _Asked, document: dict[str, Any]) -> str:
    kind = client.kind(f"{document.get('apiVersion')} {document.get('kind')}")
    said = document["metadata"].get("namespace") or asked.namespace or "default"
    if not isinstance(said, str) or (asked.namespace and said != asked.namespace):
        raise NotSpokenError
    return kind.path(said)


def _name(document: dict[str, Any]) -> str:
    if not (name := document["metadata"].get("name")):
        raise NotSpokenError
    return str(name)


def _note(document: dict[str, Any], namespace: str) -> None:
    """What was applied, for whoever applies the next one."""
    about = document["metadata"]
    if namespace:
        about.setdefault("namespace", namespace)
    about["annotations"] = dict(about.get("annotations") or {})
    if _APPLIED in about["annotations"]:
        raise NotSpokenError
    written = json.dumps(document, sort_keys=True, separators=(",", ":"))
    about["annotations"][_APPLIED] = f"{written}\n"


def _change(client: Client, path: str, document: dict[str, Any], found: Answer) -> str:
    """Apply over one of our own kinds, which have no patches but plain ones."""
    place = f"{path}/{document['metadata']['name']}"
    if f"/{names.GROUP}/" not in place:
        raise NotSpokenError
    applied = found.content["metadata"].get("annotations", {}).get(_APPLIED)
    if applied is None:
        raise NotSpokenError
    patch = _over(json.loads(applied), document)
    options = "?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
    answer = client.ask("PATCH", place + options, patch)
    if answer.status != HTTPStatus.OK:
        raise NotSpokenError
    before, after = (one["metadata"]["resourceVersion"] for one in (found.content, answer.content))
    return _told(answer.content, "unchanged" if before == after else "configured")


def _over(applied: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """A merge patch: what is written now, without what was written before and is no longer."""
    patch: dict[str, Any] = dict.fromkeys(applied.keys() - document.keys())
    for key, value in document.items():
        before = applied.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            patch[key] = _over(before, value)
        else:
            patch[key] = value
    return patch


def _told(made: dict[str, Any], what: str) -> str:
    group = made["apiVersion"].rpartition("/")[0]
    kind = made["kind"].lower() + (f".{group}" if group else "")
    return f"{kind}/{made['metadata']['name']} {what}\n"


def _refusal(answer: Answer) -> str:
    """In kubectl's words, as far as tests read them."""
    said, reason = str(answer.content.get("message", "")), answer.content.get("reason", "")
    if reason != "Invalid":
        return f'Error from server ({reason}): error when creating "STDIN": {said}\n'
    details = answer.content.get("details", {})
    causes = [f"{one.get('field', '')}: {one['message']}" for one in details.get("causes", ())]
    about = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
    if len(causes) > 1:
        return f"{about}: \n" + "".join(f"* {one}\n" for one in dict.fromkeys(causes))
    return f"{about}: {causes[0]}\n" if causes else f"{about}\n"
