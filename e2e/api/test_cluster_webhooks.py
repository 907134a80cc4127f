"""The test cluster's API server asks admission webhooks on this host, by URL and by service."""

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster import keys
from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until

_NO = "the webhook says no"


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        review = json.loads(self.rfile.read(size))
        answer = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": _NO}}
        text = json.dumps({**review, "request": None, "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 – its name there
        """Say nothing."""


@contextlib.contextmanager
def _listening(folder: Path, names: list[str]) -> Iterator[tuple[int, bytes]]:
    """A webhook that refuses everything; its port, and the CA by which it is known."""
    ca = keys.authority("webhook")
    pair = keys.server(ca, names)
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_port, ca.certificate
        finally:
            server.shutdown()
            serving.join()


def _configuration(name: str, namespace: str, client: dict[str, Any]) -> str:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    hook = {
        "name": "refusing.farm.example",
        "clientConfig": client,
        "rules": [{**rule, "resources": ["configmaps"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
    }
    return yaml.safe_dump({**kind, "metadata": {"name": name}, "webhooks": [hook]})


def _is_refused(kubectl: Kubectl, namespace: str) -> bool:
    """Whether the webhook, and nothing else, says no."""
    try:
        kubectl("create", "configmap", "wool", "-n", namespace, "--dry-run=server")
    except KubectlError as error:
        if _NO in error.stderr:
            return True
        raise
    return False


@pytest.mark.parametrize("way", ["url", "service"])
def test_a_webhook_on_this_host_is_asked(
    cluster: Cluster, namespace: str, tmp_path: Path, way: str
) -> None:
    """By service as in a chart: one of type ExternalName leads to this host."""
    spoken = f"refusing.{namespace}.svc"
    with _listening(tmp_path, ["127.0.0.1", spoken]) as (port, ca):
        bundle = {"caBundle": base64.b64encode(ca).decode()}
        client: dict[str, Any] = {**bundle, "url": f"https://127.0.0.1:{port}/"}
        if way == "service":
            create = ["create", "service", "externalname", "refusing", "-n", namespace]
            cluster.kubectl(*create, "--external-name=localhost", f"--tcp={port}")
            named = {"name": "refusing", "namespace": namespace, "port": port}
            client = {**bundle, "service": named}
        cluster.apply(_configuration(namespace, namespace, client))
        try:
            until(lambda: _is_refused(cluster.kubectl, namespace), "it is asked", timeout_s=60)
        finally:
            cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)
