"""Another injector, as linkerd's would be: it adds a container to pods after ours has seen them."""

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster import keys
from e2e.cluster.clusters import Cluster

CONTAINER = {"name": "late", "image": "late:1"}
_NAME = "zz-late"
"""The API server asks configurations in the order of their names."""


class _Server(HTTPServer):
    """One that knows what to add."""

    def __init__(self, container: Mapping[str, object]) -> None:
        super().__init__(("127.0.0.1", 0), _Adding)
        self.container = container


class _Adding(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        review = json.loads(self.rfile.read(size))
        containers = review["request"]["object"]["spec"]["containers"]
        response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": True}
        assert isinstance(self.server, _Server)
        added = self.server.container
        if all(one["name"] != added["name"] for one in containers):
            patch = [{"op": "add", "path": "/spec/containers/-", "value": added}]
            written = base64.b64encode(json.dumps(patch).encode()).decode()
            response |= {"patchType": "JSONPatch", "patch": written}
        text = json.dumps({**review, "request": None, "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@contextlib.contextmanager
def adding(
    cluster: Cluster, namespace: str, folder: Path, *, container: Mapping[str, object] = CONTAINER
) -> Iterator[None]:
    """Have it add its container to new pods of the namespace, while the block runs."""
    authority = keys.authority("late")
    pair = keys.server(authority, ["127.0.0.1"])
    (folder / "late.crt").write_bytes(pair.certificate)
    (folder / "late.key").write_bytes(pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "late.crt", folder / "late.key")
    with _Server(container) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"https://127.0.0.1:{server.server_port}/"
        try:
            cluster.apply(_configuration(namespace, url, authority.certificate))
            yield
        finally:
            configuration = ["mutatingwebhookconfiguration", _NAME, "--ignore-not-found"]
            cluster.kubectl("delete", *configuration)
            server.shutdown()
            serving.join()


def _configuration(namespace: str, url: str, authority: bytes) -> str:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    hook = {
        "name": "late.farm.example",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "rules": [{**rule, "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return yaml.safe_dump({**kind, "metadata": {"name": _NAME}, "webhooks": [hook]})
