"""Speaks with an API server as a kubeconfig's user, without starting kubectl.

Tests ask again and again, on two cores, and kubectl takes twenty times as long. What we do not
know how to do as kubectl does is left to it.
"""

import base64
import functools
import http.client
import json
import os
import re
import ssl
import tempfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.cluster.waiting import ClusterError

_TIMEOUT_S: Final = 60.0
_DISCOVERED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class NotSpokenError(Exception):
    """Ask kubectl: nothing was sent, or nothing that changes anything."""


class LostAnswerError(ClusterError):
    """What changes something was sent, and its answer lost: it may have been done or not.

    Asking again is for whoever knows that it does no harm.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the API server serves under several names.

    Attributes:
        prefix: of its paths, group and version.
        called: all its names, with and without its group; and `GROUP/VERSION KIND`.
    """

    prefix: str
    plural: str
    is_namespaced: bool
    called: frozenset[str]

    def path(self, namespace: str | None, name: str = "") -> str:
        """Where it is; all namespaces without one."""
        within = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        return f"{self.prefix}{within}/{self.plural}" + (f"/{name}" if name else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API server said."""

    status: int
    content: dict[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Exchanged:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Client:
    """One user of one API server."""

    def __init__(self, config: dict[str, Any]) -> None:
        (cluster,), (user,) = config["clusters"], config["users"]
        place = urllib.parse.urlsplit(cluster["cluster"]["server"])
        self._host, self._port = place.hostname or "", place.port
        self._context, self._headers = _trusting(cluster["cluster"]), dict[str, str]()
        self._be(user["user"])
        self._kinds = dict[str, Kind]()

    def _be(self, user: dict[str, Any]) -> None:
        known = {"client-certificate-data", "client-key-data", "token"}
        if not user or set(user) - known:
            raise NotSpokenError
        if token := user.get("token"):
            self._headers["Authorization"] = f"Bearer {token}"
        if "client-key-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                pair = Path(folder) / "pair.pem"
                pair.touch(0o600)
                parts = (user["client-certificate-data"], user["client-key-data"])
                pair.write_bytes(b"\n".join(base64.b64decode(part) for part in parts))
                self._context.load_cert_chain(pair)

    def kind(self, called: str) -> Kind:
        """By any of its names; asked for again when it is not known yet."""
        if called not in self._kinds:
            self._kinds = self._discovered()
        if called not in self._kinds:
            raise NotSpokenError
        return self._kinds[called]

    def ask(self, method: str, path: str, content: Mapping[str, object] | None = None) -> Answer:
        """One request, on a connection of its own: none is left open.

        Raises:
            NotSpokenError: there is no answer of an API server.
            LostAnswerError: it may have been done all the same.
        """
        return self._asked(method, path, content, "application/json")

    def _discovered(self) -> dict[str, Kind]:
        kinds = dict[str, Kind]()
        for root in ("/api", "/apis"):
            answer = self._asked("GET", root, None, _DISCOVERED)
            if answer.status != HTTPStatus.OK or "items" not in answer.content:
                raise NotSpokenError
            for group in answer.content["items"]:
                for kind in _of_group(root, group):
                    for name in kind.called:
                        kinds.setdefault(name, kind)
        return kinds

    def _asked(
        self, method: str, path: str, content: Mapping[str, object] | None, accept: str
    ) -> Answer:
        body = None if content is None else json.dumps(content).encode()
        written = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {**self._headers, "Accept": accept, "Content-Type": written}
        answer = self._exchanged(method, path, body, headers)
        found = _read(answer.body)
        if found is None:
            # With 4xx it says that nothing was done.
            is_refused = answer.status in range(400, 500)
            raise NotSpokenError if is_refused else _lost(method, path)
        said = (re.fullmatch(r'299 - "(.*)"', one) for one in answer.headers.get_all("Warning", []))
        warnings = tuple(one[1].replace('\\"', '"') for one in said if one)
        return Answer(status=answer.status, content=found, warnings=warnings)

    def _exchanged(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> "_Exchanged":
        connection = http.client.HTTPSConnection(
            self._host, self._port, context=self._context, timeout=_TIMEOUT_S
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NotSpokenError from error
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return _Exchanged(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise _lost(method, path) from error
        finally:
            connection.close()


def client(kubeconfig: Path) -> Client:
    """Whoever the kubeconfig makes us.

    Raises:
        NotSpokenError: it says more than we understand.
    """
    return _client(kubeconfig, kubeconfig.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _client(kubeconfig: Path, _: int) -> Client:
    config = yaml.safe_load(kubeconfig.read_text())
    if len(config["clusters"]) != 1 or len(config["users"]) != 1 or os.environ.get("HTTPS_PROXY"):
        raise NotSpokenError
    return Client(config)


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _lost(method: str, path: str) -> NotSpokenError | LostAnswerError:
    if method == "GET":
        return NotSpokenError()
    return LostAnswerError(f"{method} {path} was sent, and the answer lost; it may have been done")


def _of_group(root: str, group: dict[str, Any]) -> list[Kind]:
    """All kinds of the group's preferred version."""
    name, version = group["metadata"].get("name", ""), group["versions"][0]
    dotted = f"{name}/{version['version']}" if name else version["version"]
    found = list[Kind]()
    for one in version["resources"]:
        plural = one["resource"]
        called = {plural, one.get("singularResource", ""), *one.get("shortNames", ())} - {""}
        called |= {f"{plural}.{name}"} if name else set()
        called.add(f"{dotted} {one['responseKind']['kind']}")
        found.append(
            Kind(
                prefix=f"{root}/{dotted}",
                plural=plural,
                is_namespaced=one["scope"] == "Namespaced",
                called=frozenset(called),
            )
        )
    return found


def _trusting(cluster: dict[str, Any]) -> ssl.SSLContext:
    if set(cluster) != {"certificate-authority-data", "server"}:
        raise NotSpokenError
    return ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
